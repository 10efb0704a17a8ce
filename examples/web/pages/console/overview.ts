/** What listens, how much goes through, who is there. */
import type { Client } from "bowline-web";
import { h, text } from "../dom";
import { get, type Info, type Row } from "./api";
import { count, octets, rate, span, word } from "./format";
import { Spark } from "./spark";
import { table } from "./table";
import { Repeat, type View } from "./view";

/** Told with each answer of the server about itself. */
type Told = (info: Info) => void;

export class Overview implements View {
  readonly element: HTMLElement;
  readonly #sparks = { in: new Spark("Messages in, over the last minute"), out: new Spark("Messages out, over the last minute") };
  readonly #figures = new Map<string, HTMLElement>();
  readonly #listeners = h("div");
  readonly #fault = h("p", { class: "fault", role: "alert", hidden: true });
  readonly #broker = h("dl", { class: "facts two" });
  readonly #topics = new Map<string, HTMLElement>();
  readonly #quick = new Repeat(1000, () => this.#ask());
  readonly #slow = new Repeat(5000, () => this.#listen());
  #before: { info: Info; at: number } | undefined;

  constructor(client: Client, private readonly told: Told) {
    this.element = h("div", {},
      this.#fault,
      h("div", { class: "cards pair" }, this.#card("in", "Messages in", this.#sparks.in), this.#card("out", "Messages out", this.#sparks.out)),
      h("div", { class: "cards" },
        this.#card("connected", "Sessions"), this.#card("rooms", "Rooms"), this.#card("subscriptions", "Subscriptions"),
        this.#card("queued", "Waiting"), this.#card("dropped", "Dropped"), this.#card("memory", "Memory"),
      ),
      h("section", { class: "part" }, h("h2", {}, "Listening"), this.#listeners),
      h("section", { class: "part" }, h("h2", {}, "What the broker says"), h("div", { class: "card" }, this.#broker, h("p", { class: "hint" }, "Topics below $SYS/broker/"))),
    );
    client.subscribe("$SYS/#", ({ topic, data, text: said }) => this.#say(topic, word(data ?? said)));
    this.#quick.start();
  }

  /** Asks nothing more: the line of messages goes on behind other parts until then. */
  end(): void {
    this.#quick.stop();
    this.close();
  }

  open(): void {
    this.#slow.start();
  }

  close(): void {
    this.#slow.stop();
  }

  #card(name: string, title: string, spark?: Spark): HTMLElement {
    const figure = h("p", { class: "figure", id: `figure-${name}` }, "–");
    this.#figures.set(name, figure);
    return h("section", { class: spark ? "card wide" : "card" }, h("h2", {}, title), figure, spark?.element as unknown as Node);
  }

  #show(name: string, value: string, beside = ""): void {
    const figure = this.#figures.get(name)!;
    if (figure.textContent !== value + beside) figure.replaceChildren(value, h("small", {}, beside));
  }

  async #ask(): Promise<void> {
    let info: Info;
    try {
      info = await get<Info>("info");
    } catch (error) {
      // That the server is away is said above; here is what it said last.
      this.element.classList.add("stale");
      this.#fault.hidden = error instanceof TypeError;
      text(this.#fault, `The server does not tell of itself: ${(error as Error).message}`);
      this.#before = undefined;
      return;
    }
    this.#fault.hidden = true;
    this.element.classList.remove("stale");
    this.told(info);
    const at = performance.now();
    const before = this.#before?.info.started === info.started ? this.#before : undefined;
    this.#before = { info, at };
    for (const way of ["in", "out"] as const) {
      const name = `messages_${way}`;
      const now = before ? Math.max(0, ((info.counters[name] ?? 0) - (before.info.counters[name] ?? 0)) / ((at - before.at) / 1000)) : 0;
      if (before) this.#sparks[way].add(now);
      this.#show(way, rate(now), ` a second, ${count(info.counters[name])} in all`);
    }
    this.#show("connected", count(info.connected), `connected, ${count(info.sessions - info.connected)} away`);
    this.#show("rooms", count(info.rooms), `${count(info.members)} ${info.members === 1 ? "member" : "members"}`);
    this.#show("subscriptions", count(info.subscriptions), `${count(info.retained)} topics retained`);
    this.#show("queued", count(info.queued), `${octets(info.queued_bytes)} in queues`);
    this.#show("dropped", count(info.counters.dropped), "since the start");
    this.#show("memory", octets(info.memory_bytes), `up ${span(info.uptime_s)}`);
  }

  async #listen(): Promise<void> {
    const { listeners } = await get<{ listeners: Row[] }>("listeners").catch(() => ({ listeners: [] }));
    this.#listeners.replaceChildren(table([
      { title: "Address", cell: ({ address, error }) => h("span", {}, h("span", { class: error ? "dot bad" : "dot on" }), h("code", {}, word(address))) },
      { title: "Transport", cell: ({ transport, tls }) => `${word(transport)}${tls ? ", TLS" : ""}` },
      { title: "Speaks", cell: ({ dialects, error }) => (error ? word(error) : (dialects as string[] ?? []).join(", ")) },
      { title: "Connections", number: true, cell: ({ connections }) => count(connections) },
      { title: "Accepted", number: true, cell: ({ accepted }) => count(accepted) },
    ], listeners));
  }

  #say(topic: string, value: string): void {
    const name = topic.replace("$SYS/broker/", "");
    let shown = this.#topics.get(name);
    if (!shown) {
      shown = h("dd");
      const next = [...this.#topics.keys()].filter((each) => each > name).sort()[0];
      const before = next === undefined ? null : this.#topics.get(next)!.previousElementSibling;
      const term = h("dt", {}, name);
      this.#broker.insertBefore(term, before);
      term.after(shown);
      this.#topics.set(name, shown);
    }
    text(shown, value);
  }
}
