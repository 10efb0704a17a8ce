/** The line that says how the page is connected: the same on both pages. */
import type { Client, State } from "bowline-web";
import { by, h, text } from "./dom";

const CARRIERS = { websocket: "WebSocket", events: "event stream", poll: "long poll" };

/** What a state is called, and what is meant. */
function words(state: State): [short: string, long: string] {
  switch (state.name) {
    case "open":
      return ["Connected", `Connected by ${CARRIERS[state.carrier]}`];
    case "connecting":
      return ["Connecting…", "Connecting to the server"];
    case "waiting":
      return ["Offline", "The server cannot be reached"];
    case "denied":
      return ["Signed out", state.reason];
    case "closed":
      return ["Closed", "This page is no longer connected"];
  }
}

/** Shows a client's state in `#state`, and in `#banner` when it has been away for a moment. */
export function show(client: Client): () => void {
  const pill = by("state");
  const banner = by("banner");
  const line = h("span");
  const retry = h("button", { type: "button", class: "quiet", click: () => client.retry() }, "Try now");
  banner.replaceChildren(line, retry);
  let timer: ReturnType<typeof setInterval> | undefined;
  let since = Date.now();

  const draw = (): void => {
    const { state } = client;
    const away = state.name === "waiting" || state.name === "connecting";
    banner.hidden = !away || Date.now() - since < 1500;
    if (state.name === "waiting") {
      const seconds = Math.max(0, Math.ceil((state.until - Date.now()) / 1000));
      text(line, `No connection. ${seconds > 0 ? `Next attempt in ${seconds} s.` : "Trying…"} What you send now waits here.`);
    } else text(line, "Connecting…");
    retry.hidden = state.name !== "waiting";
  };
  const changed = (state: State): void => {
    const [short, long] = words(state);
    const away = state.name === "waiting" || state.name === "connecting";
    if (!away) since = Infinity;
    else if (since === Infinity) since = Date.now();
    pill.dataset.state = state.name;
    text(pill, short);
    pill.title = long;
    clearInterval(timer);
    if (away) timer = setInterval(draw, 500);
    draw();
  };
  changed(client.state);
  const off = client.on("state", changed);
  return () => {
    off();
    clearInterval(timer);
  };
}
