// Connections of stomp.js: versions, sub-protocols, heart-beats, refusals, reconnects.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { client, confirmed, connect, connected, disconnect, inTime, refusal, send, subscribe, unique, Versions } from './client.js';

for (const [version, protocol] of [['1.0', 'v10.stomp'], ['1.1', 'v11.stomp'], ['1.2', 'v12.stomp']]) {
  test(`version ${version} is negotiated, as sub-protocol and in CONNECTED`, async (t) => {
    const made = await connect(t, { stompVersions: new Versions([version]) });
    assert.equal(made.connectedVersion, version);
    assert.equal(made.webSocket.protocol, protocol);
    const topic = unique('topic');
    const inbox = await subscribe(made, topic);
    await send(made, topic, 'hello');
    assert.deepEqual(await inbox.bodies(1), ['hello']);
  });
}

test('the highest common version is taken', async (t) => {
  const made = await connect(t);
  assert.equal(made.connectedVersion, '1.2');
  assert.equal(made.webSocket.protocol, 'v12.stomp');
});

test('CONNECTED names the server and the session, and no two sessions are the same', async (t) => {
  const [one, two] = await Promise.all([connected(client(t)), connected(client(t))]);
  assert.match(one.headers.server, /\S/);
  assert.notEqual(one.headers.session, two.headers.session);
});

test('heart-beats go both ways and keep the connection', async (t) => {
  const beats = { heard: 0, sent: 0 };
  let enough;
  const both = new Promise((resolve) => { enough = resolve; });
  const count = (which) => {
    beats[which] += 1;
    if (beats.heard >= 3 && beats.sent >= 3) enough();
  };
  const made = client(t, {
    heartbeatIncoming: 1000,
    heartbeatOutgoing: 1000,
    onHeartbeatReceived: () => count('heard'),
    debug: (text) => text === '>>> PING' && count('sent'),
  });
  const frame = await connected(made);
  assert.match(frame.headers['heart-beat'], /^[1-9]\d*,[1-9]\d*$/);
  let lost = false;
  made.onHeartbeatLost = () => { lost = true; };
  // With the heart-beats of another gateway than ours, which may be ten times as far apart.
  await inTime(both, 'three heart-beats each way', 45_000);
  assert.equal(lost, false);
  assert.equal(made.connected, true);
});

test('DISCONNECT is confirmed with the receipt that it asks for', async (t) => {
  const made = await connect(t, { disconnectHeaders: { receipt: 'bye' } });
  const answer = new Promise((resolve) => { made.onDisconnect = resolve; });
  await disconnect(made);
  assert.equal((await inTime(answer, 'RECEIPT')).headers['receipt-id'], 'bye');
});

for (const [what, act] of [
  ['SEND', (made, headers) => made.publish({ destination: '/nowhere/at-all', body: 'x', headers })],
  ['SUBSCRIBE', (made, headers) => made.subscribe('/nowhere/at-all', () => {}, headers)],
]) {
  test(`${what} to a destination that does not exist gets an ERROR with its receipt, and the end`, async (t) => {
    const made = await connect(t);
    const { error, close } = await refusal(made, () => act(made, { receipt: 'r-1' }));
    assert.equal(error.headers['receipt-id'], 'r-1');
    assert.match(error.headers.message, /\S/);
    assert.equal(close.code, 1002);
  });
}

test('a frame over the limit gets an ERROR that names the limit, and close code 1009', async (t) => {
  const made = await connect(t);
  const { error, close } = await refusal(made, () => made.publish({ destination: unique('topic'), body: 'x'.repeat(80_000) }));
  assert.match(error.body, /stomp\.frame_bytes_max/);
  assert.equal(close.code, 1009);
});

test('a client that lost its connection comes back, subscribes again and receives', async (t) => {
  const topic = unique('topic');
  const received = [];
  let arrived;
  const made = client(t, { reconnectDelay: 20 });
  let connects = 0;
  const back = new Promise((resolve) => {
    made.onConnect = () => {
      connects += 1;
      made.subscribe(topic, ({ body }) => { received.push(body); arrived?.(); });
      if (connects === 1) made.webSocket.terminate();
      else resolve();
    };
  });
  made.activate();
  await inTime(back, 'second CONNECTED');
  const message = new Promise((resolve) => { arrived = resolve; });
  await confirmed(made, (receipt) => made.publish({ destination: topic, body: 'after', headers: receipt }));
  await inTime(message, 'MESSAGE');
  assert.deepEqual(received, ['after']);
});
