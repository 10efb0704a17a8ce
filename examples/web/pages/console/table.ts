/** Lists of the server: searched, and read on page by page. */
import { h, text } from "../dom";
import { list, type List, type Row } from "./api";
import { Repeat, type View } from "./view";

export interface Column {
  title: string;
  number?: boolean;
  cell: (row: Row) => Node | string;
}

/** A table; on a narrow page its lines are cards, whose cells say what they are. */
export function table(columns: Column[], rows: Row[]): HTMLElement {
  if (!rows.length) return h("div", { class: "table" }, h("p", { class: "nothing" }, "Nothing here."));
  return h("div", { class: "table" }, h("table", {},
    h("thead", {}, h("tr", {}, ...columns.map(({ title, number }) => h("th", { scope: "col", class: number ? "number" : "" }, title)))),
    h("tbody", {}, ...rows.map((row) => h("tr", {}, ...columns.map(({ title, number, cell }) => {
      const value = cell(row);
      return h("td", { "data-name": title, class: `${number ? "number" : ""}${value === "–" ? " none" : ""}` }, value);
    })))),
  ));
}

export class ListView implements View {
  readonly element: HTMLElement;
  readonly #search: HTMLInputElement;
  readonly #body = h("div");
  readonly #sort: HTMLSelectElement;
  readonly #total = h("span", { class: "hint" });
  readonly #more = h("button", { type: "button", class: "quiet", hidden: true, click: () => void this.#read(true) }, "More");
  readonly #repeat = new Repeat(3000, () => this.#read(false));
  #wanted = 50;
  #shown = "";
  #late: ReturnType<typeof setTimeout> | undefined;

  /** `sorts`: what the list can be sorted by, in the server's words and in people's. */
  constructor(private readonly name: string, title: string, hint: string, sorts: [string, string][], private readonly columns: Column[]) {
    this.#search = h("input", { type: "search", placeholder: hint, "aria-label": hint, input: () => {
      clearTimeout(this.#late);
      this.#late = setTimeout(() => void this.#read(false), 150);
    } });
    this.#sort = h("select", { "aria-label": `Sort ${name}`, change: () => void this.#read(false) }, ...sorts.map(([value, words]) => h("option", { value }, words)));
    this.element = h("div", {}, h("div", { class: "head-row" }, h("h2", {}, title), this.#total, this.#sort, this.#search), this.#body, h("div", { class: "foot" }, this.#more));
  }

  open(): void {
    this.#repeat.start();
  }

  close(): void {
    this.#repeat.stop();
    clearTimeout(this.#late);
  }

  refresh(): void {
    void this.#repeat.now();
  }

  /** Reads as much as is shown again, or a page more. */
  async #read(more: boolean): Promise<void> {
    if (more) this.#wanted += 50;
    const search = this.#search.value.trim();
    const sort = this.#sort.value;
    const all: List = { rows: [], next: null, total: undefined };
    try {
      do {
        const page = await list(this.name, search, sort, all.next, Math.min(500, this.#wanted - all.rows.length));
        all.rows.push(...page.rows);
        all.next = page.next;
        all.total = page.total;
      } while (all.next !== null && all.rows.length < this.#wanted);
    } catch (error) {
      this.#shown = "";
      this.#body.replaceChildren(h("p", { class: "fault", role: "alert" }, (error as Error).message));
      return;
    }
    if (search !== this.#search.value.trim() || sort !== this.#sort.value) return;
    text(this.#total, all.total === undefined ? "" : `${all.total.toLocaleString()} in all`);
    this.#more.hidden = all.next === null;
    // Not drawn anew where nothing is new: what somebody selected or focused stays.
    const shown = JSON.stringify(all.rows);
    if (shown === this.#shown) return;
    this.#shown = shown;
    const focused = (document.activeElement as HTMLElement | null)?.dataset.key;
    this.#body.replaceChildren(table(this.columns, all.rows));
    if (focused) [...this.#body.querySelectorAll<HTMLElement>("[data-key]")].find(({ dataset }) => dataset.key === focused)?.focus();
  }
}
