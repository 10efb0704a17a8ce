/** What the store keeps, and how it does. */
import { h } from "../dom";
import { get, type Row } from "./api";
import { count, micros, octets, often, word } from "./format";
import { Repeat, type View } from "./view";

export class Store implements View {
  readonly element = h("div");
  readonly #repeat = new Repeat(2000, () => this.#read());
  /** How many commits there were when, to tell how many there are a second. */
  #before: { at: number; commits: number } | undefined;

  open(): void {
    this.#repeat.start();
  }

  close(): void {
    this.#repeat.stop();
    this.#before = undefined;
  }

  #pace(commits: unknown): number | undefined {
    const before = this.#before;
    this.#before = typeof commits === "number" ? { at: performance.now(), commits } : undefined;
    // After a restart they count anew.
    if (!before || !this.#before || this.#before.commits < before.commits) return undefined;
    return (this.#before.commits - before.commits) / Math.max(0.001, (this.#before.at - before.at) / 1000);
  }

  async #read(): Promise<void> {
    let row: Row;
    try {
      row = await get<Row>("store");
    } catch (error) {
      this.element.replaceChildren(h("p", { class: "fault", role: "alert" }, (error as Error).message));
      return;
    }
    const commit = (row.commit_us ?? {}) as Row;
    const pace = this.#pace(row.commits);
    const card = (title: string, value: string, beside = ""): HTMLElement => h("section", { class: "card" }, h("h3", {}, title), h("p", { class: "figure" }, value, h("small", {}, beside)));
    const state = { ok: "good", slow: "slow", failing: "failing" }[String(row.state)] ?? word(row.state);
    this.element.replaceChildren(
      h("div", { class: "head-row" }, h("h2", {}, "Store"), h("span", {}, h("span", { class: `dot ${row.state === "ok" ? "on" : "bad"}` }), state)),
      ...(row.error ? [h("p", { class: "fault", role: "alert" }, word(row.error))] : []),
      h("div", { class: "cards" },
        card("On disk", octets(row.bytes), row.wal_bytes ? ` and ${octets(row.wal_bytes)} of log` : ""),
        card("Messages", count(row.messages), ` ${octets(row.message_bytes)}`),
        card("Commits a second", often(pace), ` ${count(row.commits)} in all, ${count(row.operations)} changes`),
        card("A commit takes", micros(commit.p50), ` 99 %: ${micros(commit.p99)}`),
      ),
      h("div", { class: "card" }, h("dl", { class: "facts" }, ...([
        ["Kind", word(row.kind)], ["Where", h("code", {}, word(row.path))], ["Retained", count(row.retained)], ["Read back", count(row.history)], ["Sessions", count(row.sessions)],
        ["Queues", count(row.queues)], ["Waiting to be written", count(row.pending)], ["Room on the disk", octets(row.free_bytes)],
      ] as [string, Node | string][]).flatMap(([term, value]) => [h("dt", {}, term), h("dd", {}, value)]))),
    );
  }
}
