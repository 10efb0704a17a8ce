/** The messages of one room: those that came, those of before, and those that are not sent yet. */
import type { Joined, Message, Room } from "bowline-web";
import { clock, h, hue, text } from "../dom";

/** Messages of one person within this are one block. */
const BLOCK = 5 * 60_000;
/** How many messages come at a time. */
export const PAGE = 40;

/** What a message says, whatever dialect it came by. */
function words({ payload }: Pick<Message, "payload">): string {
  const { text: said, data, base64 } = payload;
  if (typeof said === "string") return said;
  if (base64 !== undefined) return `${String(base64).length} octets`;
  return typeof data === "string" ? data : JSON.stringify(data ?? payload);
}

/** Who sent it: who the server knows, or who it says. */
export function author({ user, payload, from }: Pick<Message, "user" | "payload" | "from">): string {
  return user ?? (typeof payload.name === "string" && payload.name ? payload.name : from ? `guest ${from.slice(-4)}` : "elsewhere");
}

export class Conversation {
  readonly element: HTMLElement;
  unread = 0;
  /** Told when something came that is not in view. */
  onnews: (message: Message) => void = () => {};
  readonly #list = h("ol", { class: "messages", role: "log", "aria-live": "polite", "aria-relevant": "additions", tabindex: 0 });
  readonly #more = h("button", { type: "button", class: "quiet more", click: () => void this.#older() }, "Earlier messages");
  readonly #unsent = new Map<string, HTMLLIElement>();
  readonly #room: Room;
  readonly #name: () => string;
  #loading = false;

  constructor(room: Room, name: () => string) {
    this.#room = room;
    this.#name = name;
    this.#list.setAttribute("aria-label", `Messages in ${room.name}`);
    this.#more.hidden = true;
    this.element = h("div", { class: "scroll" }, this.#more, this.#list, h("p", { class: "empty" }, "Nothing was said here yet."));
    this.element.addEventListener("scroll", () => this.element.scrollTop < 80 && !this.#more.hidden && void this.#older());
    room.on("message", (message) => this.#came(message));
    room.on("joined", (joined) => this.#joined(joined));
  }

  /** True while the newest is in view. */
  get atEnd(): boolean {
    const { scrollHeight, scrollTop, clientHeight } = this.element;
    return scrollHeight - scrollTop - clientHeight < 60;
  }

  toEnd(): void {
    this.element.scrollTop = this.element.scrollHeight;
  }

  /** Sends, and shows at once what is sent. */
  send(said: string): void {
    // Not `randomUUID`, which pages have only where they come by TLS.
    const key = [...crypto.getRandomValues(new Uint32Array(4))].map((part) => part.toString(36)).join("-");
    const item = this.#item({ from: this.#room.self ?? "", payload: { text: said, name: this.#name() }, ts: new Date().toISOString() }, true);
    item.classList.add("unsent");
    item.append(h("p", { class: "fate" }, this.#room.joined ? "" : "waits for a connection"));
    this.#unsent.set(key, item);
    this.#append(item);
    this.toEnd();
    this.#try(key, item, said);
  }

  #try(key: string, item: HTMLLIElement, said: string): void {
    const fate = item.querySelector(".fate")!;
    this.#room.send("chat.message", { text: said, name: this.#name() }, { key }).then(
      ({ id }) => this.#sent(key, item, id),
      (error: Error) => {
        item.classList.add("failed");
        const again = h("button", { type: "button", class: "quiet", click: () => {
          item.classList.remove("failed");
          fate.replaceChildren();
          this.#try(key, item, said);
        } }, "Try again");
        fate.replaceChildren(`not sent: ${error.message} `, again);
      },
    );
  }

  /** The server has it: it takes its place when it comes back, which may have been before. */
  #sent(key: string, item: HTMLLIElement, id: string): void {
    if (!this.#unsent.has(key)) return;
    item.dataset.id = id;
    item.classList.remove("unsent");
    item.querySelector(".fate")!.replaceChildren();
  }

  #joined({ first, recovered, count }: Joined): void {
    if (first) this.#more.hidden = count < PAGE;
    else if (!recovered) this.#notice("Back. The server no longer has all that was said meanwhile: something may be missing here.", true);
    else if (count) this.#notice(`Back. ${count === 1 ? "One message" : `${count} messages`} came meanwhile.`);
  }

  /** A line of the page's own. */
  #notice(said: string, warn = false): void {
    const stick = this.atEnd;
    this.#append(h("li", { class: warn ? "notice warn" : "notice" }, said));
    if (stick) this.toEnd();
  }

  #came(message: Message): void {
    const stick = this.atEnd;
    const mine = message.key ? this.#unsent.get(message.key) : undefined;
    if (mine) this.#unsent.delete(message.key!);
    mine?.remove();
    this.#append(this.#item(message, mine !== undefined || message.from === this.#room.self));
    if (stick) this.toEnd();
    if (message.kind !== "history") this.onnews(message);
  }

  /** What is sent comes before what is not. */
  #append(item: HTMLLIElement): void {
    const before = item.classList.contains("unsent") ? null : [...this.#unsent.values()].find((each) => each.isConnected && !each.dataset.id) ?? null;
    this.#list.insertBefore(item, before);
    this.#block(item);
    if (item.nextElementSibling) this.#block(item.nextElementSibling as HTMLElement);
  }

  async #older(): Promise<void> {
    if (this.#loading) return;
    this.#loading = true;
    text(this.#more, "Loading…");
    try {
      const { messages, more } = await this.#room.history({ limit: PAGE });
      const height = this.element.scrollHeight - this.element.scrollTop;
      if (this.#list.firstElementChild?.classList.contains("day")) this.#list.firstElementChild.remove();
      const first = this.#list.firstElementChild as HTMLElement | null;
      // Not read aloud: it is past.
      this.#list.setAttribute("aria-live", "off");
      for (const message of messages) this.#list.prepend(this.#item(message, message.from === this.#room.self));
      for (const item of [...this.#list.children].slice(0, messages.length)) this.#block(item as HTMLElement);
      if (first) this.#block(first);
      this.element.scrollTop = this.element.scrollHeight - height;
      this.#more.hidden = !more;
    } catch {
      // The button stays.
    }
    requestAnimationFrame(() => this.#list.setAttribute("aria-live", "polite"));
    text(this.#more, "Earlier messages");
    this.#loading = false;
  }

  #item(message: Pick<Message, "payload"> & Partial<Message>, mine: boolean): HTMLLIElement {
    const name = author(message);
    const at = new Date(message.ts ?? Date.now());
    const avatar = h("span", { class: "avatar", "aria-hidden": "true" }, [...name][0]!.toUpperCase());
    avatar.style.setProperty("--hue", String(hue(name)));
    const item = h("li", { class: mine ? "message mine" : "message", "data-from": name, "data-at": at.getTime(), "data-id": message.id },
      avatar,
      h("p", { class: "head" }, h("b", { class: message.user ? "known" : "" }, name), h("time", { datetime: at.toISOString(), title: at.toLocaleString() }, clock(at))),
      h("div", { class: "said", title: at.toLocaleString() }, words(message)),
    );
    return item;
  }

  /** Joins a message to the block before it, or begins one, on a day that may be new. */
  #block(item: HTMLElement): void {
    if (!item.classList.contains("message")) return;
    let before = item.previousElementSibling as HTMLElement | null;
    if (before?.classList.contains("day")) {
      before.remove();
      before = item.previousElementSibling as HTMLElement | null;
    }
    const at = Number(item.dataset.at);
    const last = before?.classList.contains("message") ? Number(before.dataset.at) : undefined;
    item.classList.toggle("follows", last !== undefined && before!.dataset.from === item.dataset.from && at - last < BLOCK);
    const day = new Date(at).toDateString();
    let past = before;
    while (past && !past.classList.contains("message")) past = past.previousElementSibling as HTMLElement | null;
    if (past && new Date(Number(past.dataset.at)).toDateString() === day) return;
    const today = day === new Date().toDateString();
    item.before(h("li", { class: "day" }, today ? "Today" : new Date(at).toLocaleDateString([], { weekday: "long", day: "numeric", month: "long" })));
  }
}
