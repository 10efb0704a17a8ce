/**
 * Bowline in a page: rooms, presence, history and messages, over WebSocket or whatever gets through.
 *
 * ```ts
 * const client = connect("/ws");
 * const room = client.join("lobby", { history: 50, presence: "full" });
 * room.on("message", ({ payload }) => console.log(payload.text));
 * await room.send("chat.message", { text: "hello" });
 * ```
 */
import { Client } from "./client";
import type { Options } from "./session";

/** Comes to the server at `url`, and stays until `close`: what breaks is made again. */
export function connect(url: string | URL, options: Options = {}): Client {
  return new Client(url, options);
}

export { BowlineError } from "./error";
export { matches } from "./topic";
export type { CarrierName } from "./carrier/carrier";
export type { Client, ClientEvents, TopicMessage } from "./client";
export type { Off } from "./events";
export type { Ack, Joined, JoinOptions, Member, Message, Page, Place, Presence, Room, RoomEvents } from "./room";
export type { Options, State } from "./session";
export type { Envelope, Json } from "./wire";
