/** The mock daemon on a real port: WebSocket, its fallback, the admin API and the pages. */
import { readFile } from "node:fs/promises";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { extname, join } from "node:path";
import { WebSocketServer } from "ws";
import { Admin } from "./admin";
import { Http } from "./http";
import { Hub, type HubOptions } from "./hub";
import { serve } from "./socket";

const TYPES: Record<string, string> = { ".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml" };

/** What the daemon says with each page. */
const HEADERS = {
  "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  "x-content-type-options": "nosniff",
  "referrer-policy": "no-referrer",
  "cache-control": "no-cache",
};

export class MockServer {
  hub: Hub;
  http: Http;
  /** Whether WebSockets are let through. */
  websockets = true;
  readonly #options: HubOptions;
  readonly #assets: string;
  readonly #open = new Set<Socket>();
  #server: Server | undefined;
  #figures: ReturnType<typeof setInterval> | undefined;
  #port = 0;

  constructor(options: HubOptions, assets: string) {
    this.#options = options;
    this.#assets = assets;
    this.hub = new Hub(options);
    this.http = new Http(this.hub);
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  /** Listens; after `stop`, on the same port with what the store kept. */
  async start(port = this.#port): Promise<void> {
    if (this.#port) this.hub = new Hub({ ...this.#options, store: this.hub.store });
    this.http = new Http(this.hub);
    const server = createServer((request, response) => void this.#answer(request, response));
    const sockets = new WebSocketServer({ noServer: true, handleProtocols: (all) => (all.has("bowline.json.v1") ? "bowline.json.v1" : false) });
    server.on("connection", (socket) => {
      this.#open.add(socket);
      socket.on("close", () => this.#open.delete(socket));
    });
    server.on("upgrade", (request, socket, head) => {
      if (!this.websockets || request.url !== "/ws") return void socket.destroy();
      return sockets.handleUpgrade(request, socket, head, (peer) => {
        const { remoteAddress, remotePort } = request.socket;
        const served = serve(this.hub, {
          carrier: "websocket",
          address: `${remoteAddress}:${remotePort}`,
          send: (envelope) => peer.send(JSON.stringify(envelope)),
          close: (code, reason) => peer.close(code, reason),
        });
        peer.on("message", (data) => served.receive(String(data)));
        peer.on("close", (code) => served.closed(code));
      });
    });
    this.#server = server;
    await new Promise<void>((resolve, reject) => server.once("error", reject).listen(port, "127.0.0.1", resolve));
    this.#port = (server.address() as AddressInfo).port;
    this.#figures = setInterval(() => this.#tell(), 1000);
  }

  /** Goes, as a process that is killed does. */
  async stop(): Promise<void> {
    clearInterval(this.#figures);
    for (const socket of this.#open) socket.destroy();
    await new Promise((resolve) => this.#server!.close(resolve));
    this.hub.stop();
  }

  /** What a broker says of itself. */
  #tell(): void {
    const { counters, sessions, started } = this.hub;
    const connected = [...sessions.values()].filter(({ link }) => link).length;
    const figures: Record<string, string | number> = {
      "uptime": `${Math.floor((Date.now() - started) / 1000)} seconds`,
      "clients/connected": connected,
      "clients/disconnected": sessions.size - connected,
      "publish/messages/received": counters.messages_in,
      "publish/messages/sent": counters.messages_out,
    };
    for (const [name, value] of Object.entries(figures)) this.hub.publish(`$SYS/broker/${name}`, { data: value }, true);
  }

  async #answer(incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of incoming) chunks.push(chunk as Buffer);
    const abort = new AbortController();
    outgoing.on("close", () => abort.abort());
    const { method = "GET" } = incoming;
    const request = new Request(`${this.url}${incoming.url}`, {
      method,
      headers: incoming.headers as Record<string, string>,
      signal: abort.signal,
      ...(chunks.length && { body: Buffer.concat(chunks) }),
    });
    const answer = (await this.http.handle(request)) ?? new Admin(this.hub, [new URL(this.url).host]).handle(request) ?? (await this.#file(new URL(request.url).pathname));
    outgoing.writeHead(answer.status, Object.fromEntries(answer.headers));
    if (!answer.body) return void outgoing.end();
    const reader = answer.body.getReader();
    abort.signal.addEventListener("abort", () => void reader.cancel().catch(() => {}));
    try {
      for (let part = await reader.read(); !part.done; part = await reader.read()) outgoing.write(part.value);
    } catch {
      // The client has gone.
    }
    outgoing.end();
  }

  async #file(path: string): Promise<Response> {
    const names: Record<string, string> = { "/": "console.html", "/chat": "chat.html", "/favicon.ico": "icon.svg" };
    const name = names[path] ?? /^\/assets\/([\w.]+)$/.exec(path)?.[1];
    const content = name && (await readFile(join(this.#assets, name)).catch(() => undefined));
    if (!content) return new Response("not found\n", { status: 404 });
    return new Response(new Uint8Array(content), { headers: { ...HEADERS, "content-type": TYPES[extname(name)]! } });
  }
}
