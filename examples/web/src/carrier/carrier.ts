import type { Envelope, Hello, Welcome } from "../wire";

/** A way to the server. */
export type CarrierName = "websocket" | "events" | "poll";

/** What a carrier tells the session. After `closed` or `refused` nothing more. */
export interface Sink {
  /** The server knows the client: messages may be sent. */
  welcome(welcome: Welcome): void;
  /** The server does not take who the client says it is, or the session it wants to go on with. */
  refused(message: string): void;
  /** A message came. */
  message(envelope: Envelope): void;
  /** Something came, if only a sign of life. */
  heard(): void;
  /** The connection ended, or never was; with when to come back, in milliseconds, where the server said so. */
  closed(reason: string, retryAfter?: number): void;
}

/** One connection to the server, whatever carries it. */
export interface Carrier {
  readonly name: CarrierName;
  /** To be called after `welcome`. What a connection that has gone takes is lost. */
  send(envelope: Envelope): void;
  /** Ends the connection, and the session too where told so. The sink hears nothing more. */
  close(end: boolean): void;
}

/** What carriers are made with. */
export interface Ground {
  /** Of the server's paths, without a slash at the end: `https://example.org/ws`. */
  base: string;
  hello: Hello | undefined;
  sink: Sink;
  WebSocket: typeof WebSocket | undefined;
  fetch: typeof fetch;
}
