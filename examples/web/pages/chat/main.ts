/** The chat page: rooms, what is said in them, and who is there. */
import { connect, type Client, type Options, type Room } from "bowline-web";
import { show } from "../connection";
import { by, h, hue, say, text } from "../dom";
import { signIn } from "../sign-in";
import { author, Conversation, PAGE } from "./conversation";
import { People } from "./people";

/** A room of this page. */
interface Place {
  room: Room;
  conversation: Conversation;
  people: People;
}

const store = {
  get: (key: string): string | null => {
    try {
      return localStorage.getItem(`bowline.${key}`);
    } catch {
      return null; // a browser may forbid it
    }
  },
  set: (key: string, value: string): void => {
    try {
      localStorage.setItem(`bowline.${key}`, value);
    } catch {
      // It is asked again the next time.
    }
  },
};

const places = new Map<string, Place>();
let client: Client;
let hide = (): void => {};
let name = store.get("name") ?? "";
let here = "";

// ---- who and how ----

/** Asks what to call the reader. */
function ask(): Promise<void> {
  const dialog = by<HTMLDialogElement>("who");
  const input = dialog.querySelector("input")!;
  input.value = name;
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.onclose = () => {
      name = input.value.trim() || name || `guest ${Math.floor(Math.random() * 9000 + 1000)}`;
      store.set("name", name);
      resolve();
    };
  });
}

function drawMe(): void {
  const who = client.user ?? name;
  text(by("me"), who);
  text(by("me-avatar"), [...who][0]?.toUpperCase() ?? "");
  by("me-avatar").style.setProperty("--hue", String(hue(who)));
}

function start(options: Options): void {
  const first = client === undefined;
  client = connect("/ws", options);
  hide();
  hide = show(client);
  let was = "";
  client.on("state", (state) => {
    if (state.name === "open") {
      drawMe();
      if (was === "waiting" || was === "connecting") say("Connected.");
    } else if (state.name === "waiting" && was === "open") say("Connection lost.");
    else if (state.name === "denied") {
      client.close();
      void signIn(options.user ? "That name and password do not fit." : "").then(start);
    }
    if (state.name !== "connecting" || was === "open") was = state.name;
  });
  client.on("error", ({ message }) => say(message));
  const names = first ? rooms() : [...places.keys()];
  places.clear();
  for (const each of names) enter(each);
  view(here || roomOfAddress() || names[0]!);
}

// ---- rooms ----

/** The rooms of the last visit, and the one that the address names. */
function rooms(): string[] {
  const kept: unknown = JSON.parse(store.get("rooms") ?? "null");
  const names = Array.isArray(kept) ? kept.map(String) : [];
  const asked = roomOfAddress();
  if (asked && !names.includes(asked)) names.push(asked);
  return names.length ? names : ["lobby"];
}

function roomOfAddress(): string {
  try {
    return decodeURIComponent(location.hash.slice(1));
  } catch {
    return "";
  }
}

function enter(title: string): void {
  if (places.has(title)) return;
  const room = client.join(title, { history: PAGE, presence: "full", data: { name } });
  const place = { room, conversation: new Conversation(room, () => name), people: new People(room) };
  places.set(title, place);
  room.on("error", ({ message }) => say(`${title}: ${message}`));
  room.on("presence", drawRooms);
  place.conversation.onnews = (message) => {
    const seen = here === title && place.conversation.atEnd && document.visibilityState === "visible";
    if (seen || message.from === room.self) return;
    if (here === title) by("newer").hidden = place.conversation.atEnd;
    place.conversation.unread++;
    drawRooms();
    if (here !== title) say(`${author(message)} in ${title}`);
  };
  place.conversation.element.addEventListener("scroll", () => {
    if (here !== title || !place.conversation.atEnd) return;
    by("newer").hidden = true;
    read(place);
  });
  store.set("rooms", JSON.stringify([...places.keys()]));
}

function read(place: Place): void {
  if (!place.conversation.unread) return;
  place.conversation.unread = 0;
  drawRooms();
}

function leave(title: string): void {
  places.get(title)?.room.leave();
  places.delete(title);
  if (!places.size) enter("lobby");
  store.set("rooms", JSON.stringify([...places.keys()]));
  if (here === title) view([...places.keys()][0]!);
  else drawRooms();
}

function view(title: string): void {
  enter(title);
  const place = places.get(title)!;
  for (const [each, { people }] of places) people.shown = each === title;
  here = title;
  history.replaceState(null, "", `#${encodeURIComponent(title)}`);
  text(by("title"), title);
  document.title = `${title} · Bowline`;
  by("conversation").replaceChildren(place.conversation.element);
  by("newer").hidden = true;
  place.conversation.unread = 0;
  place.conversation.toEnd();
  place.people.draw();
  drawRooms();
}

function drawRooms(): void {
  by("rooms").replaceChildren(...[...places].map(([title, { room, conversation }]) => {
    const { unread } = conversation;
    const open = h("button", { type: "button", class: "plain room", click: () => (view(title), panel()), ...(title === here && { "aria-current": "page" }) },
      h("span", { class: "name" }, title),
      unread > 0 && h("span", { class: "unread", "aria-label": `${unread} unread` }, unread > 99 ? "99+" : String(unread)),
      !unread && room.count > 0 && h("span", { class: "hint" }, String(room.count)),
    );
    const close = h("button", { type: "button", class: "icon leave", "aria-label": `Leave ${title}`, click: () => leave(title) }, "×");
    return h("li", {}, open, places.size > 1 && close);
  }));
}

// ---- the page ----

/** Opens one of the panels that a narrow page hides, or none. */
function panel(which = ""): void {
  document.body.dataset.panel = which;
  by("show-rooms").setAttribute("aria-expanded", String(which === "rooms"));
  by("show-people").setAttribute("aria-expanded", String(which === "people"));
  if (which) by(`${which}-panel`).querySelector<HTMLElement>("button, input")?.focus();
}

function toggle(which: string): void {
  panel(document.body.dataset.panel === which ? "" : which);
}

function wire(): void {
  const field = by<HTMLTextAreaElement>("text");
  const grow = (): void => {
    field.style.height = "auto";
    field.style.height = `${Math.min(field.scrollHeight, 160)}px`;
  };
  const send = (): void => {
    const said = field.value.trim();
    if (!said) return;
    places.get(here)?.conversation.send(said);
    field.value = "";
    grow();
    field.focus();
  };
  field.addEventListener("input", () => {
    grow();
    if (field.value.trim()) places.get(here)?.room.typing();
  });
  field.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    send();
  });
  by("write").addEventListener("submit", (event) => {
    event.preventDefault();
    send();
  });
  by("join").addEventListener("submit", (event) => {
    event.preventDefault();
    const form = event.target as HTMLFormElement;
    const title = String(new FormData(form).get("room")).trim();
    form.reset();
    if (!title) return;
    view(title);
    panel();
    field.focus();
  });
  by("me").addEventListener("click", () => void ask().then(() => {
    drawMe();
    for (const { room } of places.values()) room.describe({ name }).catch(() => {});
  }));
  by("newer").addEventListener("click", () => places.get(here)?.conversation.toEnd());
  by("show-rooms").addEventListener("click", () => toggle("rooms"));
  by("show-people").addEventListener("click", () => toggle("people"));
  by("shade").addEventListener("click", () => panel());
  addEventListener("keydown", (event) => event.key === "Escape" && panel());
  addEventListener("hashchange", () => roomOfAddress() && view(roomOfAddress()));
  // Who closes the page leaves at once; one that the browser keeps may come back.
  addEventListener("pagehide", ({ persisted }) => !persisted && client?.close());
  document.addEventListener("visibilitychange", () => {
    const place = places.get(here);
    if (document.visibilityState === "visible" && place?.conversation.atEnd) read(place);
  });
}

wire();
if (!name) await ask();
start({});
if (matchMedia("(hover: hover)").matches) by("text").focus();
