/**
 * The server that tests talk to:
 *
 *   WEB_URL=http://host:port     one that runs already; what stops and starts it is left out
 *   WEB_DAEMON=path/to/bowline      the daemon, started for the tests
 *   neither                          the mock server, in this process
 */
import { spawn, type ChildProcess } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { MockServer } from "../../mock/server";

export interface TestServer {
  readonly url: string;
  /** The mock server itself, for what only it can do. */
  readonly mock?: MockServer;
  /** Ends it in order: it tells its clients, and stores what there is; absent where it cannot be. */
  end?(): Promise<void>;
  /** Kills it, as a machine that fails does; absent where it cannot be. */
  kill?(): Promise<void>;
  /** Starts it again, on the same port with what it stored. */
  again?(): Promise<void>;
  stop(): Promise<void>;
}

/** The built pages. */
export const assets = fileURLToPath(new URL("../../../../adapters/daemon/src/http/assets", import.meta.url));

export async function startServer(): Promise<TestServer> {
  const { WEB_URL: url, WEB_DAEMON: program } = process.env;
  if (url) return { url: url.replace(/\/$/, ""), stop: async () => {} };
  if (program) return daemon(program);
  const mock = new MockServer({ history: 1000, grace: 3000 }, assets);
  mock.hub.responders.set("echo", ({ data, base64 }) => (base64 === undefined ? { data } : { base64 }));
  await mock.start();
  let up = true;
  const kill = async (): Promise<void> => {
    if (up) await mock.stop();
    up = false;
  };
  const end = async (): Promise<void> => {
    mock.hub.drain(300);
    await new Promise((resolve) => setTimeout(resolve, 50));
    await kill();
  };
  const again = async (): Promise<void> => {
    if (!up) await mock.start();
    up = true;
  };
  return { url: mock.url, mock, end, kill, again, stop: kill };
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

async function daemon(program: string): Promise<TestServer> {
  const folder = await mkdtemp(join(tmpdir(), "bowline-web-"));
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const config = join(folder, "bowline.toml");
  await writeFile(config, `[[listen]]\ntcp = "127.0.0.1:${port}"\n\n[store]\npath = "${folder}/data"\n\n[[history]]\nfilter = "$room/#"\nmessages = 1000\n`);
  // What is set for the tests is no setting of the daemon, which would refuse it.
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("BOWLINE_")));
  let child: ChildProcess | undefined;
  const again = async (): Promise<void> => {
    const started = spawn(program, ["serve", "-c", config], { env, stdio: ["ignore", "ignore", "inherit"] });
    child = started;
    for (const end = Date.now() + 15_000; ; ) {
      if (await fetch(`${url}/healthz`).then(({ ok }) => ok, () => false)) return;
      if (started.exitCode !== null || Date.now() > end) throw new Error(`${program} does not answer at ${url}/healthz`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  };
  const end = async (signal: NodeJS.Signals): Promise<void> => {
    const ending = child;
    child = undefined;
    if (!ending || ending.exitCode !== null) return;
    const ended = new Promise((resolve) => ending.once("exit", resolve));
    ending.kill(signal);
    await ended;
  };
  await again();
  return {
    url,
    end: () => end("SIGTERM"),
    kill: () => end("SIGKILL"),
    again,
    stop: async () => {
      await end("SIGTERM");
      await rm(folder, { recursive: true, force: true });
    },
  };
}
