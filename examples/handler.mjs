// A handler for /app destinations, in Node and without a dependency.
//
//     node examples/handler.mjs 8090
//
// It answers what docs/HANDLERS.md describes:
//
//     SEND /app/increment       the number plus one, to whoever is subscribed to /topic/increment
//     SEND /app/rooms/ROOM      what was said, to /topic/rooms.ROOM, with the name of who said it
//     SUBSCRIBE /app/number     42, to that subscription alone
//     anything else             400, and why
//
// With STOMPGATE_APP_SECRET in the environment it takes only requests that are signed with it.

import { createHmac, timingSafeEqual } from 'node:crypto';
import { createServer } from 'node:http';

const SECRET = process.env.STOMPGATE_APP_SECRET ?? '';
const OLDEST_SECONDS = 300;

// What was answered already, by idempotency key: an attempt may come again when its answer was lost on the way.
const ANSWERED_MAX = 10_000;
const answered = new Map();

/** Returns a status, headers and a body. */
function answer(headers, body) {
  const told = (name) => decodeURIComponent(headers[`stompgate-${name}`] ?? '');
  const [event, path, room] = [told('event'), told('path'), told('var-room')];
  if (event === 'send' && path === '/increment') {
    const number = Number(body);
    if (!Number.isInteger(number) || body === '') return refuse('Got error: Bad input');
    return [200, { 'Content-Type': 'application/json' }, JSON.stringify(number + 1)];
  }
  if (event === 'send' && room) {
    // The same as with Stompgate-Send-To, as a list of actions: there could be others beside it.
    const type = 'application/vnd.stompgate.actions+json';
    const send = {
      action: 'send',
      destination: '/topic/rooms.{room}',
      headers: { 'said-by': told('user') || 'somebody' },
      'content-type': 'text/plain;charset=UTF-8',
      body,
    };
    return [200, { 'Content-Type': type }, JSON.stringify([send])];
  }
  if (event === 'subscribe' && path === '/number') return [200, { 'Content-Type': 'application/json' }, '42'];
  if (['connected', 'disconnected', 'subscribed', 'unsubscribed'].includes(event)) {
    console.log(event, told('session'), told('destination'));
    return [204, {}, ''];
  }
  return refuse(`Nobody handles ${event} ${path}`);
}

const refuse = (why) => [400, { 'Content-Type': 'text/plain' }, why];

function isGenuine(headers, body) {
  if (!SECRET) return true;
  const timestamp = headers['stompgate-timestamp'] ?? '';
  if (!(Math.abs(Date.now() / 1000 - Number(timestamp)) <= OLDEST_SECONDS)) return false;
  const hmac = createHmac('sha256', SECRET).update(`${timestamp}.`).update(body).digest('hex');
  const [expected, given] = [`v1=${hmac}`, headers['stompgate-signature'] ?? ''].map((it) => Buffer.from(it));
  return expected.length === given.length && timingSafeEqual(expected, given);
}

const server = createServer(async (request, response) => {
  const pieces = [];
  for await (const piece of request) pieces.push(piece);
  const body = Buffer.concat(pieces);
  const key = request.headers['stompgate-delivery'];
  let known = answered.get(key);
  if (!isGenuine(request.headers, body)) {
    known = [401, { 'Content-Type': 'text/plain' }, 'The signature is wrong'];
  } else if (!known) {
    known = answer(request.headers, body.toString());
    answered.set(key, known);
    if (answered.size > ANSWERED_MAX) answered.delete(answered.keys().next().value);
  }
  const [status, headers, text] = known;
  response.writeHead(status, headers).end(text);
});

server.listen(Number(process.argv[2] ?? 8090), '127.0.0.1', () => console.log(`listening on ${server.address().port}`));
