// What deploy/haproxy.cfg does with gateways that are not ready, full or gone. Stand-ins take their place.

import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer, request } from 'node:http';
import { after, before, beforeEach, test } from 'node:test';

import { Haproxy, eventually, text } from './haproxy.mjs';

const LIMIT = { timeout: 60_000 };

/** Answers with its name, and sends back what it gets through a WebSocket. */
class StandIn {
  static async start(name) {
    const standIn = new StandIn(name);
    standIn.#server.listen(0, '127.0.0.1');
    await once(standIn.#server, 'listening');
    standIn.origin = standIn.admin = `http://127.0.0.1:${standIn.#server.address().port}`;
    return standIn;
  }

  isFull = false;
  isReady = true;
  forwarded = [];
  tunnels = 0;
  #server;

  constructor(name) {
    this.#server = createServer(({ url }, response) => {
      const refuses = url === '/ready' ? !this.isReady : this.isFull;
      response.writeHead(refuses ? 503 : 200).end(name);
    });
    this.#server.on('upgrade', ({ headers }, socket) => {
      this.tunnels += 1;
      this.forwarded.push(headers['x-forwarded-for']);
      // RFC 6455, 4.2.2: HAProxy lets no other answer pass.
      const key = `${headers['sec-websocket-key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`;
      const accept = createHash('sha1').update(key).digest('base64');
      socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n'
        + `Sec-WebSocket-Accept: ${accept}\r\n\r\n`);
      socket.pipe(socket.on('error', () => {}));
    });
  }

  stop() {
    this.#server.close();
    this.#server.closeAllConnections();
  }
}

let haproxy;
let one;
let two;

before(async () => {
  [one, two] = await Promise.all(['one', 'two'].map((name) => StandIn.start(name)));
  haproxy = await Haproxy.start([one, two]);
});

beforeEach(async () => {
  Object.assign(one, { isFull: false, isReady: true });
  await eventually('both are in use', () => haproxy.uses(1, 1));
});

after(async () => {
  await haproxy?.stop();
  one?.stop();
  two?.stop();
});

test('who is not ready gets no new clients and keeps those that it has', LIMIT, async () => {
  const tunnels = [await tunnel(), await tunnel()];
  assert.deepEqual([one.tunnels, two.tunnels], [1, 1]);
  one.isReady = false;
  await eventually('the first is out of use', () => haproxy.uses(0, 1));
  assert.deepEqual(await answers(), ['200 two']);
  for (const socket of tunnels) {
    socket.write('still here');
    assert.equal(String((await once(socket, 'data'))[0]), 'still here');
    socket.destroy();
  }
});

test('the gateway is told who the client is, and not what the client says of itself', LIMIT, async () => {
  const before = one.forwarded.length + two.forwarded.length;
  for (const headers of [{}, { 'x-forwarded-for': '203.0.113.7' }]) {
    (await tunnel(headers)).destroy();
  }
  const told = [...one.forwarded, ...two.forwarded];
  assert.equal(told.length, before + 2);
  assert.deepEqual(new Set(told), new Set(['127.0.0.1']));
});

test('who has no room is passed over', LIMIT, async () => {
  assert.deepEqual(await answers(), ['200 one', '200 two']);
  one.isFull = true;
  assert.deepEqual(await answers(), ['200 two']);
});

test('while none is ready clients are told to come back', LIMIT, async () => {
  one.isReady = two.isReady = false;
  await eventually('none is in use', () => haproxy.uses(0, 0));
  assert.equal((await fetch(haproxy.origin)).status, 503);
  two.isReady = true;
});

test('metrics are on a port of their own, which has nothing else', LIMIT, async () => {
  assert.match(await text(`${haproxy.metrics}/metrics`), /^haproxy_process_/m);
  assert.equal((await fetch(haproxy.metrics)).status, 404);
  assert.match(await text(`${haproxy.origin}/metrics`), /^(one|two)$/);
});

/** The different answers to some requests. */
async function answers() {
  const seen = new Set();
  for (let count = 0; count < 6; count += 1) {
    const response = await fetch(haproxy.origin);
    seen.add(`${response.status} ${await response.text()}`);
  }
  return [...seen].sort();
}

async function tunnel(more = {}) {
  const headers = {
    ...more,
    connection: 'Upgrade',
    upgrade: 'websocket',
    'sec-websocket-key': randomBytes(16).toString('base64'),
    'sec-websocket-version': '13',
  };
  const [, socket] = await once(request(haproxy.origin, { headers }).end(), 'upgrade');
  return socket;
}
