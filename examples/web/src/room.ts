import { Backoff } from "./backoff";
import type { Calls } from "./calls";
import { BowlineError } from "./error";
import { Emitter } from "./events";
import { SECOND, type Envelope, type Json } from "./wire";

/** A message of a room: live (`kind` `event`) or read back (`history`). */
export type Message = Envelope & { id: string; offset: number; epoch: string; payload: Json };

/** A session in the room. */
export interface Member {
  member: string;
  user?: string;
  /** What it says of itself. */
  data?: unknown;
}

/** How a room is joined. */
export interface JoinOptions {
  /** How many of the newest messages come at first, and where what was missed cannot be told: 0. */
  history?: number;
  /** Whether to be told who is there, how many are, or nothing: `none`. */
  presence?: "full" | "count" | "none";
  /** What other members see of this one. */
  data?: unknown;
  /** Goes on from where another visit ended: `room.place` of then. */
  since?: Place;
  /** False in rooms that keep only the latest for slow members: a gap is then no loss. */
  complete?: boolean;
}

/** Up to where a room was read. */
export interface Place {
  epoch: string;
  offset: number;
}

/** The room was joined, at first or again; comes before the messages that were read back. */
export interface Joined {
  /** False if the room was joined before, and this is after a connection broke. */
  first: boolean;
  /** Whether all that was missed follows. If not, what follows is the newest, and something may be missing before it. */
  recovered: boolean;
  /** How many messages follow. */
  count: number;
}

/** How the members changed. */
export interface Presence {
  joined: Member[];
  changed: Member[];
  /** Their names in the room. */
  left: string[];
  count: number;
}

/** What the server answers when it took a message. */
export interface Ack {
  id: string;
  offset: number;
  epoch: string;
  /** It had it already. */
  duplicate: boolean;
}

/** A part of a room's past. */
export interface Page {
  messages: Message[];
  /** Whether there is more in this direction. */
  more: boolean;
}

export interface RoomEvents {
  /** Each message once, in the room's order. */
  message: Message;
  /** What is not kept: typing, cursors. */
  ephemeral: Envelope;
  joined: Joined;
  presence: Presence;
  /** The server does not let the client in, or takes something not. */
  error: BowlineError;
}

/** How often typing is told at most. */
const TYPING = 2 * SECOND;
/** So many messages are known by their ids, should their numbers change. */
const SEEN = 256;
/** A room that was joined for so long is joined again quickly. */
const SETTLED = 30 * SECOND;

/** A room, joined as long as the client is open and it was not left. */
export class Room extends Emitter<RoomEvents> {
  readonly name: string;
  /** This client's name in the room, while it is joined. */
  self: string | undefined;
  /** Who is there, with `presence: "full"`; of rooms with more than 1,000 nobody is named. */
  readonly members = new Map<string, Member>();
  /** How many are there, with `full` or `count`. */
  count = 0;
  /** Up to where the room was read. */
  place: Place | undefined;
  /** The id of the oldest message that was seen. */
  oldest: string | undefined;

  readonly #calls: Calls;
  readonly #send: (envelope: Envelope) => void;
  readonly #left: () => void;
  readonly #options: JoinOptions;
  readonly #backoff: Backoff;
  /** What this client was called in the room, over all its sessions. */
  readonly #selves = new Set<string>();
  /** The ids of the last messages. */
  readonly #seen: string[] = [];
  #joined = false;
  /** Messages may be sent: those read back are known, and with them which of our own the server has. */
  #open = false;
  /** Why the server does not let the client in. */
  #barred: BowlineError | undefined;
  #first = true;
  #gone = false;
  /** What was read back and waits for `$joined`, which says what it is. */
  #read: Message[] | undefined;
  #joinedAt = 0;
  #typedAt = -TYPING;
  #again: ReturnType<typeof setTimeout> | undefined;

  /** @internal */
  constructor(name: string, options: JoinOptions, calls: Calls, random: () => number, send: (envelope: Envelope) => void, left: () => void) {
    super();
    this.name = name;
    this.place = options.since;
    this.#options = { ...options };
    this.#calls = calls;
    this.#backoff = new Backoff(random);
    this.#send = send;
    this.#left = left;
  }

  /** True while the server has this client in the room. */
  get joined(): boolean {
    return this.#joined;
  }

  /**
   * Sends a message, now or when that is possible again; fulfilled when the server has it. It is sent once, however
   * often the connection breaks: by its `key`, which may be given, and has to be this message's alone.
   */
  async send(type: string, payload: Json = {}, { key }: { key?: string } = {}): Promise<Ack> {
    if (this.#gone) throw new BowlineError("left");
    if (this.#barred) throw this.#barred;
    this.#typedAt = -TYPING; // who goes on writing tells it anew
    const id = key ?? this.#calls.key();
    const envelope = { type, room: this.name, payload, id, key: id };
    const answer = await this.#calls.ask({ envelope, again: true, bounded: true, gate: () => this.#open });
    return answer.payload as unknown as Ack;
  }

  /** Sends what is worth something now or never, if that is possible. */
  ephemeral(type: string, payload: Json = {}): void {
    if (this.#joined) this.#send({ type, kind: "ephemeral", room: this.name, payload });
  }

  /** Tells that somebody writes here; to be called at each key, it tells it at most every 2 s. */
  typing(payload: Json = {}): void {
    const now = Date.now();
    if (!this.#joined || now - this.#typedAt < TYPING) return;
    this.#typedAt = now;
    this.ephemeral("chat.typing", payload);
  }

  /**
   * Reads back: what came before the oldest message seen, newest first, or before or after an id. Where `joined` said
   * that something may be missing, `after` the last message before that gives it, as far as the room still has it.
   */
  async history({ before, after, limit }: { before?: string; after?: string; limit?: number } = {}): Promise<Page> {
    const from = after === undefined ? { before: before ?? this.oldest } : { after };
    const payload = { ...from, ...(limit && { limit }) } as Json;
    const answer = await this.#calls.ask({ envelope: { type: "$history", room: this.name, payload }, again: true });
    const page = answer.payload as unknown as Page;
    page.messages.forEach((message) => this.#older(message.id));
    return page;
  }

  /** Changes what other members see of this one. */
  async describe(data: unknown): Promise<void> {
    this.#options.data = data;
    const envelope = { type: "$presence", room: this.name, payload: { data } };
    // While it is not joined, joining tells it.
    if (this.#joined) await this.#calls.ask({ envelope, again: false });
  }

  /** Leaves; what was not sent yet is given up. */
  leave(): void {
    if (this.#gone) return;
    if (this.#joined || this.#read) this.#send({ type: "$leave", room: this.name });
    this.end("left");
    this.#left();
  }

  /** @internal The connection can take a join. */
  join(): void {
    if (this.#gone) return;
    this.#stop();
    this.#barred = undefined;
    this.#read = [];
    const { history = 0, presence, data } = this.#options;
    const payload = { history, ...(presence && { presence }), ...(data !== undefined && { data }), ...(this.place && { since: this.place }) };
    const now = ({ payload: answer }: Envelope): void => this.#welcome(answer!);
    this.#calls.ask({ envelope: { type: "$join", room: this.name, payload }, again: false, now }).catch((error: BowlineError) => this.#refused(error));
  }

  /** @internal The connection has gone. */
  cut(): void {
    this.#stop();
  }

  /** @internal Nothing more comes. */
  end(code: string): void {
    this.#gone = true;
    this.#stop();
    this.#calls.fail(code, this.name);
  }

  /** @internal A message of this room came. */
  take(envelope: Envelope): void {
    if (this.#gone) return;
    const { type, kind, offset } = envelope;
    if (type === "$presence") {
      const { members, ...change } = envelope.payload as Partial<Presence> & { members?: Member[] };
      if (this.#joined && members) this.#snapshot(members, change.count ?? members.length);
      else if (this.#joined) this.#change(change);
    } else if (kind === "error") {
      this.#refused(BowlineError.from(envelope), true);
    } else if (offset === undefined) {
      if (this.#joined && kind !== "system") this.emit("ephemeral", envelope);
    } else if (kind === "history") {
      this.#read?.push(envelope as Message);
    } else if (this.#joined) {
      this.#live(envelope as Message);
    }
    // What is live before `$joined` was said to a connection before: reading back brings it again, in its place.
  }

  /** @internal A message was not taken: this is no member (any more). */
  rejoin(): void {
    if (!this.#joined || this.#again) return;
    if (Date.now() - this.#joinedAt > SETTLED) this.#backoff.reset();
    this.#stop();
    this.#again = setTimeout(() => this.join(), this.#backoff.next());
  }

  #stop(): void {
    clearTimeout(this.#again);
    this.#again = this.#read = undefined;
    this.#joined = this.#open = false;
  }

  #live(message: Message): void {
    const { place } = this;
    const expected = place?.epoch === message.epoch ? place.offset + 1 : undefined;
    if (expected !== undefined && message.offset < expected) return;
    if (this.#options.complete !== false && expected !== undefined && message.offset > expected) {
      // Something was dropped on the way to a slow page: it is read back, this message too.
      return this.rejoin();
    }
    this.#deliver(message);
  }

  #deliver(message: Message): void {
    this.place = { epoch: message.epoch, offset: message.offset };
    this.#older(message.id);
    this.#seen.push(message.id);
    if (this.#seen.length > SEEN) this.#seen.shift();
    // Our own, of which the acknowledgement may be lost on the way: it need not be sent again. Keys can be read by
    // others and used by them, names in the room cannot.
    const { key, id, offset, epoch, from } = message;
    if (key && this.#selves.has(from!)) this.#calls.known({ type: "$ack", ref: key, payload: { id, offset, epoch, duplicate: message.kind === "history" } });
    this.emit("message", message);
  }

  #older(id: string): void {
    if (this.oldest === undefined || id < this.oldest) this.oldest = id;
  }

  #welcome(payload: Json): void {
    if (this.#gone || !this.#read) return;
    const { epoch, offset, recovered, member, count, members } = payload as { epoch?: string; offset: number; recovered?: boolean; member: string; count?: number; members?: Member[] | null };
    const { place } = this;
    // Where the numbers began anew, messages that stayed may have been given already, under other numbers.
    const fresh = this.#read.filter((message) => (place?.epoch === message.epoch ? message.offset > place.offset : !this.#seen.includes(message.id)));
    const first = this.#first;
    this.#read = undefined;
    this.#first = false;
    this.#joined = true;
    this.#joinedAt = Date.now();
    this.self = member;
    this.#selves.add(member);
    // Behind a restart numbers are of another epoch; what was seen before is not lost all the same, where the server says so.
    if (place && recovered) this.#calls.settle(this.name, place.epoch, place.offset);
    this.emit("joined", { first, recovered: place ? recovered === true : true, count: fresh.length });
    for (const message of fresh) this.#deliver(message);
    // A room where nothing was said yet has no epoch.
    this.place = epoch === undefined ? undefined : { epoch, offset };
    if (members || count !== undefined) this.#snapshot(members ?? undefined, count ?? members!.length);
    this.#calls.settle(this.name, epoch, offset);
    this.#open = this.#joined; // unless a handler left
    this.#calls.pump();
  }

  /** Who is there by now. */
  #snapshot(members: Member[] | undefined, count: number): void {
    const now = new Set(members?.map(({ member }) => member));
    this.#change({ joined: members ?? [], left: [...this.members.keys()].filter((member) => !now.has(member)), count });
  }

  /** Tells what is different from what was known: a reconnection looks like nothing where nothing happened. */
  #change({ joined = [], changed = [], left = [], count }: Partial<Presence>): void {
    const news: Presence = { joined: [], changed: [], left: left.filter((member) => this.members.delete(member)), count: count ?? this.members.size };
    for (const each of [...joined, ...changed]) {
      const known = this.members.get(each.member);
      if (!known) news.joined.push(each);
      else if (JSON.stringify(known) !== JSON.stringify(each)) news.changed.push(each);
      this.members.set(each.member, each);
    }
    const same = news.count === this.count && !news.joined.length && !news.changed.length && !news.left.length;
    this.count = news.count;
    if (!same) this.emit("presence", news);
  }

  #refused(error: BowlineError, asked = false): void {
    if (this.#gone || error.code === "disconnected" || error.code === "left" || error.code === "closed") return;
    if (!asked) {
      this.#stop();
      if (error.later) this.#again = setTimeout(() => this.join(), error.retryAfter ?? this.#backoff.next());
      else {
        this.#barred = error;
        this.#calls.fail(error.code, this.name);
      }
    }
    this.emit("error", error);
  }
}
