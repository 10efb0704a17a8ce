/** `npm run mock -- [PORT]`: the mock daemon, for working on the pages. */
import { fileURLToPath } from "node:url";
import { MockServer } from "./server";

const assets = process.env.WEB_ASSETS ?? fileURLToPath(new URL("../../../adapters/daemon/src/http/assets", import.meta.url));
const server = new MockServer({}, assets);
server.hub.responders.set("echo", ({ data, base64 }) => (base64 === undefined ? { data } : { base64 }));
await server.start(Number(process.argv[2] ?? 8080));
console.log(`console ${server.url}/\nchat    ${server.url}/chat`);
