// ws and Chromium against the echo server at ECHO: ECHO=127.0.0.1:9001 node --test websocket.mjs

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import test from 'node:test';
import { chromium } from 'playwright-core';
import WebSocket from 'ws';

const url = `ws://${process.env.ECHO}`;
const limit = { timeout: 30_000 };
const sizes = [0, 1, 125, 126, 127, 65_535, 65_536, 100_000, 1 << 20];

/** Text of so many octets, of which no part is like another. */
function text(size) {
  let random = 1;
  return Array.from({ length: size }, () => {
    random = (Math.imul(random, 1_664_525) + 1_013_904_223) >>> 0;
    return String.fromCharCode(97 + (random >>> 28));
  }).join('');
}

for (const perMessageDeflate of [false, true]) {
  test(`ws, ${perMessageDeflate ? 'compressed' : 'as it is'}`, async (t) => {
    const options = { perMessageDeflate: perMessageDeflate && { threshold: 0 } };

    async function connect(protocols, more) {
      const socket = new WebSocket(url, protocols, { ...options, ...more });
      t.after(() => socket.terminate());
      await once(socket, 'open');
      return socket;
    }

    async function message(socket) {
      const [data, binary] = await once(socket, 'message');
      return binary ? data : data.toString();
    }

    await t.test('messages of all sizes come back, whole and in fragments', limit, async () => {
      const socket = await connect();
      assert.equal(socket.extensions.includes('permessage-deflate'), perMessageDeflate);
      for (const size of sizes) {
        for (const data of [text(size), Buffer.from(text(size))]) {
          socket.send(data);
          assert.deepEqual(await message(socket), data);
          const cut = size >> 1;
          socket.send(data.slice(0, cut), { fin: false });
          socket.send('', { fin: false, binary: typeof data !== 'string' });
          socket.send(data.slice(cut), { fin: true });
          assert.deepEqual(await message(socket), data);
        }
      }
    });

    await t.test('contexts go on, or each message is for itself', limit, async () => {
      for (const more of [{}, { clientNoContextTakeover: true }, { serverNoContextTakeover: true }, { serverMaxWindowBits: 9 }, { clientMaxWindowBits: 10 }]) {
        const socket = await connect([], { perMessageDeflate: perMessageDeflate && { threshold: 0, ...more } });
        for (let i = 0; i < 50; i++) {
          const line = `${i} ${text(3000).slice(i * 7)} ${i}`;
          socket.send(line);
          assert.equal(await message(socket), line);
        }
      }
    });

    await t.test('a thousand at once come back in their order', limit, async () => {
      const socket = await connect();
      const got = [];
      const all = new Promise((resolve) => {
        socket.on('message', (data) => {
          if (got.push(Number(data)) === 1000) resolve();
        });
      });
      for (let i = 0; i < 1000; i++) socket.send(String(i));
      await all;
      assert.deepEqual(got, Array.from({ length: 1000 }, (_, i) => i));
    });

    await t.test('pings are answered, also between fragments', limit, async () => {
      const socket = await connect();
      socket.send('t\u00e4', { fin: false });
      socket.ping(Buffer.alloc(125, 7));
      const [octets] = await once(socket, 'pong');
      assert.deepEqual(octets, Buffer.alloc(125, 7));
      socket.send('gl', { fin: true });
      assert.equal(await message(socket), 'tägl');
    });

    await t.test('a close frame is answered with its code', limit, async () => {
      for (const [code, reason, told] of [[3001, 'done', 3001], [1000, '', 1000], [undefined, undefined, 1005]]) {
        const socket = await connect();
        socket.close(code, reason);
        const [got] = await once(socket, 'close');
        assert.equal(got, told);
      }
    });

    await t.test('what is wrong is answered with why', limit, async () => {
      const masked = (first, ...payload) => Buffer.from([first, 0x80 | payload.length, 0, 0, 0, 0, ...payload]);
      const announced = Buffer.from([0x82, 0xff, 0, 0, 0, 0, 1, 0, 0, 1, 0, 0, 0, 0]);
      for (const [octets, code] of [
        [masked(0x81, 0x61, 0xff), 1007],
        [masked(0x80, 0x61), 1002],
        [masked(0x83), 1002],
        [masked(0xa1, 0x61), 1002],
        [masked(0x09), 1002],
        [Buffer.from([0x81, 0]), 1002],
        [Buffer.from([0x82, 0xfe, 0, 1, 0, 0, 0, 0, 0x61]), 1002],
        [masked(0x88, 0x03, 0xee), 1002],
        [masked(0xc1, 0xff), perMessageDeflate ? 1007 : 1002],
        [announced, 1009],
      ]) {
        const socket = await connect();
        socket._socket.write(octets);
        const [got, reason] = await once(socket, 'close');
        assert.equal(got, code, `${octets.toString('hex')}: ${reason}`);
        assert.notEqual(reason.length, 0);
      }
    });

    // Or, where it is compressed, while it is inflated.
    await t.test('too large a message is refused while it is still sent', limit, async () => {
      const socket = await connect();
      socket.send(Buffer.alloc((16 << 20) + 1));
      const [code] = await once(socket, 'close');
      assert.equal(code, 1009);
    });

    await t.test('a subprotocol is chosen where it is known', limit, async () => {
      assert.equal((await connect(['soap', 'echo'])).protocol, 'echo');
      assert.equal((await connect([])).protocol, '');
      const socket = new WebSocket(url, ['soap'], options);
      const [error] = await once(socket, 'error');
      assert.match(error.message, /no subprotocol/);
    });
  });
}

test('what does not open is answered by HTTP', limit, async () => {
  const asked = async (headers) => {
    const { status } = await fetch(`http://${process.env.ECHO}/`, { headers });
    return status;
  };
  assert.equal(await asked({}), 400);
  const socket = new WebSocket(url, { protocolVersion: 8 });
  const [, response] = await once(socket, 'unexpected-response');
  assert.equal(response.statusCode, 426);
  assert.equal(response.headers['sec-websocket-version'], '13');
  socket.on('error', () => {}).terminate();
});

/** Runs in the page. */
async function inThePage({ url, texts }) {
  const found = {};
  const event = (socket, name) => new Promise((resolve) => socket.addEventListener(name, resolve, { once: true }));
  const opened = async (...protocols) => {
    const socket = new WebSocket(url, protocols);
    socket.binaryType = 'arraybuffer';
    await event(socket, 'open');
    return socket;
  };
  const same = (a, b) => a.length === b.length && a.every((octet, i) => octet === b[i]);

  const socket = await opened('soap', 'echo');
  found.protocol = socket.protocol;
  found.extensions = socket.extensions;
  found.echoed = 0;
  for (const text of texts) {
    socket.send(text);
    found.echoed += (await event(socket, 'message')).data === text;
    const octets = new TextEncoder().encode(text);
    socket.send(octets);
    found.echoed += same(new Uint8Array((await event(socket, 'message')).data), octets);
  }
  const got = [];
  const all = new Promise((resolve) => {
    socket.addEventListener('message', ({ data }) => {
      if (got.push(Number(data)) === 1000) resolve();
    });
  });
  for (let i = 0; i < 1000; i++) socket.send(String(i));
  await all;
  found.inOrder = got.every((value, i) => value === i);

  socket.close(3001, 'done');
  const { code, wasClean } = await event(socket, 'close');
  found.closed = { code, wasClean };

  const large = await opened();
  large.send(new Uint8Array((16 << 20) + 1));
  found.tooLarge = (await event(large, 'close')).code;

  const unknown = new WebSocket(url, ['soap']);
  found.unknown = (await event(unknown, 'close')).code;
  return found;
}

test('Chromium', async (t) => {
  const page = createServer((_, answer) => answer.end('<!doctype html>')).listen(0, '127.0.0.1');
  await once(page, 'listening');
  t.after(() => page.close());
  const executablePath = process.env.CHROMIUM ?? '/usr/bin/chromium';
  const browser = await chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage'] });
  t.after(() => browser.close());
  const tab = await browser.newPage();
  await tab.goto(`http://127.0.0.1:${page.address().port}/`);
  const found = await tab.evaluate(inThePage, { url, texts: sizes.map(text) });

  await t.test('messages of all sizes come back, compressed', () => {
    assert.match(found.extensions, /^permessage-deflate/);
    assert.equal(found.echoed, 2 * sizes.length);
  });
  await t.test('a thousand at once come back in their order', () => assert.equal(found.inOrder, true));
  await t.test('a close frame is answered with its code', () => assert.deepEqual(found.closed, { code: 3001, wasClean: true }));
  await t.test('too large a message is refused while it is still sent', () => assert.equal(found.tooLarge, 1009));
  await t.test('a subprotocol is chosen where it is known', () => assert.deepEqual([found.protocol, found.unknown], ['echo', 1006]));
});
