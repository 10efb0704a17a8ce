/** What goes over the wire: one JSON object a message. */

/** A JSON object. */
export type Json = Record<string, unknown>;

/** One message, from or to the server. */
export interface Envelope {
  /** What it is; those that begin with `$` are the protocol's. */
  type: string;
  /** The server's messages always have one. */
  payload?: Json;
  kind?: "event" | "ephemeral" | "history" | "system" | "error";
  room?: string;
  /** From a client: asks for an answer. From the server: a room's message, 20 digits, greater for what came later. */
  id?: string;
  /** The sender's name of a message, by which a repetition is known. */
  key?: string;
  /** When the hub took it. */
  ts?: string;
  /** The place of a room's message: counts from 1 without a gap within an epoch. */
  offset?: number;
  epoch?: string;
  /** The member that sent it. */
  from?: string;
  /** Who that is, where it authenticated. */
  user?: string;
  /** The `id` that this answers. */
  ref?: string;
}

/** Who the client is, and the session it goes on with: the payload of `$auth`. */
export interface Hello {
  user?: string;
  password?: string;
  token?: string;
  session?: string;
  secret?: string;
}

/** The payload of `$welcome`. */
export interface Welcome {
  session: string;
  secret: string;
  resumed: boolean;
  /** How often the server looks whether the client is alive. */
  ping_ms?: number;
  /** Who the server takes the client for. */
  user?: string;
  /** How many messages one POST may bring, where the server takes more than one. */
  batch?: number;
}

/** In milliseconds, as all times are. */
export const SECOND = 1000;
