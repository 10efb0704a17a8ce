/**
 * Builds what pages load: the client (`dist/client.js`, and its types) and the daemon's own pages, as files without
 * hashes in their names.
 *
 *   node build.mjs            writes them
 *   node build.mjs --check    says whether the committed ones are what the sources make, and whether the client is small
 */
import { execFileSync } from "node:child_process";
import { mkdir, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const assets = join(here, "../../adapters/daemon/src/http/assets");
/** Octets of the client after `gzip -9`. */
const LIMIT = 10 * 1024;

const common = {
  absWorkingDir: here,
  bundle: true,
  charset: "utf8",
  format: "esm",
  legalComments: "none",
  logLevel: "warning",
  minify: true,
  target: ["es2022"],
  write: false,
};

/** The files the daemon serves, by name. */
async function made() {
  const scripts = await Promise.all([
    build({ ...common, entryPoints: { client: "src/index.ts" }, outdir: "out" }),
    // The pages take the client from the file that any page can use.
    build({ ...common, entryPoints: { chat: "pages/chat/main.ts", console: "pages/console/main.ts" }, outdir: "out", alias: { "bowline-web": "./client.js" }, external: ["./client.js"] }),
    build({ ...common, entryPoints: { style: "pages/style.css" }, outdir: "out" }),
  ]);
  const files = new Map(scripts.flatMap(({ outputFiles }) => outputFiles).map(({ path, contents }) => [path.split("/").at(-1), Buffer.from(contents)]));
  for (const name of ["chat.html", "console.html", "icon.svg"]) files.set(name, await readFile(join(here, "pages", name)));
  return files;
}

const files = await made();
const size = gzipSync(files.get("client.js"), { level: 9 }).length;
console.log(`client.js: ${files.get("client.js").length} octets, ${size} after gzip -9, of ${LIMIT}`);
let failed = size > LIMIT;

if (process.argv.includes("--check")) {
  const there = new Set(await readdir(assets));
  for (const [name, contents] of files) {
    const same = there.delete(name) && (await readFile(join(assets, name))).equals(contents);
    if (!same) console.error(`${name} is not what the sources make: npm run build`);
    failed ||= !same;
  }
  for (const name of there) console.error(`${name} is made by nothing`);
  failed ||= there.size > 0;
} else {
  await mkdir(assets, { recursive: true });
  for (const [name, contents] of files) await writeFile(join(assets, name), contents);
  await rm(join(here, "dist"), { recursive: true, force: true });
  await mkdir(join(here, "dist"), { recursive: true });
  await writeFile(join(here, "dist/client.js"), files.get("client.js"));
  execFileSync("node_modules/.bin/tsc", ["-p", "tsconfig.types.json"], { cwd: here, stdio: "inherit" });
}
process.exitCode = failed ? 1 : 0;
