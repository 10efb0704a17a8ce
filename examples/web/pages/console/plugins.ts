/** The plugins: what they have done, and a switch for each. */
import { h, say } from "../dom";
import { get, switchPlugin, type Row } from "./api";
import { count } from "./format";
import { table } from "./table";
import { Repeat, type View } from "./view";

/** Whom one is about, as the configuration has it. */
const about = ({ only }: Row): string => (only ? Object.entries(only as Record<string, string[]>).map(([what, list]) => `${what}: ${list.join(", ")}`).join("; ") : "everybody");

export class Plugins implements View {
  readonly element = h("div", {}, h("h2", {}, "Plugins"));
  readonly #body = h("div");
  readonly #repeat = new Repeat(2000, () => this.#read());

  constructor() {
    this.element.append(this.#body);
  }

  open(): void {
    this.#repeat.start();
  }

  close(): void {
    this.#repeat.stop();
  }

  async #switch(name: string, enabled: boolean): Promise<void> {
    try {
      await switchPlugin(name, enabled);
      say(`${name} is switched ${enabled ? "on" : "off"}.`);
      await this.#read();
    } catch (error) {
      this.#fail(error as Error);
    }
  }

  #fail({ message }: Error): void {
    this.#body.replaceChildren(h("p", { class: "fault", role: "alert" }, message));
  }

  async #read(): Promise<void> {
    try {
      const { plugins } = await get<{ plugins: Row[] }>("plugins");
      this.#body.replaceChildren(table([
        { title: "Plugin", cell: ({ name, enabled }) => h("span", {}, h("span", { class: enabled ? "dot on" : "dot", title: enabled ? "on" : "off" }), String(name)) },
        { title: "About", cell: about },
        { title: "Messages", number: true, cell: ({ messages }) => count(messages) },
        { title: "Changed", number: true, cell: ({ changed }) => count(changed) },
        { title: "Dropped", number: true, cell: ({ dropped }) => count(dropped) },
        { title: "Refused", number: true, cell: ({ refused }) => count(refused) },
        { title: "Switch", cell: ({ name, enabled }) => h("button", { type: "button", class: "quiet", "data-key": String(name), click: () => void this.#switch(String(name), !enabled) }, enabled ? "Off" : "On") },
      ], plugins));
    } catch (error) {
      this.#fail(error as Error);
    }
  }
}
