/** A network, clients on it, and a clock that only tests move. */
import { afterEach, beforeEach, vi } from "vitest";
import { Net } from "../../mock/net";
import type { HubOptions } from "../../mock/hub";
import type { Client } from "../../src/client";
import type { JoinOptions, Options, Room } from "../../src/index";

export class World {
  readonly net: Net;
  readonly clients: Client[] = [];

  constructor(options: HubOptions = {}) {
    this.net = new Net(options);
    worlds.push(this);
  }

  client(options: Options = {}): Client {
    const client = this.net.client({ random: seeded(this.clients.length + 1), ...options });
    this.clients.push(client);
    return client;
  }

  /** A client in a room, and what came there. */
  async member(room: string, join: JoinOptions = {}, options: Options = {}): Promise<Visitor> {
    const visitor = new Visitor(this.client(options), room, join);
    await pass(100);
    return visitor;
  }

  stop(): void {
    for (const client of this.clients) client.close();
    this.net.stop();
  }
}

/** A client with a room, that keeps what came. */
export class Visitor {
  readonly room: Room;
  readonly log: string[] = [];
  readonly offsets: number[] = [];

  constructor(readonly client: Client, name: string, join: JoinOptions = {}) {
    this.room = client.join(name, join);
    this.room.on("message", ({ payload, offset }) => {
      this.log.push(String(payload.text));
      this.offsets.push(offset);
    });
    this.room.on("joined", ({ first, recovered, count }) => this.log.push(`<${first ? "first" : "again"} ${recovered ? "whole" : "part"} ${count}>`));
  }

  /** Says something; what becomes of it is not waited for. */
  say(text: string): Promise<string> {
    return this.room.send("chat.message", { text }).then(({ duplicate }) => (duplicate ? "duplicate" : "sent"), (error: Error & { code: string }) => error.code);
  }
}

/** Lets time go on. */
export const pass = (ms: number): Promise<unknown> => vi.advanceTimersByTimeAsync(ms);

let worlds: World[] = [];

beforeEach(() => {
  vi.useFakeTimers();
});

afterEach(() => {
  for (const world of worlds) world.stop();
  worlds = [];
  vi.useRealTimers();
});

/** Random numbers that a seed decides: mulberry32. */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
