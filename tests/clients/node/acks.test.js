// Acknowledgements and transactions of stomp.js.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { confirmed, connect, disconnect, send, subscribe, unique } from './client.js';

/** A queue with `1`, `2`, `3` in it, and a consumer that has all three unacknowledged. */
async function threeUnacked(t, ack, options = {}) {
  const made = await connect(t, options);
  const queue = unique('queue');
  const inbox = await subscribe(made, queue, { ack });
  for (const body of ['1', '2', '3']) await send(made, queue, body);
  return { made, queue, messages: [await inbox.next(), await inbox.next(), await inbox.next()] };
}

/** What the queue gives to a new consumer, up to a message that is sent to it last. */
async function leftIn(t, queue) {
  const made = await connect(t);
  const inbox = await subscribe(made, queue);
  await send(made, queue, 'last');
  const left = [];
  for (;;) {
    const { body, headers } = await inbox.next();
    if (body === 'last') return left;
    assert.equal(headers.redelivered, 'true');
    left.push(body);
  }
}

for (const [mode, left] of [['client', ['3']], ['client-individual', ['1', '3']]]) {
  test(`ack of the second of three in mode ${mode} leaves ${left}`, async (t) => {
    const { made, queue, messages } = await threeUnacked(t, mode);
    await confirmed(made, (headers) => messages[1].ack(headers));
    await disconnect(made);
    assert.deepEqual(await leftIn(t, queue), left);
  });
}

test('mode auto leaves nothing', async (t) => {
  const { made, queue } = await threeUnacked(t, 'auto');
  await disconnect(made);
  assert.deepEqual(await leftIn(t, queue), []);
});

test('a connection that breaks gives its messages back', async (t) => {
  const { made, queue } = await threeUnacked(t, 'client-individual');
  made.webSocket.terminate();
  const consumer = await connect(t);
  const inbox = await subscribe(consumer, queue, { ack: 'client-individual' });
  assert.deepEqual((await inbox.bodies(3)).toSorted(), ['1', '2', '3']);
});

test('a message that is refused with NACK comes again and says so', async (t) => {
  const made = await connect(t);
  const queue = unique('queue');
  const inbox = await subscribe(made, queue, { ack: 'client-individual' });
  await send(made, queue, 'again');
  const first = await inbox.next();
  assert.notEqual(first.headers.redelivered, 'true');
  await confirmed(made, (headers) => first.nack(headers));
  const second = await inbox.next();
  assert.equal(second.body, 'again');
  assert.equal(second.headers.redelivered, 'true');
  await confirmed(made, (headers) => second.ack(headers));
  await disconnect(made);
  assert.deepEqual(await leftIn(t, queue), []);
});

test('what is sent in a transaction arrives at its commit and not before', async (t) => {
  const made = await connect(t);
  const topic = unique('topic');
  const inbox = await subscribe(made, topic);
  const transaction = made.begin();
  for (const body of ['1', '2']) made.publish({ destination: topic, body, headers: { transaction: transaction.id } });
  await send(made, topic, 'outside');
  assert.deepEqual(await inbox.bodies(1), ['outside']);
  transaction.commit();
  assert.deepEqual(await inbox.bodies(2), ['1', '2']);
});

test('what is sent in an aborted transaction never arrives', async (t) => {
  const made = await connect(t);
  const topic = unique('topic');
  const inbox = await subscribe(made, topic);
  const transaction = made.begin();
  made.publish({ destination: topic, body: 'never', headers: { transaction: transaction.id } });
  transaction.abort();
  await send(made, topic, 'outside');
  assert.deepEqual(await inbox.bodies(1), ['outside']);
});

for (const [how, left] of [['commit', []], ['abort', ['1', '2', '3']]]) {
  test(`acks in a transaction count after ${how} only if it is a commit`, async (t) => {
    const { made, queue, messages } = await threeUnacked(t, 'client-individual');
    const transaction = made.begin();
    for (const message of messages) message.ack({ transaction: transaction.id });
    transaction[how]();
    // Frames take effect in order, so this is answered when the transaction has ended.
    await send(made, unique('topic'), 'fence');
    await disconnect(made);
    assert.deepEqual(await leftIn(t, queue), left);
  });
}
