// What the suites of stomp.js share: clients that end with their test, and waiting for what a server sends.

import { once } from 'node:events';
import { setTimeout as after } from 'node:timers/promises';

import { Client, ReconnectionTimeMode, Versions } from '@stomp/stompjs';
import { WebSocket } from 'ws';

// stomp.js takes the browser's WebSocket, which Node has from release 22 on only.
Object.assign(globalThis, { WebSocket });

const ANSWER_MS = 10_000;

export const URL = process.env.STOMPGATE_TEST_URL;
if (!URL) throw new Error('STOMPGATE_TEST_URL is not set; see run.sh');

export { Versions };

/** A destination that no other test and no earlier run has used: queues outlive their test. */
export function unique(kind) {
  return `/${kind}/node-${process.pid}-${Date.now().toString(36)}-${(unique.count = (unique.count ?? 0) + 1)}`;
}

/** The promise, or an error that says what did not come. */
export async function inTime(promise, what, ms = ANSWER_MS) {
  const timer = new AbortController();
  const late = after(ms, null, { signal: timer.signal }).then(
    () => { throw new Error(`no ${what} within ${ms} ms`); },
    // The promise was faster, and what it says counts.
    () => promise,
  );
  try {
    return await Promise.race([promise, late]);
  } finally {
    timer.abort();
  }
}

/** A client that is made but not connected. `t` ends it. */
export function client(t, options = {}) {
  const made = new Client({ brokerURL: URL, reconnectDelay: 0, heartbeatIncoming: 0, heartbeatOutgoing: 0, ...options });
  t.after(() => made.deactivate({ force: true }));
  return made;
}

export async function connect(t, options = {}) {
  const made = client(t, options);
  await connected(made);
  return made;
}

export async function connected(made) {
  const answer = new Promise((resolve, reject) => {
    made.onConnect = resolve;
    made.onStompError = (frame) => reject(new Error(`ERROR ${frame.headers.message}: ${frame.body}`));
    made.onWebSocketClose = (event) => reject(new Error(`closed with ${event.code} ${event.reason}`));
  });
  made.activate();
  const frame = await inTime(answer, 'CONNECTED');
  made.onStompError = (it) => console.error(`ERROR ${it.headers.message}: ${it.body}`);
  made.onWebSocketClose = () => {};
  return frame;
}

/** Hands `act` headers with a receipt and waits for the RECEIPT. */
export async function confirmed(made, act) {
  const receipt = `receipt-${(confirmed.count = (confirmed.count ?? 0) + 1)}`;
  const answer = new Promise((resolve) => made.watchForReceipt(receipt, resolve));
  act({ receipt });
  const frame = await inTime(answer, `RECEIPT ${receipt}`);
  return frame.headers['receipt-id'];
}

export const send = (made, destination, body, headers = {}) =>
  confirmed(made, (receipt) => made.publish({ destination, body, headers: { ...headers, ...receipt } }));

/** DISCONNECT, answered; what was not acknowledged is the broker's again. */
export async function disconnect(made) {
  await inTime(made.deactivate(), 'end of the connection');
}

/** A subscription that the broker has confirmed, to be read message by message. */
export async function subscribe(made, destination, headers = {}) {
  const inbox = new Inbox();
  await confirmed(made, (receipt) => {
    inbox.subscription = made.subscribe(destination, (message) => inbox.put(message), { ...headers, ...receipt });
  });
  return inbox;
}

class Inbox {
  subscription = null;
  #messages = [];
  #arrived = new EventTarget();

  put(message) {
    this.#messages.push(message);
    this.#arrived.dispatchEvent(new Event('message'));
  }

  async next() {
    while (this.#messages.length === 0) await inTime(once(this.#arrived, 'message'), 'MESSAGE');
    return this.#messages.shift();
  }

  /** The next `count` bodies. */
  async bodies(count) {
    const bodies = [];
    while (bodies.length < count) bodies.push((await this.next()).body);
    return bodies;
  }
}

/** What the server says when it refuses: its ERROR, and how it then closes. */
export async function refusal(made, act) {
  const error = new Promise((resolve) => { made.onStompError = resolve; });
  const close = new Promise((resolve) => { made.onWebSocketClose = resolve; });
  act();
  return { error: await inTime(error, 'ERROR'), close: await inTime(close, 'close') };
}

export { ReconnectionTimeMode };
