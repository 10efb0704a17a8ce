/** The admin HTTP API, as the console page wants it. */
import type { Json } from "../src/wire";
import type { Hub, HubSession } from "./hub";

const json = (status: number, body: unknown, headers: Record<string, string> = {}): Response =>
  new Response(body === null ? null : JSON.stringify(body), { status, headers: { "content-type": "application/json", "cache-control": "no-store", ...headers } });

const iso = (ms: number): string => new Date(ms).toISOString();

export class Admin {
  /** Which address the daemon would say it listens on. */
  constructor(readonly hub: Hub, readonly listeners: string[]) {}

  /** Answers requests below `/api/`; nothing for others. */
  handle(request: Request): Response | undefined {
    const { pathname, searchParams } = new URL(request.url);
    const { hub } = this;
    const session = /^\/api\/sessions\/(.+)$/.exec(pathname)?.[1];
    if (session !== undefined) return this.#session(request, decodeURIComponent(session));
    switch (pathname) {
      case "/api/info":
        return json(200, this.#info());
      case "/api/listeners":
        return json(200, { listeners: this.listeners.map((address) => ({ address, transport: "tcp", tls: false, dialects: ["bowline", "mqtt", "prx1", "http"], connections: this.#connected().length, accepted: hub.counters.connections, error: null })), next: null });
      case "/api/sessions":
        return this.#list("sessions", [...hub.sessions.values()].map((each) => this.#row(each)), searchParams, (row) => `${row.id} ${row.client_id} ${row.user} ${row.address}`);
      case "/api/rooms":
        return this.#list("rooms", this.#rooms(), searchParams, (row) => String(row.name));
      case "/api/topics":
        return this.#list("topics", this.#topics(), searchParams, (row) => String(row.topic));
      case "/api/plugins":
        return json(200, { plugins: [{ name: "limits", enabled: true, only: { tags: ["guest"] }, messages: hub.counters.messages_in, changed: 0, dropped: 0, refused: 0, overruns: 0 }] });
      case "/api/store": {
        const messages = [...hub.store.rooms.values()].flatMap((room) => room.messages);
        return json(200, {
          kind: "sqlite", path: "bowline-data/bowline.db", state: "ok", error: null, bytes: 40960 + messages.length * 200, wal_bytes: 8192, free_bytes: 12_000_000_000,
          sessions: 0, messages: messages.length, message_bytes: JSON.stringify(messages).length, retained: hub.store.retained.size, history: messages.length, queues: 0,
          commits: hub.counters.messages_in, operations: hub.counters.messages_in * 2, pending: 0, commit_us: { p50: 900, p99: 4100 },
        });
      }
      case "/api/log":
        return this.#log(request);
      default:
        return pathname.startsWith("/api/") ? json(404, { error: `no ${pathname}` }) : undefined;
    }
  }

  #connected(): HubSession[] {
    return [...this.hub.sessions.values()].filter(({ link }) => link);
  }

  #info(): Json {
    const { hub } = this;
    const sessions = [...hub.sessions.values()];
    return {
      name: "bowline", version: "0.1.0", started: iso(hub.started), uptime_s: Math.floor((Date.now() - hub.started) / 1000), node: null, draining: hub.draining !== undefined,
      sessions: sessions.length, connected: this.#connected().length, connections: this.#connected().length,
      subscriptions: sessions.reduce((sum, { filters }) => sum + filters.size, 0), rooms: [...hub.rooms.values()].filter(({ members }) => members.size).length,
      members: sessions.reduce((sum, { rooms }) => sum + rooms.size, 0), retained: hub.store.retained.size,
      queued: sessions.reduce((sum, { waiting }) => sum + waiting.length, 0), queued_bytes: 0, memory_bytes: process.memoryUsage().rss,
      counters: hub.counters, dialects: { json: this.#connected().length, mqtt: 0, bowline: 0, prx1: 0 },
    };
  }

  #row(session: HubSession): Json {
    return {
      id: session.id, client_id: null, user: session.user ?? null, dialect: "json", version: "1", carrier: session.link?.carrier ?? null, address: session.link?.address ?? null,
      connected: session.link !== undefined, since: iso(session.since), subscriptions: session.filters.size, rooms: session.rooms.size, queued: session.waiting.length, queued_bytes: 0,
      messages_in: session.in, messages_out: session.out, bytes_in: session.in * 60, bytes_out: session.out * 120, rtt_us: session.link ? 210 : null, messages_per_s: 0,
    };
  }

  #session(request: Request, id: string): Response {
    const session = this.hub.sessions.get(id);
    if (!session) return json(404, { error: `no session ${id}` });
    if (request.method === "GET") {
      return json(200, {
        ...this.#row(session), filters: [...session.filters].map((filter) => ({ filter, qos: 0 })), filters_more: 0, room_names: [...session.rooms.keys()],
        keepalive_s: 30, expiry_s: 60, expires_in_s: null, in_flight: 0, dropped: 0, queue_policy: "drop-oldest", will: null,
      });
    }
    if (request.method !== "DELETE") return json(405, { error: "GET or DELETE" }, { allow: "GET, DELETE" });
    if (request.headers.get("bowline-admin") !== "1") return json(403, { error: "the header Bowline-Admin: 1 is missing" });
    this.hub.note("warn", "bowline::admin", "disconnected by an administrator", { session: id });
    session.link?.send({ kind: "error", type: "$error", payload: { code: "denied", message: "disconnected by an administrator" } });
    if (new URL(request.url).searchParams.get("forget") === "true") this.hub.end(session);
    else session.link?.close(1008, "disconnected by an administrator");
    return json(204, null);
  }

  #rooms(): Json[] {
    return [...this.hub.rooms.values()].map(({ name, members, kept, offset }) => ({
      name, members: members.size, epoch: kept.epoch, offset, history: kept.messages.length, history_bytes: JSON.stringify(kept.messages).length,
      messages_in: offset, messages_out: offset * members.size, messages_per_s: 0, queued_bytes: 0, policy: "drop-oldest",
    }));
  }

  #topics(): Json[] {
    const rows = new Map<string, Json>();
    const row = (topic: string): Json => rows.get(topic) ?? rows.set(topic, { topic, subscribers: 0, retained: false, retained_bytes: 0, history: 0, history_bytes: 0, filter: /[+#]/.test(topic) }).get(topic)!;
    for (const [topic, payload] of this.hub.store.retained) {
      if (!topic.startsWith("$SYS/")) Object.assign(row(topic), { retained: true, retained_bytes: JSON.stringify(payload).length });
    }
    for (const { filters } of this.hub.sessions.values()) {
      for (const filter of filters) if (!filter.startsWith("$SYS/")) row(filter).subscribers = Number(row(filter).subscribers) + 1;
    }
    return [...rows.values()];
  }

  #list(name: string, rows: Json[], query: URLSearchParams, text: (row: Json) => string): Response {
    const search = (query.get("search") ?? "").toLowerCase();
    const prefix = (query.get("prefix") ?? "").toLowerCase();
    const weight = { rate: "messages_per_s", queue: "queued_bytes", members: name === "topics" ? "subscribers" : "members" }[query.get("sort") ?? "name"];
    const title = (row: Json): string => String(row.name ?? row.topic ?? row.client_id ?? row.user ?? row.id);
    const limit = Number(query.get("limit") ?? 50);
    const from = Number(query.get("after") ?? 0);
    if (!(limit >= 1 && limit <= 500)) return json(400, { error: "limit is a number from 1 to 500" });
    const order = new Intl.Collator("en", { numeric: true });
    const found = rows.filter((row) => text(row).toLowerCase().includes(search) && title(row).toLowerCase().startsWith(prefix))
      .sort((a, b) => (weight ? Number(b[weight]) - Number(a[weight]) : 0) || order.compare(title(a), title(b)));
    const next = from + limit < found.length ? String(from + limit) : null;
    return json(200, { [name]: found.slice(from, from + limit), next, total: found.length });
  }

  #log(request: Request): Response {
    const { hub } = this;
    const text = new TextEncoder();
    let sent = 0;
    let end = (): void => {};
    const body = new ReadableStream<Uint8Array>({
      start: (controller) => {
        const tell = (): void => {
          for (const line of hub.log.slice(sent)) controller.enqueue(text.encode(`id: ${++sent}\ndata: ${JSON.stringify(line)}\n\n`));
        };
        const comment = setInterval(() => controller.enqueue(text.encode(":\n\n")), 15_000);
        end = () => {
          clearInterval(comment);
          hub.watchers.delete(tell);
        };
        hub.watchers.add(tell);
        request.signal.addEventListener("abort", end);
        controller.enqueue(text.encode(":\n\n"));
        tell();
      },
      cancel: () => end(),
    });
    return new Response(body, { headers: { "content-type": "text/event-stream", "cache-control": "no-store" } });
  }
}
