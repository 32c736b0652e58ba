// What stomp.js sends arrives as it was sent: texts, bytes, headers, sizes, order.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { confirmed, connect, send, subscribe, unique } from './client.js';

const UTF8 = 'Grüße, 世界 😀\nline two\r\nline: three\\ \u0001 "quoted"';
const NEAR_LIMIT = '€'.repeat(20_000);
const ALL_BYTES = Uint8Array.from({ length: 512 }, (_, at) => at % 256);

async function echo(t, options, publish) {
  const made = await connect(t, options);
  const topic = unique('topic');
  const inbox = await subscribe(made, topic);
  await confirmed(made, (headers) => made.publish({ destination: topic, headers, ...publish }));
  return inbox.next();
}

for (const [how, options] of [
  ['in text frames', {}],
  ['in binary frames', { forceBinaryWSFrames: true }],
  ['in pieces', { splitLargeFrames: true, maxWebSocketChunkSize: 7 }],
]) {
  test(`UTF-8 arrives unchanged ${how}`, async (t) => {
    assert.equal((await echo(t, options, { body: UTF8 })).body, UTF8);
  });
}

for (const [how, options] of [
  ['whole', {}],
  ['in binary frames', { forceBinaryWSFrames: true }],
  ['in pieces', { splitLargeFrames: true, maxWebSocketChunkSize: 4096 }],
]) {
  test(`a body of nearly 64 KiB passes ${how}`, async (t) => {
    assert.equal((await echo(t, options, { body: NEAR_LIMIT })).body, NEAR_LIMIT);
  });
}

test('a binary body keeps every byte, NUL and invalid UTF-8 included', async (t) => {
  const message = await echo(t, {}, { binaryBody: ALL_BYTES });
  assert.deepEqual(message.binaryBody, ALL_BYTES);
  assert.equal(message.headers['content-length'], '512');
});

test('a text body may contain NUL', async (t) => {
  assert.equal((await echo(t, {}, { body: 'before\0after' })).body, 'before\0after');
});

test('an empty body arrives as an empty body', async (t) => {
  assert.equal((await echo(t, {}, { body: '' })).body, '');
});

test('headers of the sender arrive, with what has to be escaped', async (t) => {
  // No letter behind the backslash: stomp.js takes an escaped backslash and a `c` for an escaped colon.
  const value = 'a:b\\ c\nd\re';
  const made = await connect(t);
  const topic = unique('topic');
  const inbox = await subscribe(made, topic);
  await send(made, topic, '{}', { 'content-type': 'application/json', 'x-own': value });
  const { headers } = await inbox.next();
  assert.equal(headers['content-type'], 'application/json');
  assert.equal(headers['x-own'], value);
  assert.equal(headers.destination, topic);
  assert.equal(headers.subscription, inbox.subscription.id);
  assert.match(headers['message-id'], /\S/);
});

test('a thousand messages that are sent without waiting arrive in order', async (t) => {
  const made = await connect(t);
  const topic = unique('topic');
  const inbox = await subscribe(made, topic);
  const sent = Array.from({ length: 1000 }, (_, at) => `${at}`);
  for (const body of sent) made.publish({ destination: topic, body });
  assert.deepEqual(await inbox.bodies(1000), sent);
});

test('a wildcard of one word and one of many words match as they should', async (t) => {
  const made = await connect(t);
  const base = unique('topic');
  const one = await subscribe(made, `${base}.*`);
  const many = await subscribe(made, `${base}.#`);
  for (const name of ['.a.b', '.a', '']) await send(made, `${base}${name}`, name);
  await send(made, `${base}.end`, 'end');
  assert.deepEqual(await one.bodies(2), ['.a', 'end']);
  assert.deepEqual(await many.bodies(4), ['.a.b', '.a', '', 'end']);
});

test('a topic reaches each of its subscribers, a queue one of them', async (t) => {
  const [one, two] = await Promise.all([connect(t), connect(t)]);
  const topic = unique('topic');
  const listening = await Promise.all([subscribe(one, topic), subscribe(two, topic)]);
  await send(one, topic, 'for all');
  for (const inbox of listening) assert.deepEqual(await inbox.bodies(1), ['for all']);

  const queue = unique('queue');
  const bodies = [];
  let all;
  const arrived = new Promise((resolve) => { all = resolve; });
  for (const made of [one, two]) {
    await confirmed(made, (headers) => made.subscribe(queue, ({ body }) => {
      bodies.push(body);
      if (bodies.length === 10) all();
    }, headers));
  }
  const sent = Array.from({ length: 10 }, (_, at) => `${at}`);
  for (const body of sent) await send(one, queue, body);
  await arrived;
  assert.deepEqual(bodies.toSorted(), sent);
});

test('after the RECEIPT of UNSUBSCRIBE nothing more comes', async (t) => {
  const made = await connect(t);
  const topic = unique('topic');
  const ended = await subscribe(made, topic);
  const kept = await subscribe(made, topic);
  const id = ended.subscription.id;
  await confirmed(made, (headers) => ended.subscription.unsubscribe(headers));
  const strays = [];
  made.onUnhandledMessage = (message) => strays.push(message.headers.subscription);
  await send(made, topic, 'after');
  assert.deepEqual(await kept.bodies(1), ['after']);
  assert.equal(strays.includes(id), false);
});
