/** The admin API and the pages, as the console wants them. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { WebSocket as Socket } from "ws";
import { connect, type Client } from "../../src/index";
import { startServer, type TestServer } from "./server";

let server: TestServer;
let client: Client;
const name = `admin-${Date.now().toString(36)}`;
beforeAll(async () => {
  server = await startServer();
  client = connect(server.url, { WebSocket: Socket as unknown as typeof WebSocket });
  client.subscribe(`${name}/#`, () => {});
  await client.publish(`${name}/kept`, 1, { retain: true });
  await client.join(name).send("chat.message", { text: "hello" });
}, 30_000);
afterAll(async () => {
  client.close();
  await server.stop();
});

async function get(path: string): Promise<Record<string, unknown>> {
  const answer = await fetch(`${server.url}/api/${path}`);
  expect(answer.status).toBe(200);
  expect(answer.headers.get("content-type")).toMatch(/^application\/json/);
  expect(answer.headers.get("cache-control")).toBe("no-store");
  return answer.json() as Promise<Record<string, unknown>>;
}

const number = expect.any(Number) as number;
const text = expect.any(String) as string;

describe("the API", () => {
  test("tells of the server", async () => {
    expect(await get("info")).toMatchObject({
      name: "bowline", version: text, started: expect.stringMatching(/^\d{4}-\d\d-\d\dT.*Z$/), uptime_s: number, sessions: number, connected: number, subscriptions: number, rooms: number,
      members: number, retained: number, queued: number, queued_bytes: number, counters: { messages_in: number, messages_out: number, bytes_in: number, bytes_out: number, dropped: number },
    });
  });

  test("tells what listens", async () => {
    const { listeners } = await get("listeners");
    expect(listeners).toContainEqual(expect.objectContaining({ address: new URL(server.url).host, transport: "tcp", dialects: expect.arrayContaining(["http"]), connections: number }));
  });

  test("lists sessions, tells of one, and disconnects it", async () => {
    const found = (await get("sessions?limit=500")).sessions as Record<string, unknown>[];
    const own = found.find(({ dialect, carrier, rooms }) => dialect === "json" && carrier === "websocket" && rooms === 1)!;
    expect(own).toMatchObject({ id: text, connected: true, subscriptions: 1, queued: number, messages_in: number, since: text });
    const path = `sessions/${encodeURIComponent(String(own.id))}`;
    expect(await get(path)).toMatchObject({ id: own.id, room_names: [name], filters: [expect.objectContaining({ filter: `${name}/#` })] });

    const unguarded = await fetch(`${server.url}/api/${path}`, { method: "DELETE" });
    expect(unguarded.status).toBe(403);
    const states: string[] = [];
    client.on("state", (state) => states.push(state.name));
    const answer = await fetch(`${server.url}/api/${path}`, { method: "DELETE", headers: { "Bowline-Admin": "1" } });
    expect(answer.status).toBe(204);
    await expect.poll(() => states, { timeout: 10_000 }).toEqual(["waiting", "connecting", "open"]);
  });

  test("knows no session that is not", async () => {
    const answer = await fetch(`${server.url}/api/sessions/nobody`);
    expect(answer.status).toBe(404);
    expect(await answer.json()).toEqual({ error: text });
  });

  test("lists rooms and topics, searched", async () => {
    expect(await get(`rooms?search=${name.toUpperCase()}`)).toMatchObject({ rooms: [{ name, members: 1, offset: 1, epoch: text }], next: null });
    expect((await get(`topics?search=${name}/kept`)).topics).toMatchObject([{ topic: `${name}/kept`, retained: true }]);
    expect((await get("rooms?search=nothing-like-that")).rooms).toEqual([]);
    expect((await fetch(`${server.url}/api/rooms?limit=abc`)).status).toBe(400);
  });

  test("pages", async () => {
    const many = `${name}-page`;
    await Promise.all(Array.from({ length: 7 }, (_, index) => client.publish(`${many}/${index}`, index, { retain: true })));
    const seen: unknown[] = [];
    for (let after = "", rounds = 0; rounds < 50; rounds++) {
      const page = await get(`topics?search=${many}/&limit=3${after && `&after=${encodeURIComponent(after)}`}`);
      const rows = page.topics as { topic: string }[];
      expect(rows.length).toBeLessThanOrEqual(3);
      seen.push(...rows.map(({ topic }) => topic));
      if (page.next === null) break;
      after = String(page.next);
    }
    expect(seen).toEqual(Array.from({ length: 7 }, (_, index) => `${many}/${index}`));
  });

  test("tells of the plugins", async () => {
    expect(await get("plugins")).toMatchObject({ plugins: expect.any(Array) });
  });

  test("tells of the store", async () => {
    expect(await get("store")).toMatchObject({ kind: expect.stringMatching(/sqlite|memory|none/), state: "ok" });
  });

  test("tells its log as it grows", async () => {
    const stop = new AbortController();
    const answer = await fetch(`${server.url}/api/log?level=info`, { signal: stop.signal });
    expect(answer.headers.get("content-type")).toMatch(/^text\/event-stream/);
    const reader = answer.body!.getReader();
    let said = "";
    while (!/^data: \{.*\}$/m.test(said)) said += new TextDecoder().decode((await reader.read()).value);
    expect(JSON.parse(/^data: (.*)$/m.exec(said)![1]!)).toMatchObject({ ts: text, level: text, message: text });
    stop.abort();
  });
});

describe("the pages", () => {
  test.each([["/", "text/html"], ["/chat", "text/html"], ["/assets/client.js", "text/javascript"], ["/assets/chat.js", "text/javascript"], ["/assets/console.js", "text/javascript"], ["/assets/style.css", "text/css"], ["/assets/icon.svg", "image/svg+xml"]])("%s is served with its type and the policy", async (path, type) => {
    const answer = await fetch(server.url + path);
    expect(answer.status).toBe(200);
    expect(answer.headers.get("content-type")).toContain(type);
    expect(answer.headers.get("x-content-type-options")).toBe("nosniff");
    const policy = answer.headers.get("content-security-policy")!;
    expect(policy).toMatch(/default-src '(none|self)'/);
    for (const rule of ["script-src 'self'", "style-src 'self'", "connect-src 'self'", "base-uri 'none'", "frame-ancestors 'none'"]) expect(policy).toContain(rule);
    expect(policy).not.toContain("unsafe");
    const body = await answer.text();
    if (type === "text/html") expect(body).not.toMatch(/<script(?![^>]*\ssrc=)|<style|\sstyle=|\son\w+=|https?:\/\//);
  });

  test("nothing else is", async () => {
    for (const path of ["/assets/", "/assets/../Cargo.toml", "/assets/nothing.js", "/nothing"]) expect((await fetch(server.url + path)).status).toBe(404);
  });
});
