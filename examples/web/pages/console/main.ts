/** The console: what the server does, and somewhere to try it. */
import { connect, type Client, type Options } from "bowline-web";
import { show } from "../connection";
import { by, h, text } from "../dom";
import { signIn } from "../sign-in";
import { count, octets, often, span } from "./format";
import { Log } from "./log";
import { Messages } from "./messages";
import { Overview } from "./overview";
import { Plugins } from "./plugins";
import { sessions } from "./sessions";
import { Store } from "./store";
import { ListView } from "./table";
import type { View } from "./view";

/** A button in a list that shows what is said there. */
const watch = (messages: Messages, name: string, filter: string): HTMLElement =>
  h("button", { type: "button", class: "link", "data-key": filter, title: `Subscribe to ${filter}`, click: () => {
    messages.watch(filter);
    location.hash = "#messages";
  } }, name);

function views(client: Client, overview: Overview): Map<string, View> {
  const messages = new Messages(client);
  const rooms = new ListView("rooms", "Rooms", "Search, or beginning*", [["name", "by name"], ["rate", "busiest first"], ["members", "most members first"], ["queue", "most waiting first"]], [
    { title: "Room", cell: ({ name }) => watch(messages, String(name), `$room/${name}`) },
    { title: "Members", number: true, cell: ({ members }) => count(members) },
    { title: "Messages/s", number: true, cell: ({ messages_per_s: said }) => often(said) },
    { title: "Said", number: true, cell: ({ offset }) => count(offset) },
    { title: "Read back", number: true, cell: ({ history }) => count(history) },
    { title: "Kept", number: true, cell: ({ history_bytes: kept }) => octets(kept) },
    { title: "Waiting", number: true, cell: ({ queued_bytes: queued }) => octets(queued) },
    { title: "Slow members", cell: ({ policy }) => String(policy ?? "–") },
  ]);
  const topics = new ListView("topics", "Topics", "Search, or beginning*", [["name", "by name"], ["members", "most subscribers first"]], [
    { title: "Topic", cell: ({ topic }) => watch(messages, String(topic), String(topic)) },
    { title: "Subscribers", number: true, cell: ({ subscribers }) => count(subscribers) },
    { title: "Retained", number: true, cell: ({ retained, retained_bytes: kept }) => (retained ? octets(kept) : "–") },
    { title: "Read back", number: true, cell: ({ history }) => count(history) },
    { title: "Kept", number: true, cell: ({ history_bytes: kept }) => octets(kept) },
  ]);
  return new Map<string, View>([["overview", overview], ["sessions", sessions()], ["rooms", rooms], ["topics", topics], ["plugins", new Plugins()], ["store", new Store()], ["log", new Log()], ["messages", messages]]);
}

let all = new Map<string, View>();
let shown: View | undefined;

/** Shows the part that the address names. */
function route(focus: boolean): void {
  const name = all.has(location.hash.slice(1)) ? location.hash.slice(1) : "overview";
  const next = all.get(name)!;
  for (const link of by("tabs").querySelectorAll("a")) {
    if (link.hash === `#${name}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  if (shown === next) return;
  shown?.close();
  shown = next;
  by("view").replaceChildren(next.element);
  next.open();
  if (focus) by("view").focus({ preventScroll: true });
  document.title = `${name[0]!.toUpperCase()}${name.slice(1)} · Bowline`;
}

function start(options: Options): void {
  const client = connect("/ws", options);
  const hide = show(client);
  const overview = new Overview(client, (info) => {
    text(by("node"), info.node ? `${info.name} · ${info.node}` : "Bowline");
    text(by("version"), `${info.version}, up ${span(info.uptime_s)}${info.draining ? ", draining" : ""}`);
  });
  all = views(client, overview);
  route(false);
  client.on("state", (state) => {
    if (state.name !== "denied") return;
    client.close();
    hide();
    overview.end();
    void signIn(options.user ? "That name and password do not fit." : "").then(start);
  });
}

addEventListener("hashchange", () => route(true));
start({});
