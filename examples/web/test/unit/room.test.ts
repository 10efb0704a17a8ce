import { describe, expect, test } from "vitest";
import { Failure } from "../../mock/hub";
import { BowlineError } from "../../src/index";
import { pass, World } from "./world";

describe("messages", () => {
  test("come to all members once, in order, the sender included", async () => {
    const world = new World();
    const [a, b] = [await world.member("r"), await world.member("r")];
    const said = [a.say("1"), a.say("2"), b.say("3")];
    await pass(100);
    expect(await Promise.all(said)).toEqual(["sent", "sent", "sent"]);
    expect(a.log).toEqual(["<first whole 0>", "1", "2", "3"]);
    expect(b.log).toEqual(a.log);
  });

  test("are acknowledged with their place", async () => {
    const world = new World();
    const a = await world.member("r");
    void a.say("1");
    const ack = a.room.send("chat.message", { text: "2" });
    await pass(100);
    expect(await ack).toEqual({ id: "00000000000000000002", offset: 2, epoch: expect.any(String), duplicate: false });
    expect(a.room.place).toEqual({ epoch: (await ack).epoch, offset: 2 });
  });

  test("that were sent before there was a connection wait for it", async () => {
    const world = new World();
    world.net.up = false;
    const a = await world.member("r");
    const said = [a.say("1"), a.say("2")];
    expect(a.client.waiting).toBe(2);
    world.net.up = true;
    await pass(60_000);
    expect(await Promise.all(said)).toEqual(["sent", "sent"]);
    expect(a.log).toEqual(["<first whole 0>", "1", "2"]);
    expect(a.client.waiting).toBe(0);
  });

  test("wait in a queue with an end", async () => {
    const world = new World();
    world.net.up = false;
    const a = await world.member("r", {}, { queue: 3 });
    const said = [a.say("1"), a.say("2"), a.say("3"), a.say("4")];
    expect(await said[3]).toBe("queue_full");
    expect(a.client.waiting).toBe(3);
    a.client.close();
    expect(await Promise.all(said)).toEqual(["closed", "closed", "closed", "queue_full"]);
  });

  test("under way are never more than the server's memory of their ids", async () => {
    const world = new World();
    const a = await world.member("r");
    const bodies: string[] = [];
    world.net.passes = (direction, text) => direction === "down" || bodies.push(text) > 0;
    for (let index = 0; index < 200; index++) void a.say(String(index));
    await pass(5);
    expect(bodies.length).toBe(64);
    await pass(1000);
    expect(a.log.slice(1)).toEqual(Array.from({ length: 200 }, (_, index) => String(index)));
  });

  test("with a key of the application's own are sent once, however often they are asked for", async () => {
    const world = new World();
    const a = await world.member("r");
    const first = a.room.send("chat.message", { text: "once" }, { key: "k1" });
    await expect(a.room.send("chat.message", { text: "once" }, { key: "k1" })).rejects.toThrow("under way");
    await pass(50);
    const again = a.room.send("chat.message", { text: "once" }, { key: "k1" });
    await pass(50);
    expect([(await first).duplicate, (await again).duplicate]).toEqual([false, true]);
    expect(a.log.slice(1)).toEqual(["once"]);
  });

  test.each(["rate_limited", "busy", "store"])("refused with %s go later", async (code) => {
    const world = new World();
    const a = await world.member("r");
    world.net.hub.refuse.push({ type: "chat.message", failure: new Failure(code, "slower", code === "rate_limited" ? { retry_after_ms: 2000 } : {}) });
    const said = a.say("1");
    await pass(3000);
    expect(await said).toBe("sent");
  });

  test.each(["denied", "too_large", "quota"])("refused with %s fail", async (code) => {
    const world = new World();
    const a = await world.member("r");
    world.net.hub.refuse.push({ type: "chat.message", failure: new Failure(code, "no") });
    const said = a.say("1");
    await pass(100);
    expect(await said).toBe(code);
    expect(a.client.waiting).toBe(0);
  });

  test("of one who was put out of the room go after joining again", async () => {
    const world = new World();
    const a = await world.member("r");
    const [session] = world.net.hub.sessions.values();
    world.net.hub.take(session!, { type: "$leave", room: "r" });
    const said = a.say("1");
    await pass(3000);
    expect(await said).toBe("sent");
    expect(a.log).toEqual(["<first whole 0>", "<again whole 0>", "1"]);
  });

  test("a handler that throws stops nothing", async () => {
    const world = new World();
    const a = await world.member("r");
    const thrown: unknown[] = [];
    const report = (error: unknown): void => void thrown.push(error);
    Object.assign(globalThis, { reportError: report });
    const off = a.room.on("message", () => { throw new Error("mine"); });
    void a.say("1");
    await pass(50);
    off();
    void a.say("2");
    await pass(50);
    expect(a.log.slice(1)).toEqual(["1", "2"]);
    expect(thrown).toEqual([new Error("mine")]);
    Reflect.deleteProperty(globalThis, "reportError");
  });
});

describe("recovery", () => {
  test("gives exactly what was missed", async () => {
    const world = new World();
    const [a, b] = [await world.member("r"), await world.member("r")];
    void a.say("1");
    await pass(50);
    [...world.net.sockets][1]!.break();
    for (const text of ["2", "3"]) void a.say(text);
    await pass(1000);
    expect(b.offsets).toEqual([1, 2, 3]);
    expect(b.log).toContain("<again whole 2>");
    expect(a.offsets).toEqual([1, 2, 3]);
  });

  test("over a server that was down, without what it had not", async () => {
    const world = new World();
    const [a, b] = [await world.member("r"), await world.member("r")];
    void a.say("1");
    await pass(50);
    world.net.stop();
    const said = b.say("2");
    await pass(5000);
    world.net.start();
    await pass(60_000);
    expect(await said).toBe("sent");
    expect([a.offsets, b.offsets]).toEqual([[1, 2], [1, 2]]);
  });

  test("says so where the room no longer has it all", async () => {
    const world = new World({ history: 3 });
    const [a, b] = [await world.member("r"), await world.member("r", { history: 2 })];
    void a.say("1");
    await pass(50);
    b.client.close();
    const c = await world.member("r", { since: b.room.place!, history: 2 });
    expect(c.log).toEqual(["<first whole 0>"]);
    for (let index = 2; index < 9; index++) void a.say(String(index));
    await pass(50);
    const d = await world.member("r", { since: b.room.place!, history: 2 });
    expect(d.log).toEqual(["<first part 2>", "7", "8"]);
  });

  test("says so where the numbers began anew, and gives the new", async () => {
    const world = new World();
    const a = await world.member("r", { history: 10 }, { random: () => 0.9 });
    void a.say("1");
    void a.say("2");
    await pass(50);
    world.net.stop();
    world.net.hub.store.rooms.clear();
    world.net.start();
    const b = world.client({ random: () => 0 }).join("r");
    void b.send("chat.message", { text: "1 of another" });
    await pass(60_000);
    expect(a.log).toEqual(["<first whole 0>", "1", "2", "<again part 1>", "1 of another"]);
    expect(a.offsets).toEqual([1, 2, 1]);
  });

  test("of a gap: what a slow page did not get is read back", async () => {
    const world = new World();
    const [a, b] = [await world.member("r"), await world.member("r")];
    const socket = [...world.net.sockets][1]!;
    const { onmessage } = socket;
    socket.onmessage = (event) => event.data.includes('"text":"2"') && event.data.includes('"event"') || onmessage!(event); // dropped
    for (const text of ["1", "2", "3", "4"]) void a.say(text);
    await pass(50);
    expect(b.offsets).toEqual([1]);
    socket.onmessage = onmessage;
    await pass(2000);
    expect(b.offsets).toEqual([1, 2, 3, 4]);
  });

  test("of a gap is not asked for in rooms that keep only the latest", async () => {
    const world = new World();
    const [a, b] = [await world.member("r"), await world.member("r", { complete: false })];
    const socket = [...world.net.sockets][1]!;
    const { onmessage } = socket;
    socket.onmessage = (event) => event.data.includes('"text":"2"') || onmessage!(event);
    for (const text of ["1", "2", "3"]) void a.say(text);
    await pass(3000);
    expect(b.offsets).toEqual([1, 3]);
  });

  test("knows its own message, whose acknowledgement was lost, over a restart that forgot the ids", async () => {
    const world = new World();
    const [a, b] = [await world.member("r"), await world.member("r")];
    world.net.passes = (direction, text) => !(direction === "down" && text.includes("once"));
    const said = a.say("once");
    await pass(20);
    world.net.stop();
    world.net.passes = () => true;
    world.net.start();
    await pass(60_000);
    expect(await said).toBe("duplicate");
    expect([a.log.filter((text) => text === "once"), b.log.filter((text) => text === "once")]).toEqual([["once"], ["once"]]);
  });
});

test("a message that came back is sent, if its acknowledgement did not", async () => {
  const world = new World();
  const a = await world.member("r");
  world.net.passes = (direction, text) => !(direction === "down" && text.includes("$ack"));
  const said = a.say("1");
  await pass(20);
  world.net.stop(); // and forgets who said what
  world.net.passes = () => true;
  world.net.start();
  await pass(60_000);
  expect(await said).toBe("sent");
  expect(a.log.filter((text) => text === "1")).toEqual(["1"]);
  expect(world.net.hub.store.rooms.get("r")!.messages.length).toBe(1);
});

test("a message that came back is not sent again to a server whose numbers are of another epoch, and that has it", async () => {
  const world = new World();
  const a = await world.member("r");
  void a.say("0");
  await pass(20);
  world.net.passes = (direction, text) => !(direction === "down" && text.includes("$ack"));
  const said = a.say("1");
  await pass(20);
  world.net.stop();
  const kept = world.net.hub.store.rooms.get("r")!;
  kept.before = kept.epoch;
  kept.epoch = "another";
  for (const message of kept.messages) message.epoch = kept.epoch;
  world.net.passes = () => true;
  world.net.start();
  await pass(60_000);
  expect(await said).toBe("sent");
  expect(a.log.filter((text) => !text.startsWith("<"))).toEqual(["0", "1"]);
  expect(world.net.hub.store.rooms.get("r")!.messages.length).toBe(2);
});

test("a message that came back, and was lost with its server, is sent again", async () => {
  const world = new World();
  const [a, b] = [await world.member("r", { history: 10 }), await world.member("r", { history: 10 })];
  void a.say("1");
  await pass(50);
  world.net.passes = (direction, text) => !(direction === "down" && text.includes("$ack"));
  const said = a.say("2");
  await pass(20);
  expect(b.log.at(-1)).toBe("2");
  world.net.stop();
  // It was not stored yet: the server takes up its room with other numbers.
  const kept = world.net.hub.store.rooms.get("r")!;
  kept.messages.pop();
  kept.epoch = "other";
  kept.messages[0]!.epoch = "other";
  world.net.passes = () => true;
  world.net.start();
  await pass(60_000);
  expect(await said).toBe("sent");
  expect(a.log).toEqual(["<first whole 0>", "1", "2", "<again part 0>", "2"]);
  expect(b.log.filter((text) => text === "1")).toEqual(["1"]);
  expect(kept.messages.map(({ payload }) => payload.text)).toEqual(["1", "2"]);
});

test("the key of another's message says nothing about one's own", async () => {
  const world = new World();
  const [a, b] = [await world.member("r"), await world.member("r")];
  void b.room.send("chat.message", { text: "forged" }, { key: "k" });
  world.net.passes = (direction, text) => !(direction === "up" && text.includes("mine"));
  const said = a.room.send("chat.message", { text: "mine" }, { key: "k" });
  await pass(20);
  world.net.passes = () => true;
  await pass(2000);
  expect(await said).toMatchObject({ duplicate: false });
  expect(b.log.slice(1)).toEqual(["forged", "mine"]);
});

describe("history", () => {
  test("is read on joining, and then page by page", async () => {
    const world = new World();
    const a = await world.member("r");
    for (let index = 1; index <= 30; index++) void a.say(String(index));
    await pass(200);
    const b = await world.member("r", { history: 5 });
    expect(b.log).toEqual(["<first whole 5>", "26", "27", "28", "29", "30"]);
    const pages: number[][] = [];
    for (let more = true; more; ) {
      const page = b.room.history({ limit: 10 });
      await pass(20);
      more = (await page).more;
      pages.push((await page).messages.map(({ offset }) => offset));
    }
    expect(pages).toEqual([[25, 24, 23, 22, 21, 20, 19, 18, 17, 16], [15, 14, 13, 12, 11, 10, 9, 8, 7, 6], [5, 4, 3, 2, 1]]);
    const later = b.room.history({ after: "00000000000000000028", limit: 1 });
    await pass(20);
    expect(await later).toMatchObject({ more: true, messages: [{ offset: 29 }] });
  });

  test("is asked for again after a connection that broke", async () => {
    const world = new World();
    const a = await world.member("r");
    void a.say("1");
    await pass(50);
    const page = a.room.history({ after: "" });
    world.net.cut();
    await pass(1000);
    expect((await page).messages.length).toBe(1);
  });
});

describe("presence", () => {
  test("is a snapshot and what changes after it", async () => {
    const world = new World();
    const a = await world.member("r", { presence: "full", data: { name: "Ann" } });
    const b = await world.member("r", { presence: "full", data: { name: "Bob" } });
    const seen: string[] = [];
    a.room.on("presence", ({ joined, changed, left, count }) => seen.push(`+${joined.length} ~${changed.length} -${left.length} =${count}`));
    await pass(300);
    expect([...b.room.members.values()].map(({ data }) => data)).toEqual([{ name: "Ann" }, { name: "Bob" }]);
    expect([a.room.count, b.room.count]).toEqual([2, 2]);
    void b.room.describe({ name: "Bobby" });
    await pass(300);
    expect(a.room.members.get(b.room.self!)).toMatchObject({ data: { name: "Bobby" } });
    b.room.leave();
    await pass(300);
    expect([...a.room.members.keys()]).toEqual([a.room.self]);
    expect(seen).toEqual(["+1 ~0 -0 =2", "+0 ~1 -0 =2", "+0 ~0 -1 =1"]);
  });

  test("does not flap when a member comes back within the grace", async () => {
    const world = new World();
    const a = await world.member("r", { presence: "full" });
    const b = await world.member("r", { presence: "full" });
    await pass(300);
    const left: string[] = [];
    a.room.on("presence", (change) => left.push(...change.left));
    [...world.net.sockets][1]!.break();
    await pass(1000);
    expect(left).toEqual([]);
    expect(a.room.members.has(b.room.self!)).toBe(true);
  });

  test("after a reconnection tells only what changed meanwhile", async () => {
    const world = new World({ grace: 100 });
    const a = await world.member("r", { presence: "full" }, { random: () => 0.5 });
    const b = await world.member("r", { presence: "full" });
    const c = await world.member("r", { presence: "full" });
    await pass(300);
    const seen: unknown[] = [];
    a.room.on("presence", ({ joined, left }) => seen.push([joined.length, left.length]));
    world.net.up = false;
    [...world.net.sockets][0]!.break();
    c.room.leave();
    await pass(150);
    world.net.up = true;
    await pass(30_000);
    expect(a.room.members.size).toBe(2);
    expect(a.room.members.has(b.room.self!)).toBe(true);
    expect(seen.flat().some((each) => Number(each) > 0)).toBe(true);
  });

  test("told anew replaces what was known", async () => {
    const world = new World();
    const a = await world.member("r", { presence: "full" });
    await world.member("r", { presence: "full" });
    await pass(300);
    const seen: unknown[] = [];
    a.room.on("presence", ({ joined, left, count }) => seen.push([joined.length, left.length, count]));
    const [session] = world.net.hub.sessions.values();
    session!.send({ type: "$presence", kind: "system", room: "r", payload: { members: [{ member: a.room.self! }, { member: "x" }, { member: "y" }], count: 3 } });
    await pass(50);
    expect([...a.room.members.keys()]).toEqual([a.room.self, "x", "y"]);
    expect(seen).toEqual([[2, 1, 3]]);
  });

  test("may be the count alone", async () => {
    const world = new World();
    const a = await world.member("r", { presence: "count" });
    await world.member("r");
    await pass(300);
    expect([a.room.count, a.room.members.size]).toEqual([2, 0]);
  });
});

describe("ephemeral", () => {
  test("messages come to who is there, and typing at most every two seconds", async () => {
    const world = new World();
    const [a, b] = [await world.member("r"), await world.member("r")];
    const seen: string[] = [];
    b.room.on("ephemeral", ({ type, from }) => seen.push(`${type} ${from === a.room.self}`));
    a.room.ephemeral("cursor", { x: 1 });
    for (let index = 0; index < 30; index++) {
      a.room.typing();
      await pass(100);
    }
    expect(seen).toEqual(["cursor true", "chat.typing true", "chat.typing true"]);
  });

  test("messages are not kept for a connection to come", async () => {
    const world = new World();
    const [a, b] = [await world.member("r"), await world.member("r")];
    const seen: unknown[] = [];
    b.room.on("ephemeral", (each) => seen.push(each));
    world.net.cut();
    a.room.ephemeral("cursor");
    a.room.typing();
    await pass(1000);
    expect(seen).toEqual([]);
  });
});

describe("a room", () => {
  test("that may not be joined says why, and takes nothing", async () => {
    const world = new World();
    const errors: BowlineError[] = [];
    const client = world.client();
    const room = client.join("bad/+");
    room.on("error", (error) => errors.push(error));
    const early = room.send("x").catch((error: BowlineError) => error.code);
    await pass(100);
    expect(errors.map(({ code }) => code)).toEqual(["bad_room"]);
    expect(await early).toBe("bad_room");
    await expect(room.send("x")).rejects.toThrow("cannot be named");
  });

  test("is the same for the same name, and another after leaving", async () => {
    const world = new World();
    const a = await world.member("r");
    expect(a.client.join("r")).toBe(a.room);
    a.room.leave();
    await expect(a.room.send("x")).rejects.toMatchObject({ code: "left" });
    expect(a.client.join("r")).not.toBe(a.room);
    await pass(100);
    expect(world.net.hub.rooms.get("r")?.members.size).toBe(1);
  });

  test("left while there is no connection is left at the server too", async () => {
    const world = new World();
    const a = await world.member("r");
    await world.member("r");
    [...world.net.sockets][0]!.break();
    a.room.leave();
    await pass(1000);
    expect(a.client.state).toMatchObject({ resumed: true });
    expect(world.net.hub.rooms.get("r")?.members.size).toBe(1);
  });

  test("left before its join was answered is left", async () => {
    const world = new World();
    const client = world.client();
    await pass(50);
    client.join("r").leave();
    await pass(50);
    expect(world.net.hub.rooms.get("r")?.members.size ?? 0).toBe(0);
  });
});
