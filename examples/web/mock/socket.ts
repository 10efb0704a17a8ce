/** What a connection by WebSocket does with a hub (JSN-6 to JSN-8). */
import type { Envelope, Hello } from "../src/wire";
import { Failure, failure, type Hub, type HubSession, type Link } from "./hub";

/** A connection's other half: gives it what came. */
export interface Peer {
  receive(text: string): void;
  closed(code: number): void;
}

/** Serves a connection; `link` brings what is sent to it. */
export function serve(hub: Hub, link: Link): Peer {
  let session: HubSession | undefined;
  let wrong = 0;

  const attach = (hello: Hello, ref?: string): void => {
    const before = session;
    const next = hub.session(hello, before);
    session = next.session;
    if (before && before !== session) {
      before.link = undefined;
      hub.end(before);
    }
    if (before && before === session && hello.session === undefined) return link.send({ kind: "system", type: "$ok", payload: {}, ...(ref && { ref }) });
    hub.attach(session, link, next.resumed, ref);
  };

  if (hub.asksWho) link.send({ kind: "system", type: "$challenge", payload: { methods: ["password", "token"] } });
  else attach({});

  return {
    receive(text) {
      const envelope = JSON.parse(text) as Envelope;
      const { type, id, payload = {} } = envelope;
      try {
        // The first is who it is; on an anonymous connection, as long as it is in no room.
        if (type === "$auth" && (!session || (payload as Hello).session !== undefined || (!session.user && !session.rooms.size))) return attach(payload as Hello, id);
        if (!session) throw new Failure("unauthorized", "say who you are first");
      } catch (error) {
        link.send(failure(error, id));
        if (++wrong >= 3) link.close(4401, "unauthorized");
        return;
      }
      hub.take(session, envelope);
    },
    closed(code) {
      if (!session || session.link !== link) return;
      if (code === 1000) {
        session.link = undefined;
        if (hub.sessions.has(session.id)) hub.end(session);
      } else hub.detach(session, link);
    },
  };
}
