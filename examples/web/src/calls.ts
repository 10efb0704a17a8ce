import { Backoff } from "./backoff";
import { BowlineError } from "./error";
import { SECOND, type Envelope } from "./wire";

/** What is asked of the server, and how. */
export interface Ask {
  envelope: Envelope;
  /** Whether it is asked again on the next connection when this one ended before the answer. */
  again: boolean;
  /** Whether it may be sent now: what has none waits for nothing but the connection. */
  gate?: () => boolean;
  /** Whether it counts for the queue's bound. */
  bounded?: boolean;
  /** How long an answer may take, in milliseconds. */
  limit?: number;
  /** Given the answer before anything that came behind it is looked at: a promise would be too late for that. */
  now?: (answer: Envelope) => void;
}

interface Call extends Ask {
  sent: boolean;
  resolve: (answer: Envelope) => void;
  reject: (error: BowlineError) => void;
  timer?: ReturnType<typeof setTimeout>;
  /** What its answer says, if that was seen elsewhere. */
  known?: Envelope;
}

/** What is under way at a time: the server knows the last 128 ids of a session as sent already. */
const WINDOW = 64;

/**
 * Everything that waits for an answer, in the order it was asked: sent when there is a connection, sent again with the
 * same id after one that broke, until it is answered.
 */
export class Calls {
  readonly #calls = new Map<string, Call>();
  readonly #backoff: Backoff;
  readonly #prefix: string;
  #counter = 0;
  #bounded = 0;
  #under = 0;
  #pause: ReturnType<typeof setTimeout> | undefined;
  #ended = false;

  constructor(
    private readonly ready: () => boolean,
    private readonly send: (envelope: Envelope) => void,
    private readonly bound: number,
    random: () => number,
  ) {
    this.#backoff = new Backoff(random, SECOND);
    // No other client's: ids go on as keys, which other sessions of the same user have as well.
    this.#prefix = Array.from({ length: 3 }, () => Math.floor(random() * 2 ** 32).toString(36)).join("");
  }

  /** A name that nothing else has. */
  key(): string {
    return `${this.#prefix}-${++this.#counter}`;
  }

  /** How many messages wait to be sent or acknowledged. */
  get waiting(): number {
    return this.#bounded;
  }

  /** Asks; fulfilled with the answer, rejected with what the server's error says. */
  ask(ask: Ask): Promise<Envelope> {
    const id = (ask.envelope.id ??= this.key());
    return new Promise((resolve, reject) => {
      if (this.#ended) return reject(new BowlineError("closed"));
      if (ask.bounded && this.#bounded >= this.bound) return reject(new BowlineError("queue_full", `${this.bound} messages wait already`));
      if (this.#calls.has(id)) return reject(new BowlineError("malformed", `the key ${id} is under way already`));
      const call: Call = { ...ask, sent: false, resolve, reject };
      if (ask.bounded) this.#bounded++;
      if (ask.limit) call.timer = setTimeout(() => this.#end(id)?.reject(new BowlineError("timeout")), ask.limit);
      this.#calls.set(id, call);
      this.pump();
    });
  }

  /** Sends what may be sent. */
  pump(): void {
    if (this.#pause) return;
    for (const call of this.#calls.values()) {
      if (this.#under >= WINDOW || !this.ready()) return;
      if (call.sent || call.gate?.() === false) continue;
      call.sent = true;
      this.#under++;
      this.send(call.envelope);
    }
  }

  /** Takes an answer; false if nobody asked for it. */
  answer(envelope: Envelope): boolean {
    const call = this.#calls.get(envelope.ref ?? "");
    if (!call) return false;
    const error = envelope.type === "$error" ? BowlineError.from(envelope) : undefined;
    if (error?.later && call.again) {
      call.sent = false;
      this.#under--;
      this.#pause ??= setTimeout(() => {
        this.#pause = undefined;
        this.pump();
      }, error.retryAfter ?? this.#backoff.next());
      return true;
    }
    this.#end(envelope.ref!);
    if (error) call.reject(error);
    else {
      this.#backoff.reset();
      call.now?.(envelope);
      call.resolve(envelope);
    }
    this.pump();
    return true;
  }

  /** The server has done what this would be the answer to, as was seen elsewhere. It may not have it for good yet. */
  known(answer: Envelope): void {
    const call = this.#calls.get(answer.ref ?? "");
    if (call) call.known = answer;
  }

  /** Up to here a room has its messages on a new connection: those known to be among them are not sent again. */
  settle(room: string, epoch: unknown, offset: number): void {
    for (const [id, call] of this.#calls) {
      if (!call.known || call.envelope.room !== room) continue;
      const { payload = {} } = call.known;
      if (payload.epoch === epoch && Number(payload.offset) <= offset) this.#end(id)!.resolve(call.known);
      else delete call.known;
    }
  }

  /** The connection has gone: what it did not answer is sent on the next one, or fails. */
  cut(): void {
    for (const [id, call] of this.#calls) {
      if (!call.sent) continue;
      call.sent = false;
      this.#under--;
      if (!call.again) this.#end(id)!.reject(new BowlineError("disconnected"));
    }
  }

  /** Sends those that pass again, when they can be. */
  repeat(envelope: Envelope): boolean {
    const call = this.#calls.get(envelope.ref ?? "");
    if (!call?.sent) return false;
    call.sent = false;
    this.#under--;
    return true;
  }

  /** Gives up all and takes no more, or those of a room. */
  fail(code: string, room?: string): void {
    for (const [id, { envelope }] of this.#calls) {
      if (room === undefined || envelope.room === room) this.#end(id)!.reject(new BowlineError(code));
    }
    if (room !== undefined) return;
    this.#ended = true;
    clearTimeout(this.#pause);
    this.#pause = undefined;
  }

  #end(id: string): Call | undefined {
    const call = this.#calls.get(id);
    if (!call) return undefined;
    this.#calls.delete(id);
    clearTimeout(call.timer);
    if (call.sent) this.#under--;
    if (call.bounded) this.#bounded--;
    return call;
  }
}
