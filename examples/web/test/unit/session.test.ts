import { describe, expect, test, vi } from "vitest";
import type { State } from "../../src/index";
import { pass, World } from "./world";

/** The names of a client's states as they come. */
function states(client: { on(name: "state", handler: (state: State) => void): unknown }): string[] {
  const seen: string[] = [];
  client.on("state", (state) => seen.push(state.name === "open" ? `open ${state.carrier}${state.resumed ? " resumed" : ""}` : state.name));
  return seen;
}

describe("a connection", () => {
  test("opens, and closes without a timer left", async () => {
    const world = new World();
    const client = world.client();
    const seen = states(client);
    await pass(100);
    expect(seen).toEqual(["connecting", "open websocket"]);
    client.close();
    await pass(100);
    expect(seen.at(-1)).toBe("closed");
    expect(world.net.hub.sessions.size).toBe(0);
    expect(vi.getTimerCount()).toBe(0);
  });

  test("that is closed takes nothing more", async () => {
    const world = new World();
    const client = world.client();
    await pass(50);
    client.close();
    await expect(client.publish("t", 1)).rejects.toMatchObject({ code: "closed" });
    await expect(client.request("t", 1)).rejects.toMatchObject({ code: "closed" });
    await expect(client.join("r").send("x")).rejects.toMatchObject({ code: "closed" });
    client.close();
    await pass(50);
    expect(vi.getTimerCount()).toBe(0);
  });

  test.each(["connecting", "waiting"])("leaves no timer when it is closed while %s", async (name) => {
    const world = new World();
    world.net.up = name === "connecting";
    const client = world.client({ random: () => 0.9 });
    await pass(name === "connecting" ? 1 : 60);
    expect(client.state.name).toBe(name);
    client.close();
    await pass(20);
    expect(vi.getTimerCount()).toBe(0);
  });

  test("that breaks is made again, and the session goes on", async () => {
    const world = new World();
    const client = world.client();
    const seen = states(client);
    await pass(100);
    const [before] = world.net.hub.sessions.keys();
    world.net.cut();
    await pass(500);
    expect(seen).toEqual(["connecting", "open websocket", "waiting", "connecting", "open websocket resumed"]);
    expect([...world.net.hub.sessions.keys()]).toEqual([before]);
  });

  test.each(["fresh", "unauthorized"] as const)("gets a new session from a server that forgot the old one, and says it by: %s", async (unknownSession) => {
    const world = new World({ unknownSession });
    const client = world.client();
    await pass(100);
    world.net.stop();
    await pass(1000);
    world.net.start();
    await pass(40_000);
    expect(client.state).toEqual({ name: "open", carrier: "websocket", resumed: false });
    expect(world.net.hub.sessions.size).toBe(1);
  });

  test("waits between attempts with full jitter, from 100 ms to 30 s", async () => {
    const world = new World();
    world.net.up = false;
    const client = world.client({ random: () => 0.999_999, carriers: ["websocket"] });
    const waits: number[] = [];
    client.on("state", (state) => state.name === "waiting" && waits.push(Math.round(state.until - Date.now())));
    await pass(200_000);
    expect(waits.slice(0, 11)).toEqual([100, 200, 400, 800, 1600, 3200, 6400, 12_800, 25_600, 30_000, 30_000]);
    client.close();

    const quick = world.client({ random: () => 0, carriers: ["websocket"] });
    quick.on("state", (state) => state.name === "waiting" && expect(state.until).toBe(Date.now()));
    await pass(100);
  });

  test("that breaks again at once is not tried in a hurry", async () => {
    const world = new World();
    const client = world.client({ random: () => 0.5 });
    const waits: number[] = [];
    client.on("state", (state) => state.name === "waiting" && waits.push(Math.round(state.until - Date.now())));
    for (let round = 0; round < 6; round++) {
      await pass(3000);
      world.net.cut();
      await pass(1);
    }
    expect(waits).toEqual([50, 100, 200, 400, 800, 1600]);
    // One that lasted starts from the bottom.
    await pass(15_000);
    world.net.cut();
    await pass(1);
    expect(waits.at(-1)).toBe(50);
  });

  test("that is silent is given up: the server is asked, and has some seconds", async () => {
    const world = new World();
    const client = world.client();
    const seen = states(client);
    await pass(100);
    [...world.net.sockets][0]!.onmessage = null; // nothing comes any more, and nothing breaks
    await pass(29_000);
    expect(client.state.name).toBe("open");
    await pass(12_000);
    expect(seen).toContain("waiting");
    await pass(10_000);
    expect(client.state.name).toBe("open");
  });

  test("that is quiet stays, since the server answers", async () => {
    const world = new World();
    const client = world.client();
    const seen = states(client);
    await pass(600_000);
    expect(seen).toEqual(["connecting", "open websocket"]);
  });

  test("not ready in time is given up", async () => {
    const world = new World();
    world.net.mute = true;
    const client = world.client({ carriers: ["websocket"], timeout: 3000, random: () => 0.9 });
    await pass(3010);
    expect(client.state).toMatchObject({ name: "waiting", reason: "the connection was not ready in time" });
    expect(world.net.sockets.size).toBe(0);
  });
});

describe("a drain", () => {
  test("is obeyed: nobody comes back before the time given", async () => {
    const world = new World();
    const client = world.client({ random: () => 0 });
    await pass(100);
    world.net.hub.drain(7000);
    await pass(10);
    const asked = world.net.attempts;
    world.net.stop();
    world.net.start();
    await pass(6900);
    expect(world.net.attempts).toBe(asked);
    expect(client.state.name).toBe("waiting");
    await pass(200);
    expect(client.state.name).toBe("open");
  });

  test("is obeyed by who polls, and from an answer of HTTP alone", async () => {
    const world = new World();
    const client = world.client({ carriers: ["poll"], random: () => 0 });
    await pass(100);
    world.net.hub.drain(3000);
    await pass(20);
    world.net.cut();
    await pass(2900);
    expect(client.state.name).toBe("waiting");
    // It is still draining, and says so: 503, 500 ms.
    await pass(150);
    const asked = world.net.attempts;
    expect(client.state).toMatchObject({ name: "waiting", reason: "status 503" });
    await pass(300);
    expect(world.net.attempts).toBe(asked);
    await pass(300);
    expect(world.net.attempts).toBeGreaterThan(asked);
  });

  test.each([
    ["https://other.test/ws", "http://hub.test", "other.test"],
    ["http://other.test", "http://hub.test", "other.test"],
    ["ws://other.test", "https://hub.test", "hub.test"], // less safe
    ["bowline://other.test:7790", "http://hub.test", "hub.test"],
    ["nonsense", "http://hub.test", "hub.test"],
  ])("that names %s to a client of %s sends it to %s, once", async (endpoint, url, expected) => {
    const world = new World();
    const urls: string[] = [];
    const { WebSocket: Real } = world.net.ground();
    const Spied = class extends (Real as unknown as { new (url: string): object }) {
      constructor(each: string) {
        super(each);
        urls.push(new URL(each).host);
      }
    } as unknown as typeof WebSocket;
    const { connect } = await import("../../src/index");
    const client = connect(url, { ...world.net.ground(), WebSocket: Spied, random: () => 0 });
    await pass(50);
    world.net.hub.draining = { kind: "system", type: "$drain", payload: { retry_after_ms: 100, endpoint } };
    for (const { link } of world.net.hub.sessions.values()) link!.send(world.net.hub.draining);
    await pass(20);
    world.net.stop();
    await pass(120);
    world.net.start();
    await pass(100);
    expect(urls[1]).toBe(expected);
    expect(urls.at(-1)).toBe("hub.test"); // where it did not work, the first again
    client.close();
  });

  test("holds messages until the next connection", async () => {
    const world = new World();
    const a = await world.member("r");
    world.net.hub.drain(1000);
    await pass(20);
    const sent = a.say("later");
    await pass(20);
    world.net.stop();
    world.net.start();
    await pass(2000);
    expect(await sent).toBe("sent");
  });
});

describe("credentials", () => {
  test.each(["websocket", "events", "poll"] as const)("a password over %s", async (carrier) => {
    const world = new World({ users: { ann: "secret" } });
    const client = world.client({ user: "ann", password: "secret", carriers: [carrier] });
    await pass(100);
    expect(client.state.name).toBe("open");
    expect(client.user).toBe("ann");
  });

  test.each(["websocket", "events", "poll"] as const)("wrong ones over %s are told, and not tried again", async (carrier) => {
    const world = new World({ users: { ann: "secret" } });
    const client = world.client({ user: "ann", password: "guess", carriers: [carrier] });
    await pass(100);
    expect(client.state).toMatchObject({ name: "denied" });
    const asked = world.net.attempts;
    await pass(100_000);
    expect(world.net.attempts).toBe(asked);
    expect(vi.getTimerCount()).toBe(0);
  });

  test("none, where some are needed", async () => {
    const world = new World({ users: { ann: "secret" } });
    const client = world.client();
    await pass(100);
    expect(client.state).toMatchObject({ name: "denied", reason: "credentials are needed" });
  });

  test("a token is fetched, and again before it ends, on the same connection", async () => {
    const tokens: Record<string, string> = {};
    const world = new World({ tokens });
    let count = 0;
    const refresh = vi.fn(async () => {
      tokens[`t${++count}`] = "ann";
      return { token: `t${count}`, expiresIn: 100 };
    });
    const client = world.client({ refresh });
    const seen = states(client);
    await pass(100);
    expect(refresh).toHaveBeenCalledTimes(1);
    const said: string[] = [];
    world.net.passes = (_, text) => said.push(text) > 0;
    await pass(80_000);
    expect(refresh).toHaveBeenCalledTimes(2);
    expect(said.some((text) => text.includes('"$auth"') && text.includes('"t2"'))).toBe(true);
    expect(said.some((text) => text.includes('"$ok"') && text.includes('"ref":"token"'))).toBe(true);
    expect(seen).toEqual(["connecting", "open websocket"]);
    client.close();
    await pass(100);
    expect(vi.getTimerCount()).toBe(0);
  });

  test("a token that the server refuses is replaced once, and the session stays", async () => {
    const tokens: Record<string, string> = { old: "ann" };
    const world = new World({ tokens });
    const client = world.client({ token: "old", refresh: async () => "new" });
    await pass(100);
    const [before] = world.net.hub.sessions.keys();
    delete tokens.old;
    tokens.new = "ann";
    world.net.cut();
    await pass(500);
    expect(client.state).toMatchObject({ name: "open", resumed: true });
    expect([...world.net.hub.sessions.keys()]).toEqual([before]);
    // Twice in a row it is no matter of age.
    delete tokens.new;
    world.net.cut();
    await pass(500);
    expect(client.state.name).toBe("denied");
    tokens.new = "ann";
    await client.refresh();
    await pass(100);
    expect(client.state.name).toBe("open");
  });

  test("a token that cannot be fetched is a reason to wait", async () => {
    const world = new World({ tokens: { t: "ann" } });
    let away = true;
    const refresh = async (): Promise<string> => {
      if (away) throw new Error("offline");
      return "t";
    };
    const client = world.client({ refresh });
    await pass(10);
    expect(client.state).toMatchObject({ name: "waiting", reason: "no token: Error: offline" });
    away = false;
    await pass(10_000);
    expect(client.state.name).toBe("open");
  });
});

describe("the page", () => {
  /** Stands in for a page's `window` and `document`. */
  function page(): { event(name: string): void; handlers: () => number } {
    const handlers = new Map<string, Set<() => void>>();
    const target = {
      addEventListener: (name: string, run: () => void) => void (handlers.get(name) ?? handlers.set(name, new Set()).get(name)!).add(run),
      removeEventListener: (name: string, run: () => void) => void handlers.get(name)?.delete(run),
      visibilityState: "visible",
    };
    vi.stubGlobal("addEventListener", target.addEventListener);
    vi.stubGlobal("removeEventListener", target.removeEventListener);
    vi.stubGlobal("document", target);
    return {
      event: (name) => [...(handlers.get(name) ?? [])].forEach((run) => run()),
      handlers: () => [...handlers.values()].reduce((sum, each) => sum + each.size, 0),
    };
  }

  test.each(["online", "visibilitychange"])("a wait ends with %s", async (name) => {
    const { event } = page();
    const world = new World();
    world.net.up = false;
    const client = world.client({ random: () => 0.9 });
    await pass(60_000);
    world.net.up = true;
    while (client.state.name !== "waiting") await pass(1);
    event(name);
    await pass(50);
    expect(client.state.name).toBe("open");
    vi.unstubAllGlobals();
  });

  test("but not the time that a drain gave", async () => {
    const { event } = page();
    const world = new World();
    const client = world.client();
    await pass(100);
    world.net.hub.drain(5000);
    await pass(10);
    world.net.stop();
    world.net.start();
    await pass(100);
    event("online");
    await pass(4000);
    expect(client.state.name).toBe("waiting");
    vi.unstubAllGlobals();
  });

  test("a connection that died in a pocket is found out soon after the page is seen again", async () => {
    const { event } = page();
    const world = new World();
    const client = world.client();
    const seen = states(client);
    await pass(100);
    [...world.net.sockets][0]!.onmessage = null;
    event("visibilitychange");
    await pass(4100);
    expect(seen).toContain("waiting");
    vi.unstubAllGlobals();
  });

  test("keeps no handler of a closed client", async () => {
    const { handlers } = page();
    const world = new World();
    const client = world.client();
    await pass(50);
    expect(handlers()).toBe(3);
    client.close();
    expect(handlers()).toBe(0);
    vi.unstubAllGlobals();
  });
});
