import { describe, expect, test } from "vitest";
import { matches, type BowlineError, type TopicMessage } from "../../src/index";
import { pass, World } from "./world";

test.each([
  ["a/b", "a/b", true], ["a/b", "a/c", false], ["a/b", "a", false], ["a", "a/b", false],
  ["a/+", "a/b", true], ["a/+", "a", false], ["a/+", "a/b/c", false], ["+", "a", true], ["+/+", "/a", true],
  ["#", "a/b", true], ["a/#", "a", true], ["a/#", "a/b/c", true], ["a/#", "b", false], ["a/+/#", "a", false],
  ["#", "$SYS/x", false], ["+/x", "$SYS/x", false], ["$SYS/#", "$SYS/x", true],
])("%s matches %s: %s", (filter, topic, expected) => {
  expect(matches(filter, topic)).toBe(expected);
});

describe("topics", () => {
  test("what is published comes to those who subscribed, as what it is", async () => {
    const world = new World();
    const [a, b] = [world.client(), world.client()];
    const seen: TopicMessage[] = [];
    b.subscribe("home/+", (message) => seen.push(message));
    await pass(50);
    const published = [a.publish("home/kitchen", { t: 21.5 }), a.publish("home/bytes", Uint8Array.of(0, 255)), a.publish("out/side", 1)];
    await pass(50);
    await Promise.all(published);
    expect(seen.map(({ topic, data, bytes }) => [topic, data, bytes.length])).toEqual([["home/kitchen", { t: 21.5 }, 10], ["home/bytes", undefined, 2]]);
    expect([...seen[1]!.bytes]).toEqual([0, 255]);
  });

  test("what a topic keeps comes first", async () => {
    const world = new World();
    const a = world.client();
    void a.publish("t", "kept", { retain: true });
    await pass(50);
    const seen: unknown[] = [];
    a.subscribe("#", ({ data, retain }) => seen.push([data, retain]));
    await pass(50);
    expect(seen).toEqual([["kept", true]]);
  });

  test.each(["resumed", "new"])("subscriptions outlive a connection, in a session that is %s", async (how) => {
    const world = new World();
    const a = world.client();
    const seen: unknown[] = [];
    a.subscribe("t", ({ data }) => seen.push(data));
    const off = a.subscribe("u", ({ data }) => seen.push(data));
    await pass(50);
    if (how === "new") {
      world.net.stop();
      world.net.start();
    } else world.net.cut();
    off();
    a.subscribe("v", ({ data }) => seen.push(data));
    await pass(5000);
    const [session] = world.net.hub.sessions.values();
    expect([...session!.filters].sort()).toEqual(["t", "v"]);
    for (const topic of ["t", "u", "v"]) void a.publish(topic, topic);
    await pass(50);
    expect(seen).toEqual(["t", "v"]);
  });

  test("a subscription whose answer was lost is made again", async () => {
    const world = new World();
    const a = world.client();
    await pass(50);
    world.net.passes = (_, text) => !text.includes("$subscribe");
    a.subscribe("t", () => {});
    await pass(20);
    world.net.passes = () => true;
    await pass(1000);
    expect([...world.net.hub.sessions.values()].flatMap(({ filters }) => [...filters])).toEqual(["t"]);
  });

  test("a filter with two handlers is one subscription, until both have gone", async () => {
    const world = new World();
    const a = world.client();
    const seen: string[] = [];
    const offs = [a.subscribe("t", () => seen.push("1")), a.subscribe("t", () => seen.push("2"))];
    await pass(50);
    void a.publish("t", 0);
    await pass(50);
    offs[0]!();
    offs[0]!();
    void a.publish("t", 0);
    await pass(50);
    offs[1]!();
    void a.publish("t", 0);
    await pass(50);
    expect(seen).toEqual(["1", "2", "2"]);
    expect([...world.net.hub.sessions.values()][0]!.filters.size).toBe(0);
  });

  test("a filter that is refused is an error of the client", async () => {
    const world = new World();
    const a = world.client();
    const errors: BowlineError[] = [];
    a.on("error", (error) => errors.push(error));
    a.subscribe("", () => {});
    await pass(50);
    expect(errors).toMatchObject([{ code: "malformed" }]);
  });

  test("what may not be published fails", async () => {
    const world = new World();
    const published = world.client().publish("$SYS/x", 1).catch((error: BowlineError) => error.code);
    await pass(50);
    expect(await published).toBe("denied");
  });
});

describe("requests", () => {
  test("are answered, or nobody answers", async () => {
    const world = new World();
    world.net.hub.responders.set("double", ({ data }) => ({ data: Number(data) * 2 }));
    const a = world.client();
    const [good, none] = [a.request("double", 21), a.request("nobody", 1).catch((error: BowlineError) => error.code)];
    await pass(50);
    expect(await good).toMatchObject({ data: 42, topic: "double" });
    expect(await none).toBe("no_responder");
  });

  test("are asked once: a connection that breaks fails them, and time does", async () => {
    const world = new World();
    const a = world.client();
    await pass(50);
    world.net.passes = (_, text) => !text.includes("$request");
    const cut = a.request("t", 1).catch((error: BowlineError) => error.code);
    await pass(50);
    expect(await cut).toBe("disconnected");
    world.net.up = false;
    world.net.cut();
    const late = a.request("t", 1, { timeout: 2000 }).catch((error: BowlineError) => error.code);
    await pass(3100);
    expect(await late).toBe("timeout");
  });
});
