// The services of examples/ behind /app, in front of whatever broker the suite has.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { Gateway } from '../gateway.mjs';
import { client, connect, connected, disconnect, inTime, refusal, send, subscribe } from './client.js';

const SECRET = 'sixteen or more bytes';
const MESSAGES = 1_000;

const example = (name) => fileURLToPath(new URL(`../../../examples/${name}`, import.meta.url));

const routes = (port) => `
[app]
secret = "${SECRET}"
[[app.routes]]
match = "/app/**"
on = ["send", "subscribe"]
target = "http://127.0.0.1:${port}/"
on_error = "error-frame"
[[app.routes]]
match = "/app/rooms/{room}"
target = "http://127.0.0.1:${port}/"
[[app.hooks]]
on = ["connected", "disconnected"]
target = "http://127.0.0.1:${port}/"
`;

for (const [name, program, file] of [['Python', 'python3', 'handler.py'], ['Node', process.execPath, 'handler.mjs']]) {
  describe(`the example in ${name}`, () => {
    let service;
    let gateway;
    let directory;
    let printed = '';
    const noted = new EventTarget();

    before(async () => {
      const env = { ...process.env, STOMPGATE_APP_SECRET: SECRET };
      service = spawn(program, [example(file), '0'], { env, stdio: ['ignore', 'pipe', 'inherit'] });
      service.stdout.setEncoding('utf8').on('data', (text) => {
        printed += text;
        noted.dispatchEvent(new Event('text'));
      });
      const port = await prints(/listening on (\d+)/);
      directory = await mkdtemp(join(tmpdir(), 'stompgate-handlers-'));
      await writeFile(join(directory, 'stompgate.toml'), routes(port));
      gateway = await Gateway.start({ STOMPGATE_CONFIG: join(directory, 'stompgate.toml') });
    });

    after(async () => {
      await gateway?.stop();
      service?.kill();
      if (directory) await rm(directory, { recursive: true });
    });

    async function prints(pattern) {
      while (!pattern.test(printed)) await inTime(once(noted, 'text'), `${pattern} from the service`);
      return pattern.exec(printed)[1];
    }

    const enter = (t) => connect(t, { brokerURL: gateway.url });

    test(`sp53 in ${name}: the answer to a SEND is a message of the topic of its path`, async (t) => {
      const made = await enter(t);
      const inbox = await subscribe(made, '/topic/increment');
      await send(made, '/app/increment', '5', { 'content-type': 'application/json' });
      const message = await inbox.next();
      assert.deepEqual([message.body, message.headers.destination], ['6', '/topic/increment']);
      assert.equal(message.headers['content-type'], 'application/json');
    });

    test(`sp55 in ${name}: a thousand SENDs are answered in their order`, async (t) => {
      const made = await enter(t);
      const inbox = await subscribe(made, '/topic/increment');
      for (let i = 0; i < MESSAGES; i += 1) made.publish({ destination: '/app/increment', body: String(i) });
      const expected = Array.from({ length: MESSAGES }, (_, i) => String(i + 1));
      assert.deepEqual(await inbox.bodies(MESSAGES), expected);
    });

    test(`sp57 in ${name}: a SUBSCRIBE is answered once, to itself`, async (t) => {
      const made = await enter(t);
      const inbox = await subscribe(made, '/app/number');
      const message = await inbox.next();
      assert.deepEqual([message.body, message.headers.destination], ['42', '/app/number']);
      assert.equal(message.headers.subscription, inbox.subscription.id);
      inbox.subscription.unsubscribe();
      await send(made, '/app/increment', '1');
    });

    test(`in ${name}, a variable of the path leads to a room`, async (t) => {
      const made = await enter(t);
      const inbox = await subscribe(made, '/topic/rooms.blue');
      await send(made, '/app/rooms/blue', 'grüß dich');
      const message = await inbox.next();
      assert.deepEqual([message.body, message.headers['said-by']], ['grüß dich', 'somebody']);
    });

    test(`in ${name}, what the service does not want is an ERROR with its words`, async (t) => {
      const made = await enter(t);
      const { error } = await refusal(made, () => made.publish({ destination: '/app/increment', body: 'five' }));
      assert.deepEqual([error.headers['stompgate-error'], error.body], ['handler_refused', 'Got error: Bad input']);
    });

    test(`in ${name}, the service hears who comes and goes`, async (t) => {
      const made = client(t, { brokerURL: gateway.url });
      const { session } = (await connected(made)).headers;
      await prints(new RegExp(`^(connected) ${session}`, 'm'));
      await disconnect(made);
      await prints(new RegExp(`^(disconnected) ${session}`, 'm'));
    });
  });
}
