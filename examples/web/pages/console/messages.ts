/** Publishing, asking and subscribing from the page. */
import type { Client, TopicMessage } from "bowline-web";
import { clock, h, text } from "../dom";
import type { View } from "./view";

/** How many messages are shown. */
const KEPT = 200;

/** What a message says, for reading. */
function body({ data, text: said, bytes }: TopicMessage): string {
  if (data !== undefined) return typeof data === "string" ? data : JSON.stringify(data, null, 1).replace(/\n */g, " ");
  return said ?? `${bytes.length} octets: ${[...bytes.slice(0, 48)].map((octet) => octet.toString(16).padStart(2, "0")).join(" ")}${bytes.length > 48 ? " …" : ""}`;
}

export class Messages implements View {
  readonly element: HTMLElement;
  readonly #came = h("ol", { class: "came", hidden: true, role: "log", "aria-label": "Messages that came" });
  readonly #filters = h("ul", { class: "filters" });
  readonly #result = h("p", { class: "hint", role: "status" });
  readonly #offs = new Map<string, () => void>();
  readonly #client: Client;

  constructor(client: Client) {
    this.#client = client;
    const publish = h("form", { class: "card", id: "publish", submit: (event) => void this.#publish(event) },
      h("h2", {}, "Publish"),
      h("label", {}, "Topic", h("input", { name: "topic", required: true, autocomplete: "off", autocapitalize: "off", spellcheck: "false", placeholder: "demo/hello" })),
      h("label", {}, "Message", h("textarea", { name: "body", spellcheck: "false", placeholder: "hi" })),
      h("div", { class: "row" },
        h("label", { class: "check" }, h("input", { type: "checkbox", name: "retain" }), "Retain"),
        h("span", { class: "hint" }, "JSON goes as JSON, all else as text."),
      ),
      h("div", { class: "row" }, h("button", { class: "main", name: "how", value: "publish" }, "Publish"), h("button", { class: "quiet", name: "how", value: "request" }, "Ask for an answer"), this.#result),
    );
    const subscribe = h("form", { class: "card", id: "subscribe", submit: (event) => this.#subscribe(event) },
      h("h2", {}, "Subscribe"),
      h("label", {}, "Filter", h("input", { name: "filter", required: true, autocomplete: "off", autocapitalize: "off", spellcheck: "false", placeholder: "demo/#" })),
      h("div", { class: "row" }, h("button", { class: "main" }, "Subscribe"), h("button", { class: "quiet", type: "button", click: () => this.#clear() }, "Clear the list")),
      this.#filters,
    );
    this.element = h("div", {}, h("div", { class: "try" }, publish, subscribe), this.#came);
  }

  open(): void {}
  close(): void {}

  /** Subscribes, and puts the topic where one would answer. */
  watch(filter: string): void {
    if (this.#offs.has(filter)) return;
    const off = this.#client.subscribe(filter, (message) => this.#show(message));
    const item = h("li", {}, filter, h("button", { type: "button", class: "icon", "aria-label": `Unsubscribe from ${filter}`, click: () => {
      off();
      item.remove();
      this.#offs.delete(filter);
    } }, "×"));
    this.#offs.set(filter, off);
    this.#filters.append(item);
  }

  #subscribe(event: Event): void {
    event.preventDefault();
    const form = event.target as HTMLFormElement;
    this.watch(String(new FormData(form).get("filter")).trim());
    form.reset();
  }

  #clear(): void {
    this.#came.replaceChildren();
    this.#came.hidden = true;
  }

  async #publish(event: Event): Promise<void> {
    event.preventDefault();
    const form = new FormData(event.target as HTMLFormElement);
    const asked = ((event as SubmitEvent).submitter as HTMLButtonElement | null)?.value === "request";
    const topic = String(form.get("topic")).trim();
    const said = String(form.get("body"));
    let data: unknown = new TextEncoder().encode(said);
    try {
      data = JSON.parse(said);
    } catch {
      // It is text.
    }
    text(this.#result, "…");
    try {
      if (asked) this.#show(await this.#client.request(topic, data, { timeout: 5000 }), "answer");
      else await this.#client.publish(topic, data, { retain: form.get("retain") !== null });
      text(this.#result, asked ? "Answered." : "Published.");
    } catch (error) {
      text(this.#result, (error as Error).message);
    }
  }

  #show(message: TopicMessage, mark = message.retain ? "retained" : ""): void {
    const now = new Date();
    this.#came.hidden = false;
    this.#came.prepend(h("li", {}, h("time", { datetime: now.toISOString() }, clock(now, true)), h("span", { class: "topic" }, message.topic, mark && h("small", {}, ` ${mark}`)), h("span", { class: "body" }, body(message))));
    if (this.#came.childElementCount > KEPT) this.#came.lastElementChild!.remove();
  }
}
