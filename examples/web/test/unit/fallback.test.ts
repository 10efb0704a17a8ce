import { describe, expect, test, vi } from "vitest";
import type { CarrierName } from "../../src/index";
import { pass, World } from "./world";

describe("without WebSocket", () => {
  test.each(["events", "poll"] as const)("%s carries everything", async (carrier) => {
    const world = new World();
    const a = await world.member("r", { presence: "full" }, { carriers: [carrier] });
    const b = await world.member("r", { presence: "full" });
    expect(a.client.state).toMatchObject({ name: "open", carrier });
    const said = [a.say("1"), b.say("2"), a.say("3")];
    await pass(500);
    expect(await Promise.all(said)).toEqual(["sent", "sent", "sent"]);
    expect(a.offsets).toEqual([1, 2, 3]);
    expect(b.log).toEqual(a.log);
    expect(a.room.count).toBe(2);
    const topics: unknown[] = [];
    a.client.subscribe("t/#", ({ data }) => topics.push(data));
    await pass(50);
    void b.client.publish("t/1", { x: 1 });
    await pass(50);
    expect(topics).toEqual([{ x: 1 }]);
    a.client.close();
    await pass(300);
    expect(b.room.count).toBe(1);
    expect(world.net.hub.sessions.size).toBe(1);
  });

  test.each(["events", "poll"] as const)("%s recovers what was missed", async (carrier) => {
    const world = new World();
    const a = await world.member("r", {}, { carriers: [carrier] });
    const b = await world.member("r");
    for (let round = 0; round < 5; round++) {
      void b.say(String(round));
      await pass(3);
      world.net.cut();
      void a.say(`mine ${round}`);
      await pass(2000);
    }
    expect(a.offsets).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    expect(a.log.filter((text) => !text.startsWith("<"))).toEqual(b.log.filter((text) => !text.startsWith("<")));
  });

  test.each(["events", "poll"] as const)("%s gives what comes in one go with the answer to a join", async (carrier) => {
    const world = new World();
    const b = await world.member("r");
    const { hub } = world.net;
    const [speaker] = hub.sessions.values();
    const take = hub.take.bind(hub);
    hub.take = (session, envelope) => {
      take(session, envelope);
      if (envelope.type === "$join") take(speaker!, { type: "chat.message", room: "r", payload: { text: "at once" } });
    };
    const a = await world.member("r", {}, { carriers: [carrier] });
    expect(a.log).toEqual(["<first whole 0>", "at once"]);
    expect(b.offsets).toEqual([1]);
  });

  test.each(["events", "poll"] as const)("%s sends one after the other, so that the order stays", async (carrier) => {
    const world = new World();
    const a = await world.member("r", {}, { carriers: [carrier] });
    for (let index = 0; index < 20; index++) void a.say(String(index));
    await pass(2000);
    expect(a.log.slice(1)).toEqual(Array.from({ length: 20 }, (_, index) => String(index)));
  });

  test.each(["events", "poll"] as const)("%s leaves no timer and no request behind", async (carrier) => {
    const world = new World();
    const client = world.client({ carriers: [carrier] });
    await pass(30_000);
    client.close();
    await pass(50);
    const asked = world.net.attempts;
    await pass(100_000);
    expect(world.net.attempts).toBe(asked);
    expect(vi.getTimerCount()).toBe(0);
  });

  test("a poll waits, and asks again at once", async () => {
    const world = new World();
    world.client({ carriers: ["poll"] });
    await pass(100);
    const before = world.net.requests.filter((path) => path.endsWith("/poll")).length;
    await pass(100_000);
    const after = world.net.requests.filter((path) => path.endsWith("/poll")).length;
    expect(after - before).toBeGreaterThanOrEqual(3);
    expect(after - before).toBeLessThanOrEqual(8); // with a ping each half minute
  });

  test("many messages leave in one request, where the server takes that", async () => {
    const world = new World({ batch: 16 });
    const a = await world.member("r", {}, { carriers: ["poll"] });
    world.net.requests.length = 0;
    const said = Array.from({ length: 32 }, (_, index) => a.say(String(index)));
    const refused = a.room.send("").catch((error: { code: string }) => error.code);
    await pass(300);
    expect(await Promise.all(said)).toEqual(said.map(() => "sent"));
    expect(await refused).toBe("malformed");
    expect(a.offsets).toEqual(Array.from({ length: 32 }, (_, index) => index + 1));
    expect(world.net.requests.filter((path) => path === "POST /ws/send").length).toBeLessThanOrEqual(5);
  });

  test("polls that do not wait are not asked for ever", async () => {
    const world = new World();
    const { fetch } = world.net.ground();
    const hasty: typeof globalThis.fetch = async (url, init) => (String(url).includes("/poll") ? new Response("[]") : fetch!(url, init));
    const client = world.client({ carriers: ["poll"], fetch: hasty });
    await pass(60_000);
    expect(world.net.requests.length).toBeLessThan(40);
    expect(world.net.requests.length).toBeGreaterThan(3);
    client.close();
  });

  test("a body that the server does not take fails its message alone", async () => {
    const world = new World();
    const a = await world.member("r", {}, { carriers: ["poll"] });
    const refused = a.room.send("").catch((error: { code: string; message: string }) => `${error.code}: ${error.message}`);
    const said = a.say("1");
    await pass(100);
    expect(await refused).toBe("malformed: missing 'type' field");
    expect(await said).toBe("sent");
  });
});

describe("falling back", () => {
  test("is done when WebSockets do not get through, and at once", async () => {
    const world = new World();
    world.net.websockets = false;
    const client = world.client();
    await pass(100);
    expect(client.state).toMatchObject({ name: "open", carrier: "events" });
  });

  test("goes on to polling where streams are kept back", async () => {
    const world = new World();
    world.net.websockets = false;
    world.net.http.buffered = true;
    const a = await world.member("r");
    await pass(6000);
    expect(a.client.state).toMatchObject({ name: "open", carrier: "poll" });
    const said = a.say("1");
    await pass(100);
    expect(await said).toBe("sent");
  });

  test("is done when WebSockets open and nothing comes", async () => {
    const world = new World();
    world.net.mute = true;
    const client = world.client();
    await pass(10_100);
    expect(client.state).toMatchObject({ carrier: "events" });
  });

  test("is not done for a server that is down, if WebSockets worked", async () => {
    const world = new World();
    world.client();
    await pass(100);
    world.net.stop();
    world.net.requests.length = 0;
    await pass(150);
    expect(new Set(world.net.requests)).toEqual(new Set(["WS"]));
  });

  test("is done after WebSockets that do not last", async () => {
    const world = new World();
    const client = world.client({ random: () => 0.1 });
    await pass(100);
    for (let round = 0; round < 3; round++) {
      for (const socket of [...world.net.sockets]) socket.break();
      await pass(1000);
    }
    expect(client.state).toMatchObject({ carrier: "events" });
  });

  test("ends when WebSockets get through again, with nothing lost and nothing twice", async () => {
    const world = new World();
    world.net.websockets = false;
    const a = await world.member("r", { presence: "full" });
    const b = await world.member("r", { presence: "full" });
    const seen: CarrierName[] = [];
    a.client.on("state", (state) => state.name === "open" && seen.push(state.carrier));
    const left: string[] = [];
    b.room.on("presence", (change) => left.push(...change.left));
    await pass(31_000);
    expect(seen).toEqual([]); // tried, and not told: what there was stayed
    world.net.websockets = true;
    let count = 0;
    for (let round = 0; round < 400; round++) {
      void a.say(String(count++));
      void b.say(String(count++));
      await pass(250);
    }
    await pass(1000);
    expect(seen).toEqual(["websocket"]);
    expect(b.client.state).toMatchObject({ carrier: "websocket" });
    expect(a.offsets).toEqual(Array.from({ length: count }, (_, index) => index + 1));
    expect(b.offsets).toEqual(a.offsets);
    expect(left).toEqual([]);
    expect(world.net.hub.sessions.size).toBe(2);
  });

  test("tries for a WebSocket ever more rarely", async () => {
    const world = new World();
    world.net.websockets = false;
    const client = world.client();
    await pass(100);
    world.net.requests.length = 0;
    await pass(3_600_000);
    const tried = world.net.requests.filter((path) => path === "WS").length;
    expect(tried).toBeGreaterThan(6);
    expect(tried).toBeLessThan(12);
    expect(client.state).toMatchObject({ carrier: "events" });
  });

  test("a page whose rules forbid WebSockets falls back too", async () => {
    const world = new World();
    const Forbidden = class { constructor() { throw new DOMException("not allowed", "SecurityError"); } } as unknown as typeof WebSocket;
    const client = world.client({ WebSocket: Forbidden });
    await pass(100);
    expect(client.state).toMatchObject({ carrier: "events" });
  });
});
