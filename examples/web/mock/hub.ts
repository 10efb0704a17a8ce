/**
 * A hub that speaks typed JSON, for the tests: rooms, presence, recovery, topics, sessions that resume. In memory, on
 * the clock of `setTimeout`, so that tests can run it on theirs.
 */
import { matches } from "../src/topic";
import type { Envelope, Hello, Json, Welcome } from "../src/wire";

/** What a hub keeps when it is restarted. */
export interface Store {
  /** `before`: the epoch before a restart, of which nothing was lost. */
  rooms: Map<string, { epoch: string; before?: string; messages: Stored[] }>;
  retained: Map<string, Json>;
  /** The last message's id. */
  id: number;
}
export type Stored = Required<Pick<Envelope, "id" | "type" | "payload" | "offset" | "epoch" | "ts">> & Pick<Envelope, "from" | "key" | "user">;

export interface HubOptions {
  store?: Store;
  /** Passwords by user; without any, nobody has to say who he is. */
  users?: Record<string, string>;
  /** Users by token. */
  tokens?: Record<string, string>;
  /** How many messages a room keeps. */
  history?: number;
  grace?: number;
  expiry?: number;
  ping?: number;
  /** How servers may differ. */
  unknownSession?: "fresh" | "unauthorized";
  keys?: boolean;
  batch?: number;
}

/** Where a session's messages go. */
export interface Link {
  readonly carrier: string;
  readonly address: string;
  send(envelope: Envelope): void;
  close(code: number, reason: string): void;
}

interface Place {
  member: string;
  data?: unknown;
  presence: string;
}

export class Failure extends Error {
  constructor(readonly code: string, message: string, readonly more: Json = {}) {
    super(message);
  }
}

export const newStore = (): Store => ({ rooms: new Map(), retained: new Map(), id: 0 });

let serial = 0;
const random = (prefix: string): string => `${prefix}${(++serial).toString(36)}${Math.random().toString(36).slice(2, 10)}`;
const now = (): string => new Date().toISOString().replace(/\.\d+/, "");

/** A client's session, with or without a connection. */
export class HubSession {
  readonly id = random("s");
  readonly secret = random("x");
  readonly since = Date.now();
  readonly rooms = new Map<string, Place>();
  readonly filters = new Set<string>();
  readonly answered = new Map<string, Envelope>();
  readonly waiting: Envelope[] = [];
  user: string | undefined;
  in = 0;
  out = 0;
  link: Link | undefined;
  grace: ReturnType<typeof setTimeout> | undefined;
  expiry: ReturnType<typeof setTimeout> | undefined;

  /** Sends, or keeps for when the client is back. */
  send(envelope: Envelope): void {
    const { kind } = envelope;
    this.out++;
    if (this.link) this.link.send(envelope);
    else if (kind !== "ephemeral" && kind !== "system") {
      this.waiting.push(envelope);
      if (this.waiting.length > 256) this.waiting.shift();
    }
  }
}

class Room {
  readonly members = new Map<HubSession, Place>();
  readonly changes = new Map<string, "joined" | "changed" | "left">();
  timer: ReturnType<typeof setTimeout> | undefined;
  constructor(readonly name: string, readonly kept: { epoch: string; before?: string; messages: Stored[] }) {}
  offset = 0;
}

export class Hub {
  readonly sessions = new Map<string, HubSession>();
  readonly rooms = new Map<string, Room>();
  readonly store: Store;
  readonly options: HubOptions;
  readonly started = Date.now();
  readonly counters = { messages_in: 0, messages_out: 0, bytes_in: 0, bytes_out: 0, dropped: 0, requests: 0, connections: 0, refused: 0 };
  readonly log: { ts: string; level: string; target: string; message: string; fields: Json }[] = [];
  readonly watchers = new Set<() => void>();
  readonly keys = new Map<string, Stored>();
  readonly responders = new Map<string, (payload: Json) => Json>();
  draining: Envelope | undefined;
  /** Refuses the next of these types: for tests. */
  readonly refuse: { type: string; failure: Failure }[] = [];

  constructor(options: HubOptions = {}) {
    this.options = options;
    this.store = options.store ?? newStore();
    this.note("info", "bowline::serve", "started", {});
  }

  note(level: string, target: string, message: string, fields: Json): void {
    this.log.push({ ts: new Date().toISOString(), level, target, message, fields });
    if (this.log.length > 200) this.log.shift();
    for (const watcher of this.watchers) watcher();
  }

  // ---- sessions ----

  get asksWho(): boolean {
    return this.options.users !== undefined || this.options.tokens !== undefined;
  }

  /** Who that is; fails if it is nobody. */
  who({ user, password, token }: Hello): string | undefined {
    const { users = {}, tokens = {} } = this.options;
    if (token !== undefined && tokens[token]) return tokens[token];
    if (user !== undefined && password !== undefined && users[user] === password) return user;
    if (this.asksWho || token !== undefined || (user !== undefined && users[user])) {
      this.counters.refused++;
      throw new Failure("unauthorized", "wrong name, password or token");
    }
    return user;
  }

  /** The session that somebody goes on with, or a new one. */
  session(hello: Hello, own?: HubSession): { session: HubSession; resumed: boolean } {
    const user = this.who(hello);
    if (hello.session !== undefined) {
      const known = this.sessions.get(hello.session);
      if (known && known.secret === hello.secret && known.user === user) return { session: known, resumed: true };
      if (known || this.options.unknownSession === "unauthorized") throw new Failure("unauthorized", "no such session");
    }
    const session = own ?? new HubSession();
    session.user = user;
    this.sessions.set(session.id, session);
    return { session, resumed: false };
  }

  attach(session: HubSession, link: Link, resumed: boolean, ref?: string): void {
    const before = session.link;
    session.link = undefined;
    if (before && before !== link) before.close(4409, "taken over");
    clearTimeout(session.grace);
    clearTimeout(session.expiry);
    this.counters.connections++;
    this.note("info", "bowline::net", resumed ? "resumed" : "connected", { client: link.address, carrier: link.carrier });
    const welcome = this.welcome(session, resumed);
    link.send({ kind: "system", type: "$welcome", payload: welcome as unknown as Json, ...(ref && { ref }) });
    session.link = link;
    for (const envelope of session.waiting.splice(0)) link.send(envelope);
    if (this.draining) link.send(this.draining);
  }

  welcome(session: HubSession, resumed: boolean): Welcome & Json {
    const { ping = 30_000 } = this.options;
    return {
      session: session.id, secret: session.secret, resumed, auth: this.asksWho, server: "bowline mock",
      ping_ms: ping, max_message: 1 << 20, ...(this.options.batch && { batch: this.options.batch }), ...(session.user && { user: session.user }),
    };
  }

  detach(session: HubSession, link: Link): void {
    if (session.link !== link) return;
    session.link = undefined;
    const { grace = 10_000, expiry = 60_000 } = this.options;
    session.grace = setTimeout(() => {
      for (const name of session.rooms.keys()) this.changed(name, session, "left");
    }, grace);
    session.expiry = setTimeout(() => this.end(session), expiry);
  }

  end(session: HubSession): void {
    for (const name of [...session.rooms.keys()]) this.leave(session, name);
    clearTimeout(session.grace);
    clearTimeout(session.expiry);
    this.sessions.delete(session.id);
    session.link?.close(1000, "ended");
    session.link = undefined;
  }

  /** Tells all to come back later, and goes. */
  drain(retryAfter: number): void {
    this.draining = { kind: "system", type: "$drain", payload: { retry_after_ms: retryAfter } };
    for (const { link } of this.sessions.values()) link?.send(this.draining);
  }

  stop(): void {
    for (const session of this.sessions.values()) {
      clearTimeout(session.grace);
      clearTimeout(session.expiry);
      const { link } = session;
      session.link = undefined;
      link?.close(1012, "the server goes");
    }
    for (const { timer } of this.rooms.values()) clearTimeout(timer);
    this.sessions.clear();
  }

  // ---- rooms ----

  room(name: string): Room {
    let room = this.rooms.get(name);
    if (!room) {
      let kept = this.store.rooms.get(name);
      if (!kept) this.store.rooms.set(name, (kept = { epoch: random("e"), messages: [] }));
      room = new Room(name, kept);
      room.offset = kept.messages.at(-1)?.offset ?? 0;
      this.rooms.set(name, room);
    }
    return room;
  }

  private join(session: HubSession, name: string, payload: Json): Envelope {
    if (!name || name.length > 128 || /[+#\0]/.test(name)) throw new Failure("bad_room", `a room cannot be named ${JSON.stringify(name)}`);
    const room = this.room(name);
    const { since, history = 0, presence = "none", data } = payload as { since?: { epoch: string; offset: number }; history?: number; presence?: string; data?: unknown };
    const { epoch, messages } = room.kept;
    const known = session.rooms.get(name);
    const place: Place = { member: known?.member ?? random("m"), presence, ...(data !== undefined ? { data } : {}) };
    session.rooms.set(name, place);
    room.members.set(session, place);
    this.changed(name, session, known ? "changed" : "joined");
    const have = since && (since.epoch === epoch || since.epoch === room.kept.before) && since.offset <= room.offset && (messages[0]?.offset ?? room.offset + 1) <= since.offset + 1;
    const missed = have ? messages.filter(({ offset }) => offset > since.offset) : messages.slice(-(since && !history ? 50 : history) || messages.length);
    if (have || since || history) for (const message of missed) session.send({ ...this.shown(message), kind: "history", room: name });
    const members = [...room.members].map(([each, at]) => this.member(each, at));
    return {
      type: "$joined", kind: "system", room: name,
      payload: {
        epoch, offset: room.offset, recovered: have === true, member: place.member,
        ...(presence !== "none" && { count: members.length }), ...(presence === "full" && { members: members.length > 1000 ? null : members }),
      },
    };
  }

  private shown(message: Stored): Envelope {
    const { key, ...rest } = message;
    return this.options.keys === false || !key ? rest : message;
  }

  private member(session: HubSession, { member, data }: Place): Json {
    return { member, ...(session.user && { user: session.user }), ...(data !== undefined && { data }) };
  }

  private leave(session: HubSession, name: string): void {
    const room = this.rooms.get(name);
    if (!room || !session.rooms.has(name)) throw new Failure("not_member", `not in ${name}`);
    this.changed(name, session, "left");
    room.members.delete(session);
    session.rooms.delete(name);
    if (!room.members.size && !room.kept.messages.length) this.rooms.delete(name);
  }

  /** Notes that a member came, changed or went, and tells the others soon. */
  private changed(name: string, session: HubSession, how: "joined" | "changed" | "left"): void {
    const room = this.room(name);
    const { member } = session.rooms.get(name)!;
    const before = room.changes.get(member);
    if (before === "joined" && how === "left") room.changes.delete(member);
    else if (before !== "joined") room.changes.set(member, how);
    room.timer ??= setTimeout(() => this.tell(room), 200);
  }

  private tell(room: Room): void {
    room.timer = undefined;
    const of = new Map([...room.members].map(([session, place]) => [place.member, this.member(session, place)]));
    const named = (how: string): string[] => [...room.changes].filter(([, what]) => what === how).map(([member]) => member);
    const payload = {
      joined: named("joined").flatMap((member) => of.get(member) ?? []),
      changed: named("changed").flatMap((member) => of.get(member) ?? []),
      left: named("left"),
      count: room.members.size,
    };
    room.changes.clear();
    for (const [session, { presence }] of room.members) {
      if (presence === "none") continue;
      session.send({ kind: "system", type: "$presence", room: room.name, payload: presence === "full" ? payload : { count: payload.count } });
    }
  }

  private say(session: HubSession, envelope: Envelope): Envelope | undefined {
    const { type, payload = {}, room: name = "", id, key, kind } = envelope;
    const place = session.rooms.get(name);
    if (!place) throw new Failure("not_member", `not in ${name}`);
    const room = this.room(name);
    this.count(JSON.stringify(payload).length, room.members.size);
    if (kind === "ephemeral" || type === "chat.typing") {
      const said = { kind: "ephemeral", type, room: name, payload, from: place.member } as const;
      for (const each of room.members.keys()) if (each !== session) each.send(said);
      return undefined;
    }
    // A key is the user's; of who is none, the session's.
    const named = key && `${name}\0${session.user ? `u${session.user}` : `s${session.id}`}\0${key}`;
    const known = (id && session.answered.get(id)) ?? (named && this.keys.get(named));
    if (known && "offset" in known) {
      const { id: its, offset, epoch } = known as Stored;
      return this.ack(name, { id: its, offset, epoch, duplicate: true });
    }
    const message: Stored = {
      id: String(++this.store.id).padStart(20, "0"), type, payload, offset: ++room.offset, epoch: room.kept.epoch, ts: now(), from: place.member,
      ...(key && { key }), ...(session.user && { user: session.user }),
    };
    const { messages } = room.kept;
    messages.push(message);
    if (messages.length > (this.options.history ?? 1000)) messages.shift();
    if (named) this.keys.set(named, message);
    if (id) {
      session.answered.set(id, message as Envelope);
      if (session.answered.size > 128) session.answered.delete(session.answered.keys().next().value!);
    }
    for (const each of room.members.keys()) each.send({ ...this.shown(message), kind: "event", room: name });
    this.deliver(`$room/${name}`, { data: { type, payload, from: place.member } });
    return this.ack(name, { id: message.id, offset: message.offset, epoch: message.epoch, duplicate: false });
  }

  private ack(room: string, payload: Json): Envelope {
    return { kind: "system", type: "$ack", room, payload };
  }

  private past(name: string, { limit = 50, before, after }: { limit?: number; before?: string; after?: string }): Envelope {
    const { epoch, messages } = this.room(name).kept;
    const bound = Math.min(limit, 1000);
    const all = after !== undefined ? messages.filter(({ id }) => id > after) : messages.filter(({ id }) => before === undefined || id < before).reverse();
    const page = all.slice(0, bound).map((message) => ({ ...this.shown(message), kind: "history", room: name }));
    return { kind: "system", type: "$history", room: name, payload: { epoch, messages: page, more: all.length > bound } };
  }

  // ---- topics ----

  private count(octets: number, receivers: number): void {
    this.counters.messages_in++;
    this.counters.bytes_in += octets;
    this.counters.messages_out += receivers;
    this.counters.bytes_out += octets * receivers;
  }

  /** Publishes by the hub itself. */
  publish(topic: string, payload: Json, retain = false): void {
    if (retain) this.store.retained.set(topic, payload);
    this.deliver(topic, payload);
  }

  private deliver(topic: string, payload: Json): void {
    for (const session of this.sessions.values()) {
      if ([...session.filters].some((filter) => matches(filter, topic))) {
        session.send({ kind: "event", type: "$message", payload: { topic, ...payload } });
      }
    }
  }

  // ---- messages ----

  /** Takes a message of a session; its answer goes where its messages go. */
  take(session: HubSession, envelope: Envelope): void {
    const { id, room, type } = envelope;
    session.in++;
    const refused = this.refuse.findIndex((each) => each.type === type);
    try {
      if (typeof type !== "string" || !type) throw new Failure("unknown_type", "a message needs a type");
      if (refused >= 0) throw this.refuse.splice(refused, 1)[0]!.failure;
      if (this.draining && type !== "$ping") throw new Failure("draining", "the server goes");
      const answer = this.answer(session, envelope);
      if (answer && id) session.send({ ...answer, ref: id });
    } catch (error) {
      session.send(failure(error, id, room));
    }
  }

  private answer(session: HubSession, envelope: Envelope): Envelope | undefined {
    const { type, room = "", payload = {} } = envelope;
    const ok: Envelope = { kind: "system", type: "$ok", payload: {} };
    const topic = String(payload.topic ?? "");
    switch (type) {
      case "$join":
        return this.join(session, room, payload);
      case "$leave":
        this.leave(session, room);
        return { ...ok, room };
      case "$leave_all":
        for (const name of [...session.rooms.keys()]) this.leave(session, name);
        return ok;
      case "$history":
        return this.past(room, payload);
      case "$members": {
        const members = [...(this.rooms.get(room)?.members ?? [])].map(([each, at]) => this.member(each, at));
        return { kind: "system", type, room, payload: { count: members.length, members } };
      }
      case "$presence": {
        const place = session.rooms.get(room);
        if (!place) throw new Failure("not_member", `not in ${room}`);
        place.data = payload.data;
        this.changed(room, session, "changed");
        return { ...ok, room };
      }
      case "$subscribe":
        if (!topic || topic.includes("\0")) throw new Failure("malformed", "payload.topic is no filter");
        session.filters.add(topic);
        for (const [at, kept] of this.store.retained) {
          if (matches(topic, at)) session.send({ kind: "event", type: "$message", payload: { topic: at, retain: true, ...kept } });
        }
        return ok;
      case "$unsubscribe":
        session.filters.delete(topic);
        return ok;
      case "$publish": {
        if (topic.startsWith("$SYS/")) throw new Failure("denied", "$SYS/ is the server's");
        const { retain, ...said } = payload;
        delete said.topic;
        this.count(JSON.stringify(said).length, 1);
        this.publish(topic, read(said), retain === true);
        return ok;
      }
      case "$request": {
        const responder = this.responders.get(topic);
        this.counters.requests++;
        if (!responder) throw new Failure("no_responder", `nobody answers on ${topic}`);
        return { kind: "system", type: "$response", payload: responder(payload) };
      }
      case "$auth":
        if (this.who(payload as Hello) !== session.user) throw new Failure("denied", "another user");
        return ok;
      case "$ping":
        return { kind: "system", type: "$pong", payload: {} };
      case "$bye":
        this.end(session);
        return undefined;
      default:
        if (type.startsWith("$")) throw new Failure("unknown_type", `no type ${type}`);
        if (!room) throw new Failure("denied", `nobody may publish to $type/${type}`);
        return this.say(session, envelope);
    }
  }
}

/** What is published as it is told: octets are JSON, or text, or themselves (JSN-13). */
function read(payload: Json): Json {
  if (typeof payload.text === "string") return { text: payload.text };
  if (typeof payload.base64 !== "string") return payload;
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(Buffer.from(payload.base64, "base64"));
    try {
      return { data: JSON.parse(text) as unknown };
    } catch {
      return { text };
    }
  } catch {
    return payload;
  }
}

/** The envelope that says what failed. */
export function failure(error: unknown, ref?: string, room?: string): Envelope {
  if (!(error instanceof Failure)) throw error;
  return { kind: "error", type: "$error", ...(ref && { ref }), ...(room && { room }), payload: { code: error.code, message: error.message, ...error.more } };
}
