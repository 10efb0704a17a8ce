/** What a hub does without WebSocket: a session by POST, poll, server-sent events, POST to send. */
import type { Envelope, Hello } from "../src/wire";
import { Failure, type Hub, type HubSession, type Link } from "./hub";

const POLL = 25_000;
const COMMENT = 15_000;

/** What waits for a session that comes by HTTP, and who waits for it. */
class Box implements Link {
  readonly address = "127.0.0.1";
  readonly waiting: { cursor: number; envelope: Envelope }[] = [];
  cursor = 0;
  wake: (() => void) | undefined;
  ended = false;
  idle: ReturnType<typeof setTimeout> | undefined;

  constructor(public carrier: string, private readonly gone: () => void) {}

  send(envelope: Envelope): void {
    if (envelope.type === "$welcome") return; // it was the answer to the POST
    this.waiting.push({ cursor: ++this.cursor, envelope });
    if (this.waiting.length > 256) this.waiting.shift();
    this.wake?.();
  }

  close(): void {
    this.ended = true;
    clearTimeout(this.idle);
    this.wake?.();
  }

  /** Forgets what was taken. */
  taken(cursor: number): void {
    while (this.waiting[0] && this.waiting[0].cursor <= cursor) this.waiting.shift();
  }

  rest(): void {
    clearTimeout(this.idle);
    this.idle = setTimeout(this.gone, 60_000);
  }

  /** Waits until there is something, it ended, or somebody else waits. */
  async news(limit: number, signal: AbortSignal): Promise<void> {
    this.wake?.();
    clearTimeout(this.idle);
    if (!this.waiting.length && !this.ended) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(() => done(), limit);
        const done = (): void => {
          clearTimeout(timer);
          signal.removeEventListener("abort", done);
          if (this.wake === done) this.wake = undefined;
          resolve();
        };
        signal.addEventListener("abort", done);
        this.wake = done;
      });
    }
    if (!this.ended) this.rest();
  }
}

const json = (status: number, body: unknown, headers: Record<string, string> = {}): Response =>
  new Response(JSON.stringify(body), { status, headers: { "content-type": "application/json", "cache-control": "no-store", ...headers } });

type Sent = Envelope & { session_id?: string };

export class Http {
  readonly #boxes = new WeakMap<HubSession, Box>();
  /** Keeps event streams back, as some proxies do. */
  buffered = false;

  constructor(readonly hub: Hub) {}

  /** Answers requests below `/ws/`; nothing for others. */
  async handle(request: Request): Promise<Response | undefined> {
    const { pathname, searchParams } = new URL(request.url);
    const { hub } = this;
    try {
      if (request.method === "POST" && pathname === "/ws/session") return await this.#open(request);
      if (request.method === "POST" && pathname === "/ws/send") return await this.#send(request);
      if (request.method === "DELETE" && pathname === "/ws/session") {
        hub.end(this.#session(request, searchParams.get("session_id")));
        return new Response(null, { status: 204 });
      }
      if (request.method === "GET" && pathname === "/ws/poll") return await this.#poll(request, searchParams);
      if (request.method === "GET" && pathname === "/ws/events") return this.#events(request, searchParams);
      return undefined;
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      return json(Number(error.code), { error: error.message });
    }
  }

  async #open(request: Request): Promise<Response> {
    if (this.hub.draining) return json(503, { error: "draining", retry_after_ms: 500 }, { "retry-after": "1" });
    const text = await request.text();
    let made;
    try {
      made = this.hub.session(text ? (JSON.parse(text) as Hello) : {});
    } catch (error) {
      if (error instanceof Failure && error.code === "unauthorized") throw new Failure("401", error.message);
      throw error;
    }
    const { session, resumed } = made;
    const box = new Box("poll", () => this.hub.detach(session, box));
    this.#boxes.set(session, box);
    this.hub.attach(session, box, resumed);
    box.rest();
    return json(201, this.hub.welcome(session, resumed));
  }

  #session(request: Request, id: string | null): HubSession {
    const session = this.hub.sessions.get(id ?? "");
    if (!session) throw new Failure("404", "no such session");
    if (request.headers.get("bowline-secret") !== session.secret) throw new Failure("403", "not your session");
    return session;
  }

  #box(session: HubSession): Box {
    const box = this.#boxes.get(session);
    if (!box || session.link !== box) throw new Failure("404", "no such session");
    return box;
  }

  async #send(request: Request): Promise<Response> {
    const body = (await request.json()) as Sent | Sent[];
    const all = Array.isArray(body) ? body : [body];
    if (all.length > (this.hub.options.batch ?? 1)) throw new Failure("413", "too many messages");
    if (!all.every(({ type }) => type)) throw new Failure("400", "missing 'type' field");
    const session = this.#session(request, all[0]!.session_id ?? null);
    for (const { session_id: _, ...envelope } of all) this.hub.take(session, envelope);
    return json(202, { session_id: session.id, status: "queued" });
  }

  async #poll(request: Request, query: URLSearchParams): Promise<Response> {
    const box = this.#box(this.#session(request, query.get("session_id")));
    box.carrier = "poll";
    box.taken(Number(query.get("after") ?? 0));
    await box.news(POLL, request.signal);
    const part = box.waiting.slice(0, Number(query.get("max") ?? 50));
    const cursor = part.at(-1)?.cursor ?? Number(query.get("after") ?? 0);
    return json(200, part.map(({ envelope }) => envelope), { "bowline-cursor": String(cursor) });
  }

  #events(request: Request, query: URLSearchParams): Response {
    const box = this.#box(this.#session(request, query.get("session_id")));
    box.carrier = "events";
    let sent = Number(request.headers.get("last-event-id") ?? 0);
    box.taken(sent);
    let stopped = false;
    const { buffered } = this;
    const text = new TextEncoder();
    const body = new ReadableStream<Uint8Array>({
      start: async (controller) => {
        if (!buffered) controller.enqueue(text.encode(":\n\n"));
        while (!stopped && !box.ended && !request.signal.aborted) {
          box.taken(sent);
          await box.news(COMMENT, request.signal);
          if (stopped || buffered) continue;
          const part = box.waiting.filter(({ cursor }) => cursor > sent);
          if (!part.length) controller.enqueue(text.encode(":\n\n"));
          for (const { cursor, envelope } of part) {
            controller.enqueue(text.encode(`id: ${cursor}\ndata: ${JSON.stringify(envelope)}\n\n`));
            sent = cursor;
          }
        }
        if (!stopped) controller.close();
      },
      cancel: () => {
        stopped = true;
        box.wake?.();
      },
    });
    return new Response(body, { headers: { "content-type": "text/event-stream", "cache-control": "no-store" } });
  }
}
