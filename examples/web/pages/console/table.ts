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
    h("tbody", {}, ...rows.map((row) => h("tr", {}, ...columns.map(({ title, number, cell }) => h("td", { "data-name": title, class: number ? "number" : "" }, cell(row)))))),
  ));
}

export class ListView implements View {
  readonly element: HTMLElement;
  readonly #search: HTMLInputElement;
  readonly #body = h("div");
  readonly #total = h("span", { class: "hint" });
  readonly #more = h("button", { type: "button", class: "quiet", hidden: true, click: () => void this.#read(true) }, "More");
  readonly #repeat = new Repeat(3000, () => this.#read(false));
  #wanted = 50;
  #shown = "";
  #late: ReturnType<typeof setTimeout> | undefined;

  constructor(private readonly name: string, title: string, hint: string, private readonly columns: Column[]) {
    this.#search = h("input", { type: "search", placeholder: hint, "aria-label": hint, input: () => {
      clearTimeout(this.#late);
      this.#late = setTimeout(() => void this.#read(false), 150);
    } });
    this.element = h("div", {}, h("div", { class: "head-row" }, h("h2", {}, title), this.#total, this.#search), this.#body, h("div", { class: "foot" }, this.#more));
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
    const all: List = { rows: [], next: null, total: undefined };
    try {
      do {
        const page = await list(this.name, search, all.next, Math.min(500, this.#wanted - all.rows.length));
        all.rows.push(...page.rows);
        all.next = page.next;
        all.total = page.total;
      } while (all.next !== null && all.rows.length < this.#wanted);
    } catch (error) {
      this.#shown = "";
      this.#body.replaceChildren(h("p", { class: "fault", role: "alert" }, (error as Error).message));
      return;
    }
    if (search !== this.#search.value.trim()) return;
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
