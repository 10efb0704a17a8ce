import { Calls } from "./calls";
import { BowlineError } from "./error";
import { Emitter, guarded, type Off } from "./events";
import { Room, type JoinOptions } from "./room";
import { Session, type Options, type State } from "./session";
import { matches } from "./topic";
import { SECOND, type Envelope, type Json } from "./wire";

/** A message on a topic. */
export interface TopicMessage {
  topic: string;
  /** The topic keeps it, and it was there before the subscription. */
  retain: boolean;
  /** What it says, if that is JSON. */
  data?: unknown;
  /** Its text, if it is text. */
  text?: string;
  /** Its octets, always. */
  bytes: Uint8Array;
}

export interface ClientEvents {
  state: State;
  /** A message without a room, of a type of the application's own. */
  message: Envelope;
  /** Something that nobody waits for failed. */
  error: BowlineError;
}

/** How long a request waits unless told otherwise, and how much longer for the server to say that nobody answered. */
const REQUEST = [30 * SECOND, SECOND] as const;

/** A session with a server, that stays until it is closed. */
export class Client extends Emitter<ClientEvents> {
  readonly #session: Session;
  readonly #calls: Calls;
  readonly #random: () => number;
  readonly #rooms = new Map<string, Room>();
  readonly #filters = new Map<string, Set<(message: TopicMessage) => void>>();
  /** What the server's session has: filters, and rooms that were left while there was no connection. */
  readonly #held = new Set<string>();
  readonly #left = new Set<string>();

  /** @internal */
  constructor(url: string | URL, options: Options) {
    super();
    this.#random = options.random ?? Math.random;
    const ready = (): boolean => this.#session.ready;
    this.#calls = new Calls(ready, (envelope) => this.#session.send(envelope), options.queue ?? 1000, this.#random);
    this.#session = new Session(url, options, {
      state: (state) => this.emit("state", state),
      opened: ({ resumed }) => this.#opened(resumed),
      cut: () => {
        for (const room of this.#rooms.values()) room.cut();
        this.#calls.cut();
      },
      message: (envelope) => this.#take(envelope),
    });
  }

  /** What goes on between the page and the server. */
  get state(): State {
    return this.#session.state;
  }

  /** Who the server takes the client for, where it says so. */
  get user(): string | undefined {
    return this.#session.welcome?.user;
  }

  /** How many messages the server does not have yet. */
  get waiting(): number {
    return this.#calls.waiting;
  }

  /** Joins a room, and joins it again whenever the connection is made again. */
  join(name: string, options: JoinOptions = {}): Room {
    let room = this.#rooms.get(name);
    if (room) return room;
    const send = (envelope: Envelope): void => this.#session.send(envelope);
    room = new Room(name, options, this.#calls, this.#random, send, () => {
      this.#rooms.delete(name);
      if (!this.#session.ready) this.#left.add(name);
    });
    this.#rooms.set(name, room);
    this.#left.delete(name);
    if (this.#session.ready) room.join();
    return room;
  }

  /** Calls `handler` for each message on the topics that a filter matches, until the returned function is called. */
  subscribe(filter: string, handler: (message: TopicMessage) => void): Off {
    const own = (message: TopicMessage): void => handler(message);
    let handlers = this.#filters.get(filter);
    if (!handlers) {
      this.#filters.set(filter, (handlers = new Set()));
      if (this.#session.ready) this.#subscribe(filter);
    }
    handlers.add(own);
    return () => {
      if (!handlers.delete(own) || handlers.size || this.#filters.get(filter) !== handlers) return;
      this.#filters.delete(filter);
      if (this.#session.ready) this.#unsubscribe(filter);
    };
  }

  /**
   * Publishes: octets as they are, all else as JSON. Fulfilled when the server has it; sent again where a connection
   * broke before it said so, so at least once.
   */
  async publish(topic: string, data: unknown, { retain }: { retain?: boolean } = {}): Promise<void> {
    const payload = { topic, ...body(data), ...(retain && { retain }) };
    await this.#calls.ask({ envelope: { type: "$publish", payload }, again: true, bounded: true });
  }

  /** Asks who answers on a topic; fulfilled with the answer. Asked once: a connection that breaks fails it. */
  async request(topic: string, data: unknown, { timeout = REQUEST[0] }: { timeout?: number } = {}): Promise<TopicMessage> {
    const payload = { topic, ...body(data), timeout_ms: timeout };
    const answer = await this.#calls.ask({ envelope: { type: "$request", payload }, again: false, limit: timeout + REQUEST[1] });
    return message({ topic, ...answer.payload });
  }

  /** Fetches a new token by `options.refresh`, and tells it to the server; after `denied`, tries again. */
  refresh(): Promise<void> {
    return this.#session.refresh();
  }

  /** Does not wait for the next attempt any longer, unless the server asked for it; looks whether a connection lives. */
  retry(): void {
    this.#session.awake();
  }

  /** Ends the session. What the server did not acknowledge is given up. */
  close(): void {
    for (const room of this.#rooms.values()) room.end("closed");
    this.#rooms.clear();
    this.#filters.clear();
    this.#calls.fail("closed");
    this.#session.close();
  }

  /** Asks for what a new connection has not, and gives up what it has too much. */
  #opened(resumed: boolean): void {
    for (const room of this.#rooms.values()) room.join();
    if (!resumed) this.#held.clear();
    else for (const room of this.#left) this.#session.send({ type: "$leave", room });
    this.#left.clear();
    for (const filter of this.#held) if (!this.#filters.has(filter)) this.#unsubscribe(filter);
    for (const filter of this.#filters.keys()) if (!this.#held.has(filter)) this.#subscribe(filter);
    this.#calls.pump();
  }

  #subscribe(filter: string): void {
    const envelope = { type: "$subscribe", payload: { topic: filter } };
    this.#calls.ask({ envelope, again: false }).then(
      () => this.#held.add(filter),
      (error: BowlineError) => {
        // The next connection asks again.
        if (error.code !== "disconnected" && error.code !== "closed") this.emit("error", error);
      },
    );
  }

  #unsubscribe(filter: string): void {
    this.#held.delete(filter);
    this.#session.send({ type: "$unsubscribe", payload: { topic: filter } });
  }

  #take(envelope: Envelope): void {
    const { type, room, ref } = envelope;
    const { code } = (type === "$error" ? envelope.payload : {}) as { code?: string };
    const place = this.#rooms.get(room ?? "");
    if (code === "not_member" && this.#calls.repeat(envelope)) place?.rejoin();
    else if (this.#calls.answer(envelope)) return;
    else if (place) place.take(envelope);
    else if (type === "$message") this.#hand(envelope.payload!);
    else if (type === "$error") this.emit("error", BowlineError.from(envelope));
    else if (!type.startsWith("$") && ref === undefined) this.emit("message", envelope);
  }

  #hand(payload: Json): void {
    const made = message(payload);
    for (const [filter, handlers] of [...this.#filters]) {
      if (payload.filter === undefined ? !matches(filter, made.topic) : payload.filter !== filter) continue;
      for (const handler of [...handlers]) guarded(() => handler(made));
    }
  }
}

/** The members of a payload that say what is published. */
function body(data: unknown): Json {
  if (!(data instanceof Uint8Array)) return { data: data ?? null };
  let text = "";
  for (const octet of data) text += String.fromCharCode(octet);
  return { base64: btoa(text) };
}

/** What was published, from the members that say it. */
function message(payload: Json): TopicMessage {
  const { topic, retain = false, data, text, base64 } = payload as { topic: string; retain?: boolean; data?: unknown; text?: string; base64?: string };
  const bytes = typeof base64 === "string"
    ? Uint8Array.from(atob(base64), (each) => each.charCodeAt(0))
    : new TextEncoder().encode(text ?? JSON.stringify(data));
  return { topic, retain, bytes, ...(data !== undefined && { data }), ...(text !== undefined && { text }) };
}
