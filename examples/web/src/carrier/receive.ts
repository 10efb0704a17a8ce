import { SECOND, type Envelope } from "../wire";

/**
 * Asks the server, with so many milliseconds until the answer begins, and uses the answer. Another status than success
 * and those in `passes` ends the connection; what is then under way fails, and nobody wants to know.
 */
export type Ask = <T>(path: string, init: RequestInit, limit: number, use: (answer: Response) => Promise<T>, passes?: number[]) => Promise<T>;

/** What a way to receive tells. */
export interface Ear {
  alive(): boolean;
  /** Messages do come through. */
  ready(): void;
  heard(): void;
  message(envelope: Envelope): void;
}

/** Receives for a session until the connection ends. */
export type Receive = (session: string, ask: Ask, ear: Ear) => Promise<void>;

/** A poll waits 25 s at the server. */
const POLL_LIMIT = 40 * SECOND;

/** Long poll: each request brings what waits, and says how far the one before was taken. */
export const poll: Receive = async (session, ask, ear) => {
  let cursor: string | null = null;
  ear.ready();
  while (ear.alive()) {
    const began = Date.now();
    const after: string = cursor === null ? "" : `&after=${encodeURIComponent(cursor)}`;
    await ask(`/poll?session_id=${encodeURIComponent(session)}&max=100${after}`, {}, POLL_LIMIT, async (answer) => {
      const messages = (await answer.json()) as Envelope[];
      cursor = answer.headers.get("bowline-cursor") ?? cursor;
      messages.forEach(ear.message);
      // One that does not wait would be asked for ever.
      if (!messages.length && Date.now() - began < SECOND) throw new Error("the poll did not wait");
    });
  }
};

/** A stream that brings no sign of life within this is kept back by something on the way. */
const FIRST_SIGN = 5 * SECOND;

/** Server-sent events, read by `fetch`: unlike an `EventSource` it can send the session's secret. */
export const events: Receive = async (session, ask, ear) => {
  let last: string | undefined;
  let ready = false;

  const read = async (answer: Response): Promise<void> => {
    const reader = answer.body!.getReader();
    const decoder = new TextDecoder();
    let rest = "";
    let data = "";
    const silence = setTimeout(() => void reader.cancel(), FIRST_SIGN);
    try {
      for (let part = await reader.read(); !part.done && ear.alive(); part = await reader.read()) {
        clearTimeout(silence);
        ear.heard();
        if (!ready) ear.ready();
        ready = true;
        const lines = (rest + decoder.decode(part.value, { stream: true })).split(/\r?\n/);
        rest = lines.pop()!;
        for (const line of lines) {
          const [, field, value] = /^(\w+): ?(.*)$/.exec(line) ?? [];
          if (field === "data") data += value;
          else if (field === "id") last = value;
          else if (!line && data) {
            ear.message(JSON.parse(data) as Envelope);
            data = "";
          }
        }
      }
    } finally {
      clearTimeout(silence);
      reader.cancel().catch(() => {});
    }
  };

  while (ear.alive()) {
    const began = Date.now();
    const headers = { Accept: "text/event-stream", ...(last && { "Last-Event-ID": last }) };
    await ask(`/events?session_id=${encodeURIComponent(session)}`, { headers }, FIRST_SIGN, read);
    // Servers and proxies end streams that have lasted; one that ends as it begins is no stream.
    if (!ready || Date.now() - began < SECOND) throw new Error("the event stream ended");
  }
};
