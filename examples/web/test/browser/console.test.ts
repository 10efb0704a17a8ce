/** The console, as an operator uses it. */
import type { Page } from "playwright-core";
import { expect, test } from "vitest";
import { accessible, connected, pages, picture, reached, say } from "./world";

const world = pages();
const room = `console-${Date.now().toString(36)}`;

const parts = ["overview", "sessions", "rooms", "topics", "plugins", "store", "log", "messages"];

/** Goes to a part of the console, and waits until something is there. */
async function show(page: Page, part: string): Promise<void> {
  await page.locator(`#tabs a[href="#${part}"]`).click();
  await expect.poll(() => page.locator("#tabs [aria-current]").getAttribute("href")).toBe(`#${part}`);
  await expect.poll(() => page.locator("#view table, #view .nothing, #view .card, #view .log li").count(), { message: part }).toBeGreaterThan(0);
}

test("shows what goes on: figures, what listens, what the broker says", async () => {
  const page = await world.open("/");
  const ann = await world.open(`/chat#${room}`, { name: "Ann" });
  await Promise.all([connected(page), connected(ann)]);
  let said = 0;
  await expect.poll(async () => {
    await say(ann, `message ${++said}`);
    return Number.parseFloat((await page.locator("#figure-in").textContent())!);
  }, { timeout: 20_000 }).toBeGreaterThan(1);
  await expect.poll(async () => (await page.locator(".spark path").nth(2).getAttribute("d"))!.split("L").length, { timeout: 10_000 }).toBeGreaterThan(2);
  await expect.poll(() => page.locator("#figure-connected").textContent()).toMatch(/^\d+connected/);
  await page.getByText(new URL(world.server.url).host).waitFor();
  await page.getByText("clients/connected").waitFor({ timeout: 20_000 });
  await picture(page, "console-overview");
});

test("finds a session, looks at it, disconnects it", async () => {
  const ann = await world.open(`/chat#${room}`, { name: "Ann" });
  await connected(ann);
  const page = await world.open("/#sessions");
  await expect.poll(() => page.locator("tbody tr").count(), { timeout: 10_000 }).toBeGreaterThan(1);
  await picture(page, "console-sessions");
  await page.getByRole("searchbox").fill("no such session at all");
  await page.getByText("Nothing here.").waitFor();
  await page.getByRole("searchbox").fill("");
  const row = page.locator("tr", { has: page.locator(".dot.on") }).filter({ has: page.locator('[data-name="Rooms"]', { hasText: /^[1-9]/ }) }).last();
  await row.locator(".link").click();
  await page.getByRole("dialog").getByText(room).waitFor();
  await picture(page, "console-session");
  await ann.evaluate(() => {
    const state = document.getElementById("state")!;
    new MutationObserver(() => state.dataset.state !== "open" && state.setAttribute("data-went", "")).observe(state, { attributeFilter: ["data-state"] });
  });
  await page.getByRole("button", { name: "Disconnect" }).click();
  await ann.locator("#state[data-went]").waitFor();
  await connected(ann); // it comes back: it was not forbidden
  await expect.poll(() => page.locator("#status").textContent()).toBe("The session was disconnected.");
});

test("rooms and topics are watched live", async () => {
  const ann = await world.open(`/chat#${room}`, { name: "Ann" });
  const page = await world.open("/#rooms");
  await Promise.all([connected(ann), connected(page)]);
  await page.getByRole("button", { name: room, exact: true }).click();
  await page.getByText(`$room/${room}`).first().waitFor();
  await say(ann, "watched");
  await page.locator(".came .body", { hasText: "watched" }).waitFor();
});

test("publishes, subscribes, asks", async () => {
  const page = await world.open("/#messages");
  await connected(page);
  await page.getByLabel("Filter").fill("demo/#");
  await page.keyboard.press("Enter");
  await page.getByLabel("Topic").fill("demo/hello");
  await page.getByLabel("Message", { exact: true }).fill('{"t": 21.5}');
  await page.getByRole("button", { name: "Publish" }).click();
  await page.locator(".came .body", { hasText: '{ "t": 21.5 }' }).waitFor();
  await page.getByLabel("Message", { exact: true }).fill("plain words");
  await page.getByLabel("Retain").check();
  await page.getByRole("button", { name: "Publish" }).click();
  await page.locator(".came li", { hasText: "plain words" }).waitFor();
  await page.getByLabel("Topic").fill("nobody/there");
  await page.getByRole("button", { name: "Ask for an answer" }).click();
  await page.getByText("nobody answers").waitFor();
  await picture(page, "console-messages");
  await page.getByRole("button", { name: "Unsubscribe from demo/#" }).click();
  await page.goto(`${world.server.url}/#topics`);
  await page.getByRole("button", { name: "demo/hello" }).waitFor();
});

test("store and log", async () => {
  const page = await world.open("/#store");
  await page.getByText("On disk").waitFor();
  await picture(page, "console-store");
  await page.getByRole("link", { name: "Log" }).click();
  await page.locator(".log li").first().waitFor();
  const before = await page.locator(".log li").count();
  await connected(await world.open("/chat", { name: "Bob" }));
  await expect.poll(() => page.locator(".log li").count()).toBeGreaterThan(before);
  await page.getByLabel("Search the log").fill("nothing that was logged");
  await expect.poll(() => page.locator(".log li:visible").count()).toBe(0);
  await page.getByLabel("Search the log").fill("");
  await picture(page, "console-log");
});

test("on a phone, in the dark, with nothing wider than the screen", async () => {
  const page = await world.open("/", { colorScheme: "dark", viewport: { width: 390, height: 780 }, hasTouch: true, isMobile: true });
  await connected(page);
  for (const part of parts) {
    await show(page, part);
    expect(await page.evaluate(() => document.documentElement.scrollWidth), part).toBe(390);
    await picture(page, `console-phone-${part}`);
  }
});

test("says that the server is away, and goes on when it is back", async ({ skip }) => {
  if (!world.server.kill) return skip("this server cannot be killed from here");
  const page = await world.open("/");
  await connected(page);
  await world.server.kill();
  await page.locator(".stale").waitFor();
  await page.locator("#banner:visible").waitFor();
  await picture(page, "console-away");
  await world.server.again!();
  await connected(page);
  await expect.poll(() => page.locator(".stale").count(), { timeout: 20_000 }).toBe(0);
});

test("nothing is in the way of who cannot see, or sees little", async () => {
  const ann = await world.open(`/chat#${room}`, { name: "Ann" });
  await connected(ann);
  await say(ann, "hello");
  for (const colorScheme of ["light", "dark"] as const) {
    const page = await world.open("/", { colorScheme });
    await connected(page);
    for (const part of parts) {
      await show(page, part);
      await accessible(page, `${part}, ${colorScheme}`);
      await picture(page, `console-${colorScheme}-${part}`);
    }
    await show(page, "sessions");
    await page.locator("tbody .link").first().click();
    await page.getByRole("dialog").getByText("Kept for").waitFor();
    await accessible(page, `a session, ${colorScheme}`);
  }
});

test("each part of the console is reached by Tab, and seen to be", async () => {
  const page = await world.open("/");
  await connected(page);
  for (const part of parts) {
    await show(page, part);
    const all = await reached(page);
    expect(all[0]).toBe("a Skip to the content");
    expect(all.filter((each) => each.endsWith("(not to be seen)")), part).toEqual([]);
    const buttons = await page.locator("#view button:visible, #view input:visible, #view select:visible, #view textarea:visible").count();
    expect(all.length, part).toBeGreaterThanOrEqual(parts.length + 2 + buttons);
  }
});

test("by keyboard alone", async () => {
  const page = await world.open("/");
  await connected(page);
  await page.locator("body").press("Tab");
  expect(await page.evaluate(() => document.activeElement!.textContent)).toBe("Skip to the content");
  await page.locator('#tabs a[href="#topics"]').focus();
  await page.keyboard.press("Enter");
  await expect.poll(() => page.evaluate(() => document.activeElement!.id)).toBe("view");
  const nameless = await page.locator("button:visible, input:visible, select:visible").evaluateAll((all) => all.filter((each) => !(each.textContent!.trim() || each.getAttribute("aria-label") || each.closest("label"))).length);
  expect(nameless).toBe(0);
});
