/** The chat page, as its readers use it. */
import { expect, test } from "vitest";
import { MockServer } from "../../mock/server";
import { assets } from "../server/server";
import { connected, pages, picture, reads, say } from "./world";

const world = pages();
const phone = { viewport: { width: 390, height: 780 }, hasTouch: true, isMobile: true };
let rooms = 0;
/** A room that no other test is in. */
const fresh = (): string => `/chat#room-${Date.now().toString(36)}-${++rooms}`;

test("asks for a name, once", async () => {
  const page = await world.open(fresh());
  await page.getByRole("dialog").waitFor();
  await page.keyboard.type("Ann");
  await picture(page, "chat-name");
  await page.keyboard.press("Enter");
  await connected(page);
  expect(await page.locator("#me").textContent()).toBe("Ann");
  const tab = await world.beside(page);
  await connected(tab);
  expect(await tab.getByRole("dialog").count()).toBe(0);
});

test("two tabs chat: messages, names, who is there, who writes", async () => {
  const path = fresh();
  const ann = await world.open(path, { name: "Ann" });
  const bob = await world.open(path, { name: "Bob" });
  await Promise.all([connected(ann), connected(bob)]);
  await say(ann, "Good morning! Did the kitchen sensor come back?");
  await reads(bob, ["Good morning! Did the kitchen sensor come back?"]);
  await say(bob, "It did.");
  await say(ann, "<b>not bold</b> & not a script");
  await reads(ann, ["Good morning! Did the kitchen sensor come back?", "It did.", "<b>not bold</b> & not a script"]);
  await reads(bob, ["Good morning! Did the kitchen sensor come back?", "It did.", "<b>not bold</b> & not a script"]);
  expect(await bob.locator(".message .head b").allTextContents()).toEqual(["Ann", "Bob", "Ann"]);
  expect(await ann.locator(".message.mine").count()).toBe(2);
  await expect.poll(() => ann.locator("#people .name").allTextContents()).toEqual(["Ann", "Bob"]);
  expect(await ann.locator("#people-count").textContent()).toBe("2");

  await bob.locator("#text").pressSequentially("I ");
  await ann.getByText("Bob is writing…").waitFor();
  await picture(ann, "chat-desktop-light");
  await say(bob, "I am done");
  await expect.poll(() => ann.locator("#typing").textContent()).toBe("");

  await bob.locator("#me").click();
  await bob.getByLabel("Your name").fill("Robert");
  await bob.keyboard.press("Enter");
  await expect.poll(() => ann.locator("#people .name").allTextContents()).toEqual(["Ann", "Robert"]);
  await bob.goto(`${world.server.url}/assets/icon.svg`);
  await expect.poll(() => ann.locator("#people .name").allTextContents()).toEqual(["Ann"]);
});

test("the server goes and comes again: nothing is lost, and the page says what happened", async ({ skip }) => {
  if (!world.server.kill) return skip("this server cannot be killed from here");
  const path = fresh();
  const ann = await world.open(path, { name: "Ann" });
  const bob = await world.open(path, { name: "Bob" });
  await Promise.all([connected(ann), connected(bob)]);
  await say(ann, "before");
  await reads(bob, ["before"]);
  await world.server.kill();
  await ann.locator('#state:not([data-state="open"])').waitFor();
  await say(ann, "while it is down, from Ann");
  await say(bob, "while it is down, from Bob");
  await ann.locator(".message.unsent").waitFor();
  expect(await ann.locator(".message.unsent .fate").textContent()).toBe("waits for a connection");
  await ann.locator("#banner:visible").waitFor();
  expect(await ann.locator("#status").textContent()).toBe("Connection lost.");
  await picture(ann, "chat-offline");
  await world.server.again!();
  await ann.getByRole("button", { name: "Try now" }).click({ timeout: 3000 }).catch(() => {}); // unless it was quicker
  await Promise.all([connected(ann), connected(bob)]);
  expect(await ann.locator("#status").textContent()).toBe("Connected.");
  await expect.poll(() => ann.locator(".message.unsent").count()).toBe(0);
  await expect.poll(() => ann.locator(".message .said").count()).toBe(3);
  const said = await ann.locator(".message .said").allTextContents();
  expect([...said].sort()).toEqual(["before", "while it is down, from Ann", "while it is down, from Bob"]);
  await reads(bob, said);
  await expect.poll(() => ann.locator("#banner:visible").count()).toBe(0);
  await say(bob, "after");
  await reads(ann, [...said, "after"]);
  await picture(ann, "chat-recovered");
});

test("a message that the network lost while it was down is caught up, and the page says so", async () => {
  const path = fresh();
  const ann = await world.open(path, { name: "Ann" });
  const bob = await world.open(path, { name: "Bob" });
  await Promise.all([connected(ann), connected(bob)]);
  await say(ann, "1");
  await reads(bob, ["1"]);
  const [session] = world.server.mock ? [...world.server.mock.hub.sessions.values()].slice(-1) : [];
  if (!session) return;
  session.link!.close(1011, "gone");
  await say(ann, "2");
  await say(ann, "3");
  await reads(bob, ["1", "2", "3"]);
});

test("what was said earlier comes by scrolling back, and stays where it was", async () => {
  const path = fresh();
  const ann = await world.open(path, { name: "Ann" });
  await connected(ann);
  for (let index = 1; index <= 100; index++) await say(ann, `message ${index}`);
  await expect.poll(() => ann.locator(".message:not(.unsent)").count()).toBe(100);
  const bob = await world.open(path, { name: "Bob" });
  await connected(bob);
  await expect.poll(() => bob.locator(".message").count()).toBe(40);
  // It begins at the end.
  await bob.getByText("message 100", { exact: true }).waitFor();
  expect(await bob.getByText("message 100", { exact: true }).isVisible()).toBe(true);
  await bob.locator(".messages").focus();
  await bob.locator(".scroll").evaluate((scroll) => { scroll.scrollTop = 40; });
  await expect.poll(() => bob.locator(".message").count()).toBe(80);
  await bob.getByRole("button", { name: "Earlier messages" }).focus();
  await bob.keyboard.press("Enter");
  await expect.poll(() => bob.locator(".message").count()).toBe(100);
  expect(await bob.locator(".message .said").allTextContents()).toEqual(Array.from({ length: 100 }, (_, index) => `message ${index + 1}`));
  expect(await bob.getByRole("button", { name: "Earlier messages" }).count()).toBe(0);
  expect(await bob.locator(".day").allTextContents()).toEqual(["Today"]);
  // What comes while one reads the past does not pull one away from it.
  await say(ann, "news");
  await bob.getByRole("button", { name: "New messages ↓" }).click();
  await expect.poll(() => bob.locator("#newer:visible").count()).toBe(0);
  await expect.poll(() => bob.locator(".message .said").last().isVisible()).toBe(true);
});

test("rooms: joined, unread, left", async () => {
  const path = fresh();
  const ann = await world.open(path, { name: "Ann" });
  const bob = await world.open(path, { name: "Bob" });
  await Promise.all([connected(ann), connected(bob)]);
  const other = `other-${Date.now().toString(36)}`;
  for (const page of [ann, bob]) {
    await page.getByLabel("Join a room").fill(other);
    await page.keyboard.press("Enter");
    await page.getByRole("heading", { name: other }).waitFor();
  }
  await bob.locator("#rooms .room").first().click();
  await say(ann, "are you there?");
  await expect.poll(() => bob.locator(".unread").textContent()).toBe("1");
  await picture(bob, "chat-unread");
  await bob.getByRole("button", { name: other }).first().click();
  await reads(bob, ["are you there?"]);
  expect(await bob.locator(".unread").count()).toBe(0);
  await bob.locator(`[aria-label="Leave ${other}"]`).click();
  await expect.poll(() => ann.locator("#people .name").allTextContents()).toEqual(["Ann"]);
});

test("on a phone, in the dark", async () => {
  const path = fresh();
  const ann = await world.open(path, { name: "Ann", colorScheme: "dark", ...phone });
  const bob = await world.open(path, { name: "Bob" });
  await Promise.all([connected(ann), connected(bob)]);
  await say(bob, "A longer message, that needs more than a line of a narrow screen, with an-unbreakable-word-that-is-rather-long-and-would-push-the-page-wide.");
  await say(ann, "Read it.");
  await expect.poll(() => ann.locator(".message").count()).toBe(2);
  const paper = await ann.evaluate(() => getComputedStyle(document.body).backgroundColor.match(/\d+/g)!.map(Number));
  expect(Math.max(...paper)).toBeLessThan(60);
  // Nothing is wider than the screen.
  expect(await ann.evaluate(() => document.documentElement.scrollWidth)).toBe(390);
  await picture(ann, "chat-phone-dark");
  await ann.getByRole("button", { name: "Rooms" }).click();
  await expect.poll(() => ann.locator("#rooms-panel").boundingBox().then((box) => box?.x)).toBe(0);
  await picture(ann, "chat-phone-rooms");
  await ann.keyboard.press("Escape");
  await expect.poll(() => ann.locator("#rooms-panel").isVisible()).toBe(false);
  await ann.getByRole("button", { name: "Who is here: 2" }).click();
  await ann.locator("#people .name").first().waitFor();
  await picture(ann, "chat-phone-people");
});

test("by keyboard alone, and read aloud", async () => {
  const page = await world.open(fresh(), { name: "Ann" });
  await connected(page);
  await page.evaluate(() => (document.activeElement as HTMLElement).blur());
  const reached: string[] = [];
  for (let index = 0; index < 16; index++) {
    await page.keyboard.press("Tab");
    reached.push(await page.evaluate(() => document.activeElement!.id || document.activeElement!.getAttribute("aria-label") || document.activeElement!.textContent!.trim()));
  }
  for (const each of ["Skip to writing", "Join a room", "me", "text", "Send"]) expect(reached).toContain(each);
  expect(await page.locator("[role=log]").getAttribute("aria-live")).toBe("polite");
  expect(await page.locator("#status").getAttribute("role")).toBe("status");
  // Everything that can be pressed has a name.
  const nameless = await page.locator("button:visible, input:visible, textarea:visible").evaluateAll((all) => all.filter((each) => !(each.textContent!.trim() || each.getAttribute("aria-label"))).length);
  expect(nameless).toBe(0);
});

test("without WebSocket it chats too", async () => {
  const path = fresh();
  const ann = await world.open("/assets/icon.svg", { name: "Ann" });
  await ann.addInitScript(() => {
    window.WebSocket = class { constructor() { throw new Error("blocked"); } } as unknown as typeof WebSocket;
  });
  await ann.goto(world.server.url + path);
  const bob = await world.open(path, { name: "Bob" });
  await Promise.all([connected(ann), connected(bob)]);
  expect(await ann.locator("#state").getAttribute("title")).toBe("Connected by event stream");
  await say(ann, "by other means");
  await reads(bob, ["by other means"]);
  await say(bob, "heard");
  await reads(ann, ["by other means", "heard"]);
});

test("a server that wants to know who it is is told, and shows it", async () => {
  const server = new MockServer({ users: { ann: "correct horse" } }, assets);
  await server.start();
  try {
    const page = await world.open("/assets/icon.svg", { name: "whoever" });
    await page.goto(`${server.url}/chat`);
    await page.getByRole("heading", { name: "Sign in" }).waitFor();
    await page.getByLabel("Name", { exact: true }).fill("ann");
    await page.getByLabel("Password").fill("wrong");
    await page.keyboard.press("Enter");
    await page.getByText("That name and password do not fit.").waitFor();
    await picture(page, "chat-sign-in");
    await page.getByLabel("Password").fill("correct horse");
    await page.keyboard.press("Enter");
    await connected(page);
    expect(await page.locator("#me").textContent()).toBe("ann");
    await say(page, "it is me");
    await reads(page, ["it is me"]);
    expect(await page.locator(".message .known").textContent()).toBe("ann");
    // Known by the server, not by what the page says.
    expect(await page.locator("#people .name").allTextContents()).toEqual(["ann"]);
  } finally {
    await server.stop();
  }
});
