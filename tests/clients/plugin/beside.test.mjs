// The same dialogues with RabbitMQ's Web STOMP plugin and with stompgate in front of that broker, as README.md configures it
// in the plugin's place: a client must not be able to tell one from the other, but for the differences named below.
//
// STOMPGATE_TEST_URL        the gateway
// STOMPGATE_TEST_WEB_STOMP  the plugin

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createRequire } from 'node:module';
import { before, test } from 'node:test';

const { WebSocket } = createRequire(new URL('../node/', import.meta.url))('ws');

const SERVERS = { plugin: process.env.STOMPGATE_TEST_WEB_STOMP, gateway: process.env.STOMPGATE_TEST_URL };
const ANSWER_MS = 10_000;
const run = `${process.pid}-${Date.now().toString(36)}`;

/** What docs/protocol/rabbitmq.md marks as a deviation, and what is random anyway. */
const NOT_COMPARED = new Set(['content-length', 'heart-beat', 'receipt', 'server', 'session', 'stompgate-error',
  'transaction', 'user-name']);
const RANDOM = new Set(['ack', 'message-id']);

function frame(text) {
  const [head, body] = text.split(/\n\n(.*)/s);
  const [command, ...lines] = head.split('\n');
  const headers = Object.fromEntries(lines.map((it) => it.split(/:(.*)/s).slice(0, 2)));
  return { command, headers, body: body.slice(0, body.indexOf('\0')) };
}

function comparable({ command, headers, body }) {
  // RC9: an ERROR of stompgate names the receipt of its frame.
  const isCompared = (name) => !NOT_COMPARED.has(name) && !(command === 'ERROR' && name === 'receipt-id');
  const shown = Object.keys(headers).filter(isCompared).sort().map((name) => {
    const value = RANDOM.has(name) ? '*' : headers[name].replace(/amq\.gen-[\w-]+/, 'amq.gen-*');
    return `${name}:${value}`;
  });
  return { frame: [command, ...shown].join('\n'), body: body.trimEnd() };
}

class Client {
  static async connect(url) {
    const socket = new WebSocket(url, ['v12.stomp']);
    await once(socket, 'open');
    return new Client(socket);
  }

  frames = [];
  closed = false;
  #changed = () => {};

  constructor(socket) {
    this.socket = socket;
    socket.on('message', (data) => {
      // Else it is a heart-beat.
      if (data.toString().trim()) this.frames.push(frame(data.toString()));
      this.#changed();
    });
    socket.on('close', () => {
      this.closed = true;
      this.#changed();
    });
  }

  send(text) {
    this.socket.send(text);
  }

  async until(condition, what) {
    let timer;
    const late = new Promise((_, reject) => {
      timer = setTimeout(() => reject(new Error(`no ${what}; received ${JSON.stringify(this.frames)}`)), ANSWER_MS);
    });
    try {
      while (!condition()) await Promise.race([new Promise((resolve) => { this.#changed = resolve; }), late]);
    } finally {
      clearTimeout(timer);
    }
  }
}

/** A part of names that no other dialogue has. */
let dialogues = 0;
const ownName = () => `${run}-${(dialogues += 1)}`;

/** A frame in one line, headers separated by blanks, the body after a bar. `~` is the dialogue's own name. */
function written(line, own) {
  const [head, body = ''] = line.split(' | ');
  return `${head.split(' ').join('\n')}\n\n${body}\0`.replaceAll('~', own);
}

const CONNECT = 'CONNECT accept-version:1.2 host:/ login:guest passcode:guest';

/** Each step is a frame and how many it is answered with; a function makes the frame of what was received. */
async function dialogue(server, steps) {
  const [client, own] = [await Client.connect(SERVERS[server]), ownName()];
  const answers = [];
  for (const [step, count] of steps) {
    const seen = client.frames.length;
    client.send(written(typeof step === 'function' ? step(client.frames) : step, own));
    await client.until(() => client.frames.length >= seen + count || client.closed, `answer to ${step}`);
    // RECEIPT and MESSAGE of one SEND come in either order.
    answers.push(client.frames.slice(seen).map(comparable).sort((a, b) => a.frame.localeCompare(b.frame)));
  }
  client.socket.terminate();
  return JSON.parse(JSON.stringify(answers).replaceAll(own, '~'));
}

/** What the gateway adds to a body is the remedy. */
function compare(plugin, gateway) {
  assert.deepEqual(gateway.map((step) => step.map((it) => it.frame)), plugin.map((step) => step.map((it) => it.frame)));
  plugin.flat().forEach(({ frame: head, body }, i) => {
    const own = gateway.flat()[i].body;
    if (head.startsWith('ERROR')) assert.ok(own.startsWith(body), `${JSON.stringify(own)} begins with ${JSON.stringify(body)}`);
    else assert.equal(own, body);
  });
}

function same(name, ...steps) {
  test(name, async () => {
    const plugin = await dialogue('plugin', steps);
    assert.ok(plugin.flat().length > 0, 'the plugin answers');
    compare(plugin, await dialogue('gateway', steps));
  });
}

const last = (frames, command) => frames.findLast((it) => it.command === command);

before(() => {
  for (const [name, url] of Object.entries(SERVERS)) assert.ok(url, `the URL of the ${name} is set; see run.sh`);
});

same('e1 e2 a client that has not connected', ['SEND destination:/queue/~', 1], ['CONNECT accept-version:9.9 host:/', 1]);
same('e3 c8 a wrong passcode, and then the right one', [CONNECT.replace(/guest$/, 'x'), 1], [CONNECT, 1]);
same('e4 a virtual host that is not there', [CONNECT.replace('host:/', 'host:none-~'), 1]);
same('p1 p2 rc1 a topic and its properties', [CONNECT, 1],
  ['SUBSCRIBE id:0 destination:/topic/~.* receipt:s', 1],
  ['SEND destination:/topic/~.b a:b content-type:text/plain priority:3 persistent:true correlation-id:c type:t expiration:60000 app-id:i receipt:p | hello', 2],
  ['UNSUBSCRIBE id:0 receipt:u', 1]);
same('a1 a4 rc6 a queue with acknowledgements', [CONNECT, 1],
  ['SUBSCRIBE id:q destination:/queue/~ ack:client receipt:s', 1],
  ['SEND destination:/queue/~ receipt:1 | one', 2], ['SEND destination:/queue/~ receipt:2 | two', 2],
  [(frames) => `ACK id:${last(frames, 'MESSAGE').headers.ack} receipt:a`, 1],
  ['SEND destination:/queue/~ receipt:3 | three', 2],
  [(frames) => `NACK id:${last(frames, 'MESSAGE').headers.ack} receipt:n`, 2]);
same('e17 e18 acknowledgements of nothing', [CONNECT, 1], ['ACK id:none', 1], ['NACK', 1], ['SEND destination:/queue/~ receipt:r', 1]);
same('d1 e10 to e15 what can not be sent', [CONNECT, 1], ['SEND', 1], ['SEND destination:', 1], ['SEND destination:/bogus/x', 1],
  ['SEND destination:/queue', 1], ['SEND destination:/queue/', 1], ['SEND destination:/topic/a/b', 1],
  ['SEND destination:/exchange//k', 1], ['SEND destination:/exchange/a/b/c', 1], ['SEND destination:/amq/queue/', 1],
  ['SEND destination:/temp-queue/x', 1], ['SEND destination:/queue/x message-id:1', 1]);
same('e8 e16 e24 e25 what can not be subscribed to', [CONNECT, 1], ['SUBSCRIBE id:1', 1], ['SUBSCRIBE id:1 destination:/topic/x ack:bogus', 1],
  ['SUBSCRIBE destination:/topic/x durable:true', 1], ['UNSUBSCRIBE', 1], ['UNSUBSCRIBE id:none', 1], ['UNSUBSCRIBE destination:/topic/none', 1]);
same('t3 t6 t7 e29 e30 transactions', [CONNECT, 1], ['BEGIN', 1], ['COMMIT transaction:none', 1], ['BEGIN transaction:t receipt:b', 1],
  ['SUBSCRIBE id:q destination:/queue/~ receipt:s', 1],
  ['SEND destination:/queue/~ transaction:t | kept', 0], ['COMMIT transaction:t receipt:c', 2], ['ABORT transaction:t', 1]);
same('d13 d14 d31 exchanges', [CONNECT, 1], ['SUBSCRIBE id:1 destination:/exchange/amq.direct/~ receipt:1', 1],
  ['SEND destination:/exchange/amq.direct/~ x-own:1 | direct', 1], ['SUBSCRIBE id:2 destination:/exchange/amq.fanout receipt:2', 1],
  ['SEND destination:/exchange/amq.fanout | fanned out', 1], ['SUBSCRIBE id:3 destination:/exchange/amq.topic/~.# receipt:3', 1],
  ['SEND destination:/topic/~.a%2Fb | by topic', 1]);
same('a3 d48 u1 subscriptions without an id', [CONNECT, 1], ['SUBSCRIBE destination:/topic/~ receipt:1', 1],
  ['SEND destination:/topic/~ | x', 1], ['UNSUBSCRIBE destination:/topic/~ receipt:2', 1]);
same('d16 d30 replies', [CONNECT, 1], ['SUBSCRIBE id:1 destination:/queue/~ receipt:1', 1],
  ['SEND destination:/queue/~ reply-to:/temp-queue/foo | question', 1],
  [(frames) => `SEND destination:${last(frames, 'MESSAGE').headers['reply-to']} | answer`, 1]);
same('d12 d20 u3 a durable topic', [CONNECT, 1], ['SUBSCRIBE id:~ destination:/topic/~ durable:true auto-delete:false ack:client receipt:1', 1],
  ['SEND destination:/topic/~ | kept', 1], ['UNSUBSCRIBE id:~ durable:true receipt:2', 1]);

/** B1: the ERROR before the close is lost with RabbitMQ 3.10. */
function ends(name, ...steps) {
  test(name, async () => {
    for (const server of Object.keys(SERVERS)) {
      const [client, own] = [await Client.connect(SERVERS[server]), ownName()];
      for (const [step, count] of steps) {
        const seen = client.frames.length;
        client.send(written(step, own));
        await client.until(() => client.frames.length >= seen + count || client.closed, `answer to ${step}`);
      }
      await client.until(() => client.closed, `close by the ${server}`);
    }
  });
}

ends('e22 one id twice', [CONNECT, 1], ['SUBSCRIBE id:1 destination:/topic/x receipt:1', 1], ['SUBSCRIBE id:1 destination:/topic/y', 0]);
ends('e32 an exchange that is not there', [CONNECT, 1], ['SUBSCRIBE id:1 destination:/exchange/none-~/k', 0]);
ends('e32 a SEND to an exchange that is not there', [CONNECT, 1], ['SEND destination:/exchange/none-~/k receipt:1', 0]);
ends('e32 a queue that is not there', [CONNECT, 1], ['SUBSCRIBE id:1 destination:/amq/queue/none-~', 0]);
ends('e32 a queue of a name that is RabbitMQ\'s own', [CONNECT, 1], ['SUBSCRIBE id:1 destination:/queue/amq.~', 0]);
