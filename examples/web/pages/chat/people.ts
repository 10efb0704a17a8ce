/** Who is in the room, and who writes. */
import type { Member, Room } from "bowline-web";
import { by, h, hue, text } from "../dom";

/** Nobody writes for longer without a key. */
const TYPING = 4000;

export const nameOf = ({ member, user, data }: Member): string => {
  const name = (data as { name?: unknown } | undefined)?.name;
  return user ?? (typeof name === "string" && name ? name : `guest ${member.slice(-4)}`);
};

export class People {
  readonly #typing = new Map<string, ReturnType<typeof setTimeout>>();
  readonly #room: Room;
  shown = false;

  constructor(room: Room) {
    this.#room = room;
    room.on("presence", ({ left }) => {
      for (const member of left) this.#stop(member);
      this.draw();
    });
    room.on("joined", () => this.draw());
    room.on("message", ({ from }) => from && this.#stop(from));
    room.on("ephemeral", ({ type, from }) => {
      if (type !== "chat.typing" || !from || from === room.self) return;
      clearTimeout(this.#typing.get(from));
      this.#typing.set(from, setTimeout(() => this.#stop(from), TYPING));
      this.draw();
    });
  }

  #stop(member: string): void {
    clearTimeout(this.#typing.get(member));
    if (this.#typing.delete(member)) this.draw();
  }

  /** Shows it, if this is the room in view. */
  draw(): void {
    if (!this.shown) return;
    const { members, count, self } = this.#room;
    const all = [...members.values()].sort((a, b) => Number(b.member === self) - Number(a.member === self) || nameOf(a).localeCompare(nameOf(b)));
    by("people").replaceChildren(...all.map((member) => {
      const name = nameOf(member);
      const avatar = h("span", { class: "avatar", "aria-hidden": "true" }, [...name][0]!.toUpperCase());
      avatar.style.setProperty("--hue", String(hue(name)));
      return h("li", { class: this.#typing.has(member.member) ? "writes" : "" }, avatar, h("span", { class: "name" }, name), member.member === self && h("small", {}, "you"));
    }));
    if (count > members.size) by("people").append(h("li", { class: "hint" }, `and ${count - members.size} more`));
    text(by("people-count"), String(count));
    by("show-people").setAttribute("aria-label", `Who is here: ${count}`);

    const names = [...this.#typing.keys()].flatMap((member) => members.get(member) ?? []).map(nameOf);
    const line = names.length > 2 ? "Several people are writing…" : names.length ? `${names.join(" and ")} ${names.length > 1 ? "are" : "is"} writing…` : "";
    text(by("typing"), line);
  }
}
