import type { Envelope, Hello, Welcome } from "../wire";
import type { Carrier, Ground } from "./carrier";

/** The `id` of the `$auth` that is sent as the connection opens. */
const HELLO = "hello";

/** Opens a WebSocket. */
export function websocket({ base, hello, sink, WebSocket }: Ground): Carrier {
  const socket = new WebSocket!(base.replace(/^http/, "ws"), "bowline.json.v1");
  let live = true;
  let welcomed = false;
  let unasked: Welcome | undefined;

  const drop = (tell: () => void): void => {
    if (!live) return;
    live = false;
    // Before the welcome there is nothing to come back to.
    socket.close(welcomed ? 4000 : 1000);
    tell();
  };
  const send = (envelope: Envelope): void => {
    if (live && socket.readyState === 1) socket.send(JSON.stringify(envelope));
  };
  const welcome = (payload: Welcome): void => {
    welcomed = true;
    sink.welcome(payload);
  };

  // `$auth` goes out before anything came: one round trip. Its answer is the one that names it;
  // the welcome or the challenge that the server said by itself crossed it on the way.
  const greeting = (envelope: Envelope): void => {
    const { type, payload, ref } = envelope;
    if (type === "$welcome") {
      if (!hello || ref === HELLO) welcome(payload as unknown as Welcome);
      else unasked = payload as unknown as Welcome;
    } else if (type === "$ok" && ref === HELLO && unasked) {
      welcome(unasked);
    } else if (type === "$challenge" && !hello) {
      drop(() => sink.refused("credentials are needed"));
    } else if (type === "$error" && (ref === HELLO || !hello)) {
      const { code, message, retry_after_ms: after } = payload as { code?: string; message?: string; retry_after_ms?: number };
      drop(() => (code === "unauthorized" || code === "denied" ? sink.refused(message ?? code) : sink.closed(message ?? code ?? type, after)));
    } else if (type === "$drain") {
      sink.message(envelope);
    }
  };

  socket.onopen = () => hello && send({ type: "$auth", id: HELLO, payload: hello as Hello & Record<string, unknown> });
  socket.onmessage = ({ data }) => {
    if (!live || typeof data !== "string") return;
    sink.heard();
    let envelope: Envelope;
    try {
      envelope = JSON.parse(data) as Envelope;
    } catch {
      return drop(() => sink.closed("the server sent no JSON"));
    }
    if (welcomed) sink.message(envelope);
    else greeting(envelope);
  };
  socket.onerror = () => {}; // `onclose` follows
  socket.onclose = ({ code, reason }) => drop(() => (code === 4401 ? sink.refused(reason || "unauthorized") : sink.closed(reason || `closed with ${code}`)));

  return {
    name: "websocket",
    send,
    close(end) {
      if (!live) return;
      if (end) send({ type: "$bye" });
      live = false;
      // 1000 ends the session; anything else lets it wait for the client.
      socket.close(end ? 1000 : 4000);
    },
  };
}
