/**
 * Whatever breaks, and whenever: each message that was acknowledged comes to each member once and in order, and each
 * message that was sent is acknowledged in the end. Each case is decided by its seed.
 */
import { describe, expect, test } from "vitest";
import type { CarrierName } from "../../src/index";
import { pass, seeded, Visitor, World } from "./world";

/** What was said, and heard by each. */
function judge(visitors: Visitor[], said: string[]): void {
  for (const { log, offsets } of visitors) {
    const heard = log.filter((text) => !text.startsWith("<"));
    expect(offsets).toEqual(offsets.map((_, index) => index + 1));
    expect([...heard].sort()).toEqual([...said].sort());
    expect(log.filter((text) => text.includes("part"))).toEqual([]);
    // In the order of each who spoke.
    for (const name of ["a", "b", "c"]) {
      const own = heard.filter((text) => text.startsWith(name)).map((text) => Number(text.slice(1)));
      expect(own).toEqual([...own].sort((x, y) => x - y));
    }
  }
  const [first, ...others] = visitors.map(({ log }) => log.filter((text) => !text.startsWith("<")));
  for (const other of others) expect(other).toEqual(first);
}

describe.each(["websocket", "events", "poll"] as const)("over %s", (carrier) => {
  // What passes between two members that say ten messages each, cut at every single message on the way.
  test("a cut at any message loses nothing and repeats nothing", async () => {
    for (let cutAt = 1; cutAt < 200; cutAt++) {
      const world = new World();
      const random = seeded(cutAt);
      const visitors = ["a", "b"].map(() => new Visitor(world.client({ carriers: [carrier], random }), "r", { history: 100 }));
      let passed = 0;
      world.net.passes = () => {
        if (++passed !== cutAt) return true;
        world.net.cut();
        return false;
      };
      await pass(50);
      const said: string[] = [];
      const acks: Promise<string>[] = [];
      for (let index = 0; index < 10; index++) {
        for (const [at, visitor] of visitors.entries()) {
          said.push(`${"ab"[at]}${index}`);
          acks.push(visitor.say(said.at(-1)!));
        }
        await pass(7);
      }
      await pass(20_000);
      expect((await Promise.all(acks)).filter((ack) => ack !== "sent" && ack !== "duplicate"), `cut at ${cutAt}`).toEqual([]);
      judge(visitors, said);
      world.stop();
      if (passed < cutAt) {
        expect(cutAt).toBeGreaterThan(carrier === "websocket" ? 60 : 20);
        return;
      }
    }
  }, 60_000);
});

describe("at random", () => {
  const carriers: CarrierName[][] = [["websocket"], ["events"], ["poll"], ["websocket", "events", "poll"]];

  /** How many seeds are tried: more by WEB_SEEDS. */
  const seeds = Number(process.env.WEB_SEEDS ?? 60);

  test.each(Array.from({ length: seeds }, (_, seed) => seed))("cuts, restarts, slow roads and blocked WebSockets: seed %i", async (seed) => {
    const random = seeded(seed);
    const world = new World();
    const visitors = ["a", "b", "c"].map(() => new Visitor(world.client({ random, carriers: carriers[Math.floor(random() * carriers.length)]! }), "r", { presence: "full" }));
    await pass(500);
    const said: string[] = [];
    const acks: Promise<string>[] = [];
    for (let step = 0; step < 120; step++) {
      const what = random();
      if (what < 0.7) {
        const at = Math.floor(random() * 3);
        for (let burst = Math.floor(random() * 4); burst >= 0; burst--) {
          said.push(`${"abc"[at]}${said.length}`);
          acks.push(visitors[at]!.say(said.at(-1)!));
        }
      } else if (what < 0.78) {
        const sockets = [...world.net.sockets];
        sockets[Math.floor(random() * sockets.length)]?.break();
      } else if (what < 0.82) world.net.cut();
      else if (what < 0.85) world.net.websockets = !world.net.websockets;
      else if (what < 0.9) world.net.latency = Math.floor(random() * 200);
      else if (what < 0.92 && world.net.up) world.net.stop();
      else if (!world.net.up) world.net.start();
      await pass(Math.floor(random() * 150));
    }
    if (!world.net.up) world.net.start();
    world.net.websockets = true;
    await pass(200_000);
    expect((await Promise.all(acks)).filter((ack) => ack !== "sent" && ack !== "duplicate")).toEqual([]);
    judge(visitors, said);
    for (const { room } of visitors) expect(room.count).toBe(3);
  });
});
