/** A network in memory between clients and a hub, on the clock of `setTimeout`: it can be slow, cut and blocked. */
import type { Client } from "../src/client";
import { connect, type Options } from "../src/index";
import { Http } from "./http";
import { Hub, type HubOptions } from "./hub";
import { serve, type Peer } from "./socket";

export type Direction = "up" | "down";

export class Net {
  hub: Hub;
  http: Http;
  latency = 5;
  /** Whether the server is there at all. */
  up = true;
  /** Whether WebSockets are let through. */
  websockets = true;
  /** Opens connections on which nothing ever comes. */
  mute = false;
  /** How many connections and requests were tried. */
  attempts = 0;
  readonly requests: string[] = [];
  readonly sockets = new Set<Socket>();
  /** Sees each message on its way; one for which it says false breaks the connection instead. */
  passes: (direction: Direction, text: string) => boolean = () => true;
  readonly #breaks = new Set<() => void>();
  readonly #options: HubOptions;

  constructor(options: HubOptions = {}) {
    this.#options = options;
    this.hub = new Hub(options);
    this.http = new Http(this.hub);
  }

  /** A client of this network. */
  client(options: Options = {}): Client {
    return connect("http://hub.test", { ...this.ground(), random: Math.random, ...options });
  }

  ground(): Pick<Options, "WebSocket" | "fetch"> {
    const net = this;
    class Bound extends Socket {
      constructor(url: string) {
        super(net, url);
      }
    }
    return { WebSocket: Bound as unknown as typeof WebSocket, fetch: (url, init) => this.#fetch(String(url), init) };
  }

  /** Breaks all connections; what was on its way is lost. */
  cut(): void {
    for (const socket of [...this.sockets]) socket.break();
    for (const each of [...this.#breaks]) each();
  }

  /** The server goes, and takes its sessions along. */
  stop(): void {
    this.up = false;
    this.hub.stop();
    this.cut();
  }

  /** It comes again, with what its store kept. */
  start(): void {
    this.hub = new Hub({ ...this.#options, store: this.hub.store });
    this.http = new Http(this.hub);
    this.up = true;
  }

  async #fetch(url: string, init: RequestInit = {}): Promise<Response> {
    this.requests.push(`${init.method ?? "GET"} ${new URL(url).pathname}`);
    this.attempts++;
    await new Promise((resolve) => setTimeout(resolve, this.latency));
    if (!this.up) throw new TypeError("fetch failed");
    const request = new Request(url, { ...init, signal: init.signal ?? null });
    if (init.method === "POST" && url.endsWith("/send") && !this.passes("up", String(init.body))) {
      this.cut();
      throw new TypeError("fetch failed");
    }
    let off = (): void => {};
    const broken = new Promise<never>((_, reject) => {
      off = () => reject(new TypeError("fetch failed"));
      this.#breaks.add(off);
      request.signal.addEventListener("abort", () => reject(new DOMException("aborted", "AbortError")));
    });
    broken.catch(() => {});
    try {
      const answer = await Promise.race([this.http.handle(request), broken]);
      return this.#breakable(answer ?? new Response(null, { status: 404 }), request.signal);
    } finally {
      this.#breaks.delete(off);
    }
  }

  /** A stream that ends when the connection breaks. */
  #breakable(answer: Response, signal: AbortSignal): Response {
    if (!answer.headers.get("content-type")?.startsWith("text/event-stream")) return answer;
    const reader = answer.body!.getReader();
    let stop = (): void => {};
    const body = new ReadableStream<Uint8Array>({
      start: (controller) => {
        stop = () => {
          this.#breaks.delete(stop);
          reader.cancel().catch(() => {});
          try {
            controller.error(new TypeError("network error"));
          } catch {
            // It had ended.
          }
        };
        this.#breaks.add(stop);
        signal.addEventListener("abort", stop);
        const move = (): void => {
          reader.read().then(({ done, value }) => {
            if (!this.#breaks.has(stop)) return;
            if (done) {
              this.#breaks.delete(stop);
              controller.close();
            } else {
              controller.enqueue(value);
              move();
            }
          }, stop);
        };
        move();
      },
      cancel: () => {
        this.#breaks.delete(stop);
        return reader.cancel();
      },
    });
    return new Response(body, { status: answer.status, headers: answer.headers });
  }
}

/** A WebSocket of this network. */
export class Socket {
  readonly carrier = "websocket";
  readonly address = "127.0.0.1:1";
  readyState = 0;
  onopen: (() => void) | null = null;
  onmessage: ((event: { data: string }) => void) | null = null;
  onclose: ((event: { code: number; reason: string }) => void) | null = null;
  onerror: (() => void) | null = null;
  #peer: Peer | undefined;
  #dead = false;
  readonly #due = { up: 0, down: 0 };

  constructor(private readonly net: Net, readonly url: string) {
    net.attempts++;
    net.requests.push("WS");
    this.#later(() => {
      if (!net.up || !net.websockets) return this.#end(1006, "");
      net.sockets.add(this);
      if (net.mute) return;
      this.readyState = 1;
      // The server speaks first: what it says is on its way as this opens.
      this.#peer = serve(net.hub, {
        carrier: this.carrier,
        address: this.address,
        send: (envelope) => this.#down(JSON.stringify(envelope)),
        close: (code, reason) => this.#later(() => this.#end(code, reason), "down"),
      });
      this.onopen?.();
    });
  }

  /** From the page. */
  send(text: unknown): void {
    this.#later(() => {
      if (this.#dead) return;
      if (this.net.passes("up", String(text))) this.#peer?.receive(String(text));
      else this.break();
    });
  }

  close(code = 1005): void {
    if (this.readyState >= 2) return;
    this.readyState = 2;
    this.#later(() => this.#end(code, ""));
  }

  break(): void {
    this.#end(1006, "");
  }

  #down(text: string): void {
    this.#later(() => {
      if (this.#dead || this.readyState >= 2) return;
      if (this.net.passes("down", text)) this.onmessage?.({ data: text });
      else this.break();
    }, "down");
  }

  /** In order, each way: what was sent later comes no sooner, on a road that got quicker. */
  #later(run: () => void, way: Direction = "up"): void {
    this.#due[way] = Math.max(this.#due[way], Date.now() + this.net.latency);
    setTimeout(run, this.#due[way] - Date.now());
  }

  #end(code: number, reason: string): void {
    if (this.#dead) return;
    this.#dead = true;
    this.readyState = 3;
    this.net.sockets.delete(this);
    this.#peer?.closed(code);
    this.onclose?.({ code, reason });
  }
}
