/** Chromium, and the server whose pages it opens. */
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
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
