/** The sessions: searched, looked at, disconnected. */
import { by, h, say, text } from "../dom";
import { disconnect, get, type Row } from "./api";
import { ago, count, micros, octets, often, span, word } from "./format";
import { ListView } from "./table";

/** How somebody came. */
const by_what = ({ dialect, version, carrier }: Row): string => `${word(dialect)}${version ? ` ${version}` : ""}${carrier && carrier !== "tcp" ? ` over ${carrier}` : ""}`;
const name = ({ client_id: client, user, id }: Row): string => String(client || user || id);

export function sessions(): ListView {
  const view: ListView = new ListView("sessions", "Sessions", "Search name, user, address", [["name", "by name"], ["rate", "busiest first"], ["queue", "most waiting first"]], [
    { title: "Session", cell: (row) => h("span", {}, h("span", { class: row.connected ? "dot on" : "dot", title: row.connected ? "connected" : "away" }),
      h("button", { type: "button", class: "link", "data-key": String(row.id), click: () => void inspect(row, () => view.refresh()) }, name(row)), row.user && row.client_id ? h("small", {}, word(row.user)) : "") },
    { title: "Speaks", cell: by_what },
    { title: "From", cell: ({ address }) => word(address) },
    { title: "Round trip", number: true, cell: ({ rtt_us: trip }) => micros(trip) },
    { title: "Messages/s", number: true, cell: ({ messages_per_s: said }) => often(said) },
    { title: "Rooms", number: true, cell: ({ rooms }) => count(rooms) },
    { title: "Filters", number: true, cell: ({ subscriptions }) => count(subscriptions) },
    { title: "Waiting", number: true, cell: ({ queued_bytes: queued }) => octets(queued) },
    { title: "For", number: true, cell: ({ since }) => ago(since).replace(/ ago$/, "") },
  ]);
  return view;
}

function facts(row: Row): HTMLElement {
  const tags = (all: unknown, label: (each: never) => string): Node | string => (Array.isArray(all) && all.length ? h("span", {}, ...all.map((each) => h("code", { class: "tag" }, label(each as never)))) : "–");
  const lines: [string, Node | string][] = [
    ["Session", h("code", {}, word(row.id))],
    ["User", word(row.user)],
    ["Tags", tags(row.tags, String)],
    ["Listener", word(row.listener)],
    ["Speaks", by_what(row)],
    ["From", word(row.address)],
    [row.connected ? "Connected" : "Away", ago(row.since)],
    ["Round trip", micros(row.rtt_us)],
    ["In", `${count(row.messages_in)} messages, ${octets(row.bytes_in)}`],
    ["Out", `${count(row.messages_out)} messages, ${octets(row.bytes_out)}`],
    ["Waiting", `${count(row.queued)} messages, ${octets(row.queued_bytes)}; ${count(row.in_flight)} in flight, ${count(row.dropped)} dropped`],
    ["Kept for", span(row.expiry_s)],
    ["Rooms", tags(row.room_names, String)],
    ["Filters", tags(row.filters, ({ filter }: { filter: string }) => filter)],
    ["Will", word(row.will)],
  ];
  return h("dl", { class: "facts" }, ...lines.flatMap(([term, value]) => [h("dt", {}, term), h("dd", {}, value)]));
}

async function inspect(row: Row, changed: () => void): Promise<void> {
  const dialog = by<HTMLDialogElement>("session");
  const body = by("session-body");
  text(by("session-title"), name(row));
  body.replaceChildren(facts(row));
  dialog.showModal();
  const act = async (forget: boolean): Promise<void> => {
    try {
      await disconnect(String(row.id), forget);
      say(forget ? "The session was ended." : "The session was disconnected.");
      dialog.close();
      changed();
    } catch (error) {
      body.prepend(h("p", { class: "fault", role: "alert" }, (error as Error).message));
    }
  };
  by("session-cut").onclick = () => void act(false);
  by("session-forget").onclick = () => void act(true);
  try {
    body.replaceChildren(facts(await get<Row>(`sessions/${encodeURIComponent(String(row.id))}`)));
  } catch (error) {
    body.prepend(h("p", { class: "fault", role: "alert" }, (error as Error).message));
  }
}
