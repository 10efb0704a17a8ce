/** The end of the server's log, as it grows. */
import { clock, h } from "../dom";
import type { View } from "./view";

interface Line {
  ts: string;
  level: string;
  target?: string;
  message: string;
  fields?: Record<string, unknown>;
}

/** How many lines the page keeps. */
const KEPT = 1000;

export class Log implements View {
  readonly element: HTMLElement;
  readonly #lines = h("ol", { class: "log", tabindex: 0, "aria-label": "Log" });
  readonly #level = h("select", { "aria-label": "Level", change: () => this.open() }, ...["error", "warn", "info", "debug"].map((name) => h("option", { value: name, selected: name === "info" }, name)));
  readonly #search = h("input", { type: "search", placeholder: "Search", "aria-label": "Search the log", input: () => [...this.#lines.children].forEach((line) => this.#filter(line as HTMLElement)) });
  readonly #follow = h("input", { type: "checkbox", checked: true });
  #source: EventSource | undefined;
  #late: ReturnType<typeof setTimeout> | undefined;

  constructor() {
    this.element = h("div", {}, h("div", { class: "head-row" }, h("h2", {}, "Log"), h("label", { class: "check" }, this.#follow, "Follow"), this.#level, this.#search), this.#lines);
  }

  open(): void {
    this.close();
    this.#lines.replaceChildren();
    this.#source = new EventSource(`/api/log?level=${this.#level.value}`);
    // A browser tries again by itself, but not after an answer that was an error.
    this.#source.onerror = () => {
      if (this.#source?.readyState === EventSource.CLOSED) this.#late = setTimeout(() => this.open(), 3000);
    };
    this.#source.onmessage = ({ data }) => this.#add(JSON.parse(String(data)) as Line);
  }

  close(): void {
    clearTimeout(this.#late);
    this.#source?.close();
    this.#source = undefined;
  }

  #add({ ts, level, target, message, fields = {} }: Line): void {
    const at = new Date(ts);
    const rest = Object.entries(fields).map(([name, value]) => ` ${name}=${typeof value === "string" && /^[^\s"=]+$/.test(value) ? value : JSON.stringify(value)}`).join("");
    const line = h("li", { class: level }, h("time", { datetime: ts, title: at.toLocaleString() }, clock(at, true)), h("span", { class: "level" }, level),
      h("span", { class: "words", title: target }, message, h("span", { class: "fields" }, rest)));
    this.#lines.append(line);
    this.#filter(line);
    if (this.#lines.childElementCount > KEPT) this.#lines.firstElementChild!.remove();
    if (this.#follow.checked) this.#lines.scrollTop = this.#lines.scrollHeight;
  }

  #filter(line: HTMLElement): void {
    line.hidden = !line.textContent!.toLowerCase().includes(this.#search.value.trim().toLowerCase());
  }
}
