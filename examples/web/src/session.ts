import { Backoff } from "./backoff";
import type { Carrier, CarrierName, Sink } from "./carrier/carrier";
import { http } from "./carrier/http";
import { events, poll } from "./carrier/receive";
import { websocket } from "./carrier/websocket";
import { SECOND, type Envelope, type Hello, type Welcome } from "./wire";

/** How a page comes to the server, and as whom. */
export interface Options {
  /** A name and its password. */
  user?: string;
  password?: string;
  /** Or a token. */
  token?: string;
  /**
   * Fetches a token: when there is none, when the server refuses the one there is, and before it ends, if it says in
   * how many seconds that is. The connection stays as it is.
   */
  refresh?: () => Promise<string | { token: string; expiresIn?: number }>;
  /** What may carry messages, the best first. All three, unless told otherwise. */
  carriers?: CarrierName[];
  /** How many messages may wait to be sent or acknowledged: 1,000. */
  queue?: number;
  /** How long a connection may take to be ready, and a sign of life to come, in milliseconds: 10,000. */
  timeout?: number;
  /** What stands in for the page's own, in tests and elsewhere. */
  WebSocket?: typeof WebSocket;
  fetch?: typeof fetch;
  random?: () => number;
}

/** What goes on between the page and the server. */
export type State =
  | { name: "connecting" }
  /** Messages go through; `resumed`: the server still had the session. */
  | { name: "open"; carrier: CarrierName; resumed: boolean }
  /** The next attempt is at `until`, in milliseconds since 1970; `reason` says why the last one ended. */
  | { name: "waiting"; until: number; reason: string }
  /** The server does not take the credentials. `refresh` tries anew. */
  | { name: "denied"; reason: string }
  | { name: "closed" };

/** What the session tells the client. */
export interface Hooks {
  state(state: State): void;
  /** A new connection: everything is to be asked for again, or not, if it resumed. */
  opened(welcome: Welcome): void;
  /** The connection has gone: answers that it owed will not come. */
  cut(): void;
  message(envelope: Envelope): void;
}

type TimerName = "retry" | "handshake" | "beat" | "deadline" | "upgrade" | "token";

/** A connection that lasted less has not worked. */
const STABLE = 10 * SECOND;
/** So many WebSockets in a row that failed after one that worked, or did not last, and the others are tried. */
const FAILURES = 3;
/** How soon a WebSocket is tried again behind a connection that does without, and the longest pause. */
const UPGRADE = [30 * SECOND, 600 * SECOND] as const;
/** How long a session that is asked whether it is alive has, when the page is back in view. */
const PROBE = 4 * SECOND;
/** The longest that a timer can wait. */
const LONGEST = 2 ** 31 - 1;

/** Keeps a session with the server: over which carrier, since when, until when. */
export class Session {
  state: State = { name: "connecting" };
  welcome: Welcome | undefined;
  readonly #options: Options;
  readonly #hooks: Hooks;
  readonly #base: string;
  readonly #backoff: Backoff;
  readonly #undo: (() => void)[] = [];
  #carriers: CarrierName[];
  #elsewhere: string | undefined;
  #carrier: Carrier | undefined;
  #trying: Carrier | undefined;
  #attempt = 0;
  /** WebSockets that did not open since one did; and that opened and did not last, in a row. */
  #failures = FAILURES;
  #brief = 0;
  #notBefore = 0;
  #openedAt = 0;
  #heardAt = 0;
  #silent = false;
  #draining = false;
  #token: string | undefined;
  #refreshed = false;
  #upgradeIn: number = UPGRADE[0];
  #timers: Partial<Record<TimerName, ReturnType<typeof setTimeout>>> = {};

  constructor(url: string | URL, options: Options, hooks: Hooks) {
    this.#base = base(url);
    this.#options = options;
    this.#hooks = hooks;
    this.#token = options.token;
    this.#backoff = new Backoff(options.random ?? Math.random);
    const have = options.WebSocket ?? globalThis.WebSocket;
    this.#carriers = (options.carriers ?? ["websocket", "events", "poll"]).filter((name) => have || name !== "websocket");
    this.#listen();
    // Not at once: who made this has handlers to add.
    queueMicrotask(() => this.#connect());
  }

  /** True while messages can be sent and will be taken. */
  get ready(): boolean {
    return this.#carrier !== undefined && !this.#draining;
  }

  send(envelope: Envelope): void {
    this.#carrier?.send(envelope);
  }

  /** Ends the session, here and at the server. */
  close(): void {
    if (this.state.name === "closed") return;
    this.#attempt++;
    this.#trying?.close(true);
    this.#carrier?.close(true);
    this.#trying = this.#carrier = undefined;
    for (const name of Object.keys(this.#timers)) this.#stop(name as TimerName);
    for (const undo of this.#undo) undo();
    this.#become({ name: "closed" });
  }

  /** Fetches a new token, and tells it to the server: the connection stays as it is. */
  async refresh(): Promise<void> {
    await this.#fetchToken();
    if (this.state.name === "denied") this.#connect();
    else this.#carrier?.send({ type: "$auth", id: "token", payload: { token: this.#token } });
  }

  async #fetchToken(): Promise<void> {
    const fresh = await this.#options.refresh!();
    if (this.state.name === "closed") return;
    const { token, expiresIn = 0 } = typeof fresh === "string" ? { token: fresh } : fresh;
    this.#token = token;
    this.#after("token", expiresIn * 0.8 * SECOND, () => this.#renew(), expiresIn > 0);
  }

  #renew(): void {
    this.refresh().catch(() => this.state.name !== "closed" && this.#after("token", 10 * SECOND, () => this.#renew()));
  }

  #become(state: State): void {
    this.state = state;
    this.#hooks.state(state);
  }

  #stop(name: TimerName): void {
    clearTimeout(this.#timers[name]);
    delete this.#timers[name];
  }

  #after(name: TimerName, delay: number, run: () => void, wanted = true): void {
    this.#stop(name);
    if (wanted) this.#timers[name] = setTimeout(run, Math.min(delay, LONGEST));
  }

  // ---- connecting ----

  #connect(): void {
    if (this.state.name === "closed") return;
    this.#stop("retry");
    this.#become({ name: "connecting" });
    // Where WebSocket is known to work, a failure says that the server is away, not that something is in its way.
    const [first, ...others] = this.#carriers;
    const only = first === "websocket" && this.#failures < FAILURES;
    void this.#try(only ? [first!] : [first!, ...others], false);
  }

  async #hello(): Promise<Hello | undefined> {
    const { user, password, refresh } = this.#options;
    if (!this.#token && refresh) await this.#fetchToken();
    const hello: Hello = {
      ...(this.#token && { token: this.#token }),
      ...(user !== undefined && { user, password: password ?? "" }),
      ...(this.welcome && { session: this.welcome.session, secret: this.welcome.secret }),
    };
    return Object.keys(hello).length ? hello : undefined;
  }

  /** Tries one carrier after the other; `behind` an open connection, which stays until there is a better one. */
  async #try([name, ...others]: CarrierName[], behind: boolean): Promise<void> {
    const attempt = ++this.#attempt;
    let hello: Hello | undefined;
    let reason = "no token";
    try {
      hello = await this.#hello();
    } catch (error) {
      name = undefined;
      reason = `no token: ${String(error)}`;
    }
    if (attempt !== this.#attempt) return;

    let carrier: Carrier | undefined;
    const failed = (why: string, after?: number): void => {
      if (carrier && carrier === this.#carrier) return this.#lost(why, after);
      if (attempt !== this.#attempt) return;
      this.#stop("handshake");
      this.#trying = undefined;
      if (name === "websocket") this.#failures++;
      if (after !== undefined) this.#wait(after);
      if (behind) this.#upgrade();
      else if (others.length && after === undefined) void this.#try(others, false);
      else this.#schedule(why);
    };
    const sink: Sink = {
      welcome: (welcome) => {
        this.#stop("handshake");
        if (attempt === this.#attempt) this.#adopt(carrier!, welcome);
      },
      refused: (why) => {
        if (attempt !== this.#attempt && carrier !== this.#carrier) return;
        if (behind) failed(why);
        else this.#refused(name!, others, why);
      },
      message: (envelope) => this.#message(envelope),
      heard: () => {
        this.#heardAt = Date.now();
        this.#silent = false;
      },
      closed: failed,
    };
    if (!name) return failed(reason);
    const limit = this.#options.timeout ?? 10 * SECOND;
    this.#after("handshake", limit, () => {
      carrier?.close(false);
      failed("the connection was not ready in time");
    });
    try {
      carrier = this.#open(name, hello, sink);
    } catch (error) {
      return failed(String(error)); // a page's rules may forbid an address at once
    }
    if (attempt === this.#attempt) this.#trying = carrier;
  }

  #open(name: CarrierName, hello: Hello | undefined, sink: Sink): Carrier {
    const ground = {
      base: this.#elsewhere ?? this.#base,
      hello,
      sink,
      WebSocket: this.#options.WebSocket ?? globalThis.WebSocket,
      fetch: this.#options.fetch ?? globalThis.fetch.bind(globalThis),
    };
    if (name === "websocket") return websocket(ground);
    return http(name, name === "events" ? events : poll, ground);
  }

  #adopt(carrier: Carrier, welcome: Welcome): void {
    const before = this.#carrier;
    this.#carrier = carrier;
    this.#trying = undefined;
    this.#stop("deadline");
    if (before) {
      before.close(false);
      this.#hooks.cut();
    }
    this.#openedAt = this.#heardAt = Date.now();
    this.#draining = this.#refreshed = false;
    this.welcome = welcome;
    // What works is tried first the next time.
    this.#carriers = [carrier.name, ...this.#carriers.filter((name) => name !== carrier.name)];
    if (carrier.name === "websocket") this.#failures = 0;
    this.#become({ name: "open", carrier: carrier.name, resumed: welcome.resumed });
    this.#hooks.opened(welcome);
    this.#beat();
    if (carrier.name !== "websocket" && this.#carriers.includes("websocket")) this.#upgrade();
  }

  /** Looks behind what works for whether a WebSocket gets through by now. */
  #upgrade(): void {
    this.#after("upgrade", this.#upgradeIn, () => {
      if (!this.ready) return;
      this.#upgradeIn = Math.min(this.#upgradeIn * 2, UPGRADE[1]);
      void this.#try(["websocket"], true);
    });
  }

  // ---- ending ----

  #refused(name: CarrierName, others: CarrierName[], reason: string): void {
    this.#drop();
    const { refresh } = this.#options;
    if (refresh && !this.#refreshed) {
      this.#refreshed = true;
      this.#token = undefined;
    } else if (this.welcome) {
      // The session has gone, perhaps: the credentials alone may do.
      this.welcome = undefined;
    } else {
      this.#refreshed = false;
      return this.#become({ name: "denied", reason });
    }
    this.#become({ name: "connecting" });
    void this.#try([name, ...others], false);
  }

  #lost(reason: string, after?: number): void {
    const lasted = Date.now() - this.#openedAt >= STABLE;
    if (lasted) this.#backoff.reset();
    if (lasted && this.#carrier!.name === "websocket") this.#upgradeIn = UPGRADE[0];
    this.#brief = lasted || this.#carrier!.name !== "websocket" ? 0 : this.#brief + 1;
    if (this.#brief >= FAILURES) {
      this.#brief = 0;
      this.#carriers = [...this.#carriers.slice(1), "websocket"];
    }
    this.#drop();
    if (after !== undefined) this.#wait(after);
    this.#schedule(reason);
  }

  /** Leaves the connection, the attempt at one, and what both had waited for. */
  #drop(): void {
    const open = this.#carrier;
    this.#attempt++;
    this.#trying?.close(false);
    this.#trying = this.#carrier = undefined;
    for (const name of ["handshake", "beat", "deadline", "upgrade"] as const) this.#stop(name);
    if (open) this.#hooks.cut();
  }

  #wait(after: number): void {
    this.#notBefore = Math.max(this.#notBefore, Date.now() + after);
  }

  #schedule(reason: string): void {
    if (this.#elsewhere && !this.#draining) this.#elsewhere = undefined;
    this.#draining = false;
    const until = Math.max(Date.now() + this.#backoff.next(), this.#notBefore);
    this.#after("retry", until - Date.now(), () => this.#connect());
    this.#become({ name: "waiting", until, reason });
  }

  // ---- being open ----

  #message(envelope: Envelope): void {
    if (envelope.type !== "$drain") return this.#hooks.message(envelope);
    const { retry_after_ms: after, endpoint } = envelope.payload as { retry_after_ms?: number; endpoint?: string };
    this.#draining = true;
    this.#wait(after ?? SECOND);
    // Elsewhere, unless that is less safe than here.
    try {
      const other = endpoint && base(endpoint);
      if (other && (/^https:/.test(other) || (/^http:/.test(other) && /^http:/.test(this.#base)))) this.#elsewhere = other;
    } catch {
      // An address that is none: here again.
    }
  }

  #beat(): void {
    const every = Math.min(Math.max(this.welcome?.ping_ms ?? 30 * SECOND, 5 * SECOND), 60 * SECOND);
    this.#after("beat", every, () => {
      if (Date.now() - this.#heardAt >= every) this.#probe(this.#options.timeout ?? 10 * SECOND);
      this.#beat();
    });
  }

  /** Asks for a sign of life; without one within `limit` the connection is given up. */
  #probe(limit: number): void {
    const carrier = this.#carrier;
    if (!carrier || this.#timers.deadline) return;
    this.#silent = true;
    carrier.send({ type: "$ping", id: "ping" });
    this.#after("deadline", limit, () => {
      this.#stop("deadline");
      if (carrier !== this.#carrier || !this.#silent) return;
      carrier.close(false);
      this.#lost("the server is silent");
    });
  }

  /** The page is seen again, or the network is back: now is better than later. */
  awake(): void {
    if (this.#carrier) this.#probe(PROBE);
    else if (this.state.name === "waiting" && Date.now() >= this.#notBefore) {
      this.#backoff.reset();
      this.#connect();
    }
  }

  #listen(): void {
    const listen = (target: EventTarget | undefined, name: string, run: () => void): void => {
      target?.addEventListener?.(name, run);
      this.#undo.push(() => target?.removeEventListener?.(name, run));
    };
    const page = globalThis.document as Document | undefined;
    listen(globalThis as unknown as EventTarget, "online", () => this.awake());
    listen(globalThis as unknown as EventTarget, "offline", () => this.awake());
    listen(page, "visibilitychange", () => page!.visibilityState === "visible" && this.awake());
  }
}

/** The server's address, from what the application gave: `wss://host`, `https://host/ws`, or a path of the page's host. */
function base(url: string | URL): string {
  const at = new URL(url, globalThis.location?.href);
  const path = at.pathname.replace(/\/$/, "");
  return `${at.protocol.replace("ws", "http")}//${at.host}${path || "/ws"}`;
}
