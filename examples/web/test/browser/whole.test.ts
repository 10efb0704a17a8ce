/** All of it together, as a new user tries it: two tabs, the server killed and started again, and other clients in the same room. */
import { spawn, type ChildProcess } from "node:child_process";
import { createInterface } from "node:readline";
import { afterEach, expect, test } from "vitest";
import { connected, pages, picture, reads, say } from "./world";

const world = pages();
const children: ChildProcess[] = [];
afterEach(() => children.splice(0).forEach((child) => child.kill()));

/** The lines that a program says, as they come; nothing where there is no such program. */
async function lines(program: string, ...args: string[]): Promise<string[] | undefined> {
  const child = spawn(program, args, { stdio: ["ignore", "pipe", "inherit"] });
  const all: string[] = [];
  children.push(child);
  createInterface({ input: child.stdout! }).on("line", (line) => all.push(line));
  const there = await new Promise<boolean>((resolve) => child.once("spawn", () => resolve(true)).once("error", () => resolve(false)));
  return there ? all : undefined;
}

/** What was said in a room, of lines that have an event each: that somebody writes is one too, and says nothing. */
const said = (all: string[]): string[] => all.flatMap((line) => {
  const text = line.startsWith("{") && (JSON.parse(line) as { payload: { text?: string } }).payload.text;
  return text || [];
});

test("two tabs, mosquitto_sub and bowline sub are in one room, and nothing is lost when the server is killed", async ({ skip }) => {
  const program = process.env.WEB_DAEMON;
  if (!program || !world.server.kill) return skip("only with the daemon itself");
  const name = `whole-${Date.now().toString(36)}`;
  const { port } = new URL(world.server.url);
  const bowline = (await lines(program, "sub", "-p", port, `$room/${name}`))!;
  // Its session outlives the server's end, so that it too gets what was said meanwhile.
  const mosquitto = await lines("mosquitto_sub", "-p", port, "-i", name, "-c", "-q", "1", "-t", `$room/${name}`);
  const ann = await world.open(`/chat#${name}`, { name: "Ann" });
  const bob = await world.beside(ann);
  await Promise.all([connected(ann), connected(bob)]);

  let expected: string[] = [];
  const say_all = async (...texts: string[]): Promise<void> => {
    for (const [at, text] of texts.entries()) await say(at % 2 ? bob : ann, text);
    expected = [...expected, ...texts];
  };
  const all_hear = async (): Promise<void> => {
    // Two who speak at once may be heard in either order, but by all in the same.
    await expect.poll(async () => (await ann.locator(".message .said").allTextContents()).sort(), { timeout: 30_000 }).toEqual([...expected].sort());
    const order = await ann.locator(".message .said").allTextContents();
    await reads(bob, order);
    if (mosquitto) await expect.poll(() => [...new Set(said(mosquitto))].sort(), { timeout: 30_000 }).toEqual([...expected].sort());
  };
  await say_all("hello from one tab", "hello from the other");
  await all_hear();
  await expect.poll(() => said(bowline).sort()).toEqual([...expected].sort());

  await world.server.kill(); // -9
  await ann.locator('#state:not([data-state="open"])').waitFor();
  await say_all("while it is down, one", "while it is down, two");
  await world.server.again!();
  await Promise.all([connected(ann), connected(bob)]);
  await say_all("and after, one", "and after, two");
  await all_hear();
  await expect.poll(() => said(bowline), { timeout: 30_000 }).toEqual(expect.arrayContaining(["and after, one", "and after, two"]));
  await picture(ann, "whole-recovered");
  const console_page = await world.open("/#rooms");
  await console_page.getByRole("button", { name, exact: true }).waitFor();
  await picture(console_page, "whole-rooms");
  if (!mosquitto) skip("there is no mosquitto_sub here: all else was as it should be");
}, 120_000);
