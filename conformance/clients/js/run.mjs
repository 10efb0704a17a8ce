// MQTT.js against the server at PORT, in both versions of the protocol: PORT=7790 node --test run.mjs

import assert from 'node:assert/strict';
import { once } from 'node:events';
import test from 'node:test';
import mqtt from 'mqtt';

const layers = { TCP: `mqtt://127.0.0.1:${process.env.PORT}`, WebSocket: `ws://127.0.0.1:${process.env.PORT}/mqtt` };
const limit = { timeout: 20_000 };

/** What arrives, to be waited for. */
class Inbox {
  #waiting = [];
  #arrived = [];

  put(message) {
    const next = this.#waiting.shift();
    if (next) next(message);
    else this.#arrived.push(message);
  }

  next() {
    if (this.#arrived.length) return Promise.resolve(this.#arrived.shift());
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  /** The next `n`, and of each what `what` says. */
  async take(n, what) {
    const taken = [];
    while (taken.length < n) taken.push(what(await this.next()));
    return taken;
  }
}

const textOf = ({ topic, payload, packet }) => `${topic} ${packet.qos} ${packet.retain ? 'kept' : 'live'} ${payload}`;

for (const [layer, version] of Object.keys(layers).flatMap((layer) => [[layer, 4], [layer, 5]])) {
  test(`MQTT ${version === 4 ? '3.1.1' : '5.0'} over ${layer}`, async (t) => {
    const clients = [];

    /** A client that is connected: it, what arrives at it, and CONNACK. */
    async function connect(options = {}) {
      const client = mqtt.connect(layers[layer], { protocolVersion: version, reconnectPeriod: 0, connectTimeout: 10_000, ...options });
      clients.push(client);
      const inbox = new Inbox();
      client.on('message', (topic, payload, packet) => inbox.put({ topic, payload: payload.toString(), packet }));
      const [connack] = await once(client, 'connect');
      return { client, inbox, connack };
    }

    /** A session that outlives its connections. */
    const durable = (clientId, more = {}) => ({
      clientId: `${clientId}-${version}-${layer}`,
      clean: false,
      ...more,
      ...(version === 5 && { properties: { sessionExpiryInterval: 0xffffffff, ...more.properties } }),
    });

    t.after(() => Promise.all(clients.map((client) => client.endAsync(true))));

    await t.test('each QoS reaches each subscriber with the lower one', limit, async () => {
      const publisher = await connect();
      for (const granted of [0, 1, 2]) {
        const { client, inbox } = await connect();
        const [grant] = await client.subscribeAsync(`qos${granted}/+`, { qos: granted });
        assert.equal(grant.qos, granted);
        for (const qos of [0, 1, 2]) await publisher.client.publishAsync(`qos${granted}/${qos}`, 'x', { qos });
        const seen = (await inbox.take(3, textOf)).sort();
        assert.deepEqual(seen, [0, 1, 2].map((qos) => `qos${granted}/${qos} ${Math.min(qos, granted)} live x`));
      }
    });

    await t.test('retained is set, replaced and cleared', limit, async () => {
      const publisher = await connect();
      const topic = `js/door${version}`;
      for (const value of ['closed', 'open']) await publisher.client.publishAsync(topic, value, { qos: 1, retain: true });
      const live = await connect();
      await live.client.subscribeAsync(topic, { qos: 1 });
      assert.equal(textOf(await live.inbox.next()), `${topic} 1 kept open`);
      await publisher.client.publishAsync(topic, 'ajar', { qos: 2, retain: true });
      assert.equal(textOf(await live.inbox.next()), `${topic} 1 live ajar`);
      await publisher.client.publishAsync(topic, '', { qos: 1, retain: true });
      assert.equal(textOf(await live.inbox.next()), `${topic} 1 live `);
      const late = await connect();
      await late.client.subscribeAsync([topic, 'js/bell']);
      await publisher.client.publishAsync('js/bell', 'ring', { qos: 1 });
      assert.equal(textOf(await late.inbox.next()), 'js/bell 0 live ring');
    });

    await t.test('the will goes out when the connection is lost, and not when it is ended', limit, async () => {
      const watcher = await connect();
      await watcher.client.subscribeAsync(`jswill${version}/#`, { qos: 1 });
      const will = (payload) => ({ will: { topic: `jswill${version}/lost`, payload, qos: 1, retain: false } });
      await (await connect(will('ended'))).client.endAsync();
      (await connect(will('lost'))).client.stream.destroy();
      assert.equal((await watcher.inbox.next()).payload, 'lost');
    });

    await t.test('a persistent session keeps what comes while its client is away', limit, async () => {
      const away = await connect(durable('keeper'));
      assert.equal(away.connack.sessionPresent, false);
      await away.client.subscribeAsync('jskept/+', { qos: 2 });
      await away.client.endAsync();
      const publisher = await connect();
      for (const qos of [1, 2]) await publisher.client.publishAsync(`jskept/${qos}`, 'later', { qos });
      const back = await connect(durable('keeper', { resubscribe: false }));
      assert.equal(back.connack.sessionPresent, true);
      assert.deepEqual((await back.inbox.take(2, textOf)).sort(), ['jskept/1 1 live later', 'jskept/2 2 live later']);
      await back.client.endAsync();
      const fresh = await connect({ clientId: `keeper-${version}`, clean: true });
      assert.equal(fresh.connack.sessionPresent, false);
    });

    await t.test('a shared subscription gives each message to one', limit, async () => {
      const members = [];
      for (let n = 0; n < 2; n += 1) members.push(await connect());
      for (const { client } of members) await client.subscribeAsync([`$share/g/jsjobs${version}`, 'jsend'], { qos: 1 });
      const publisher = await connect();
      for (let n = 0; n < 100; n += 1) await publisher.client.publishAsync(`jsjobs${version}`, String(n), { qos: 1 });
      await publisher.client.publishAsync('jsend', 'end', { qos: 1 });
      const all = [];
      for (const { inbox } of members) {
        const share = [];
        for (let m = await inbox.next(); m.topic !== 'jsend'; m = await inbox.next()) share.push(Number(m.payload));
        assert.ok(share.length >= 10, 'both have worked');
        assert.deepEqual(share, [...share].sort((a, b) => a - b));
        all.push(...share);
      }
      assert.deepEqual(all.sort((a, b) => a - b), Array.from({ length: 100 }, (_, n) => n));
    });

    for (const qos of [1, 2]) {
      await t.test(`1,000 messages at QoS ${qos} over lost connections`, { timeout: 60_000 }, async () => {
        const topic = `jswhole${version}/${qos}`;
        const again = { reconnectPeriod: 1, resubscribe: false };
        const subscriber = await connect(durable(`sub${qos}`, again));
        await subscriber.client.subscribeAsync(topic, { qos });
        const publisher = await connect(durable(`pub${qos}`, again));
        let cuts = 0;
        const cut = ({ client }) => {
          cuts += 1;
          client.stream.destroy();
        };
        const seen = [];
        const whole = (async () => {
          while (new Set(seen).size < 1000) {
            seen.push(Number((await subscriber.inbox.next()).payload));
            if (seen.length % 70 === 0) cut(subscriber);
          }
        })();
        for (let n = 0; n < 1000;) {
          const published = [];
          for (; published.length < 100; n += 1) published.push(publisher.client.publishAsync(topic, String(n), { qos }));
          // A part is under way when the connection goes. MQTT.js refuses what is published while it sends that again.
          await published[40];
          cut(publisher);
          await Promise.all(published);
        }
        await whole;
        assert.ok(cuts > 10);
        const first = [...new Set(seen)];
        const expected = Array.from({ length: 1000 }, (_, n) => n);
        if (qos === 2) assert.deepEqual(seen, expected, 'each once, in order');
        else assert.deepEqual(first, expected, 'all, first deliveries in order');
      });
    }

    if (version === 5) {
      await t.test('properties of a publish reach the subscriber', limit, async () => {
        const { client, inbox } = await connect();
        await client.subscribeAsync('jsprops', { qos: 1, properties: { subscriptionIdentifier: 7 } });
        const properties = {
          contentType: 'text/plain', responseTopic: 'answers', correlationData: Buffer.from([0, 255]),
          messageExpiryInterval: 60, payloadFormatIndicator: true, userProperties: { a: ['1', '2'], b: '3' },
        };
        await client.publishAsync('jsprops', 'all', { qos: 1, properties });
        const got = (await inbox.next()).packet.properties;
        assert.deepEqual({ ...got.userProperties }, properties.userProperties);
        assert.deepEqual(got.correlationData, properties.correlationData);
        assert.deepEqual([got.contentType, got.responseTopic, got.payloadFormatIndicator], ['text/plain', 'answers', true]);
        assert.ok([59, 60].includes(got.messageExpiryInterval));
        assert.equal(got.subscriptionIdentifier, 7);
      });

      await t.test('aliases of topics both ways, options, reasons, an assigned id', limit, async () => {
        const { client, inbox, connack } = await connect({
          clientId: '', properties: { topicAliasMaximum: 10 }, autoUseTopicAlias: true, autoAssignTopicAlias: true,
        });
        assert.ok(connack.properties.assignedClientIdentifier);
        await client.subscribeAsync(`jsalias/${layer}`, { qos: 1, nl: false, rap: true, rh: 1 });
        for (const n of ['1', '2', '3']) await client.publishAsync(`jsalias/${layer}`, n, { qos: 1, retain: true });
        assert.deepEqual(await inbox.take(3, textOf), ['1', '2', '3'].map((n) => `jsalias/${layer} 1 kept ${n}`));
        const puback = await client.publishAsync('nobody/js', 'x', { qos: 1 });
        assert.equal(puback?.reasonCode ?? 16, 16);
      });
    }
  });
}
