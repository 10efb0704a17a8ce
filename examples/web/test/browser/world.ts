/** Chromium, and the server whose pages it opens. */
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import axe from "axe-core";
import { chromium, type Browser, type BrowserContext, type BrowserContextOptions, type Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, expect } from "vitest";
import { startServer, type TestServer } from "../server/server";

const FLAGS = [
  "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync",
  "--disable-dev-shm-usage",
];

export class Pages {
  server!: TestServer;
  #browser: Browser | undefined;
  #data = "";
  readonly #contexts: BrowserContext[] = [];
  readonly #complaints: string[] = [];

  async start(): Promise<void> {
    this.server = await startServer();
    this.#data = await mkdtemp(join(tmpdir(), "bowline-browser-"));
    this.#browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: [...FLAGS, `--disk-cache-dir=${this.#data}`], env: { ...process.env, HOME: this.#data } });
  }

  async stop(): Promise<void> {
    await this.#browser?.close();
    await this.server.stop();
    await rm(this.#data, { recursive: true, force: true });
  }

  /** A page of a new visitor, who has a name. */
  async open(path: string, { name, ...options }: BrowserContextOptions & { name?: string } = {}): Promise<Page> {
    const context = await this.#browser!.newContext({ viewport: { width: 1280, height: 800 }, ...options });
    this.#contexts.push(context);
    if (name) await context.addInitScript((value) => localStorage.setItem("bowline.name", value), name);
    const page = await context.newPage();
    page.on("pageerror", (error) => this.#complaints.push(`${path}: ${error.message}`));
    // Of what the page says on its console only what a policy refused counts: connections may fail.
    page.on("console", (line) => /Content Security Policy|Refused to/.test(line.text()) && this.#complaints.push(`${path}: ${line.text()}`));
    page.on("request", (request) => new URL(request.url()).hostname !== "127.0.0.1" && this.#complaints.push(`${path} asks ${request.url()}`));
    await page.goto(this.server.url + path);
    return page;
  }

  /** A tab beside a page, of the same visitor. */
  async beside(page: Page): Promise<Page> {
    const other = await page.context().newPage();
    await other.goto(page.url());
    return other;
  }

  /** Closes all pages; none of them may have complained. */
  async tidy(): Promise<void> {
    for (const context of this.#contexts.splice(0)) await context.close();
    expect(this.#complaints.splice(0)).toEqual([]);
  }
}

/** For the tests of a file. */
export function pages(): Pages {
  const made = new Pages();
  beforeAll(() => made.start());
  afterAll(() => made.stop());
  afterEach(() => made.tidy());
  return made;
}

/** Keeps a picture where WEB_SCREENSHOTS says. */
export async function picture(page: Page, name: string): Promise<void> {
  const folder = process.env.WEB_SCREENSHOTS;
  if (!folder) return;
  await mkdir(folder, { recursive: true });
  await page.screenshot({ path: join(folder, `${name}.png`), animations: "disabled" });
}

interface Violation {
  id: string;
  nodes: { target: unknown; failureSummary?: string }[];
}

/** What axe-core finds against the page as it is: nothing may be. */
export async function accessible(page: Page, what: string): Promise<void> {
  // Colours that are on their way to others would be taken for what they are at that moment.
  await page.evaluate(() => Promise.all(document.getAnimations().map((each) => each.finished.catch(() => {}))));
  await page.evaluate(axe.source);
  const violations = await page.evaluate(async () => {
    const { run } = (globalThis as unknown as { axe: { run(options: object): Promise<{ violations: Violation[] }> } }).axe;
    return (await run({ runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] })).violations;
  });
  expect(violations.map(({ id, nodes }) => `${what}: ${id} at ${nodes.map(({ target, failureSummary }) => `${String(target)} (${failureSummary})`).join("; ")}`)).toEqual([]);
}

/** The parts of a page that Tab leads to, from its beginning to its end, in that order. */
export async function reached(page: Page): Promise<string[]> {
  const all: string[] = [];
  // Through the beginning to the beginning.
  for (let steps = 0, begun = false; steps < 300; steps++) {
    await page.keyboard.press("Tab");
    const name = await page.evaluate(() => {
      const { activeElement: at } = document;
      if (!at || at === document.body) return "";
      const style = getComputedStyle(at);
      const seen = style.outlineStyle !== "none" || style.boxShadow !== "none";
      return `${at.tagName.toLowerCase()} ${at.getAttribute("aria-label") ?? at.textContent!.trim()}${seen ? "" : " (not to be seen)"}`;
    });
    const first = name.startsWith("a Skip to");
    if (begun && (first || !name)) return all;
    begun ||= first;
    if (begun) all.push(name);
  }
  throw new Error(`Tab does not come to an end: ${all.slice(-5).join(", ")}`);
}

/** Says something on the chat page. */
export async function say(page: Page, text: string): Promise<void> {
  await page.fill("#text", text);
  await page.press("#text", "Enter");
}

/** Waits until a page's list of messages is this. */
export async function reads(page: Page, expected: string[]): Promise<void> {
  await expect.poll(() => page.locator(".message .said").allTextContents(), { timeout: 20_000 }).toEqual(expected);
}

/** Waits until a page says that it is connected. */
export async function connected(page: Page): Promise<void> {
  await page.locator('#state[data-state="open"]').waitFor({ timeout: 40_000 });
}
