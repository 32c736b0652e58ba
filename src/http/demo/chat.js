// The chat without its looks: one STOMP connection, the rooms, and what waits to be sent. No DOM.
//
// A message that was typed is kept until the server has confirmed it (RECEIPT, or its own echo), and sent again after a
// reconnect. It may therefore be published twice; everybody who reads recognises it by its id and shows it once.

import './stomp.js';

import { destinationOf, randomId, read, roomName } from './message.js';

const { Client, ReconnectionTimeMode } = globalThis.StompJs;

const RECONNECT_FIRST_MS = 500;
const RECONNECT_MAX_MS = 15_000;
const CONNECT_WAIT_MS = 10_000;
const SEEN_IDS_MAX = 1000;
/** An ERROR need not say which frame it is about. A message that was under way this often when one came is given up. */
const SEND_TRIES_MAX = 3;

const WHY_CLOSED = new Map([
  [1000, 'The server ended the connection.'],
  [1001, 'The server is going away.'],
  [1002, 'The server refused something that this page sent.'],
  [1006, 'The server cannot be reached.'],
  [1009, 'A message was too large for the server.'],
  [1012, 'The server is being restarted.'],
  [1013, 'The server is busy.'],
  [4500, 'This device could not keep up with the messages.'],
]);

/**
 * `view` is told of everything that changes: `connectionChanged()`, `refused(title, detail)`, `roomChanged(room)`,
 * `entryAdded(room, entry)`, `entryChanged(room, entry)`, `saved()`.
 */
export class Chat {
  /** `{ state: 'connecting' | 'online' | 'offline', why, retryAt }` */
  connection = { state: 'connecting', why: '', retryAt: 0 };
  /** Rooms by destination, in the order in which they were joined. */
  rooms = new Map();
  name = '';

  #view;
  #client;
  #by;
  #failures = 0;
  #lastError = '';
  /** What to do about the answer to a frame, by receipt id. Ends with the connection. */
  #awaited = new Map();
  /** Messages that are not confirmed, oldest first. */
  #outbox = [];

  /** `connection` is what stomp.js has to know of it: `brokerURL` or `webSocketFactory`. */
  constructor(connection, view, by = randomId()) {
    this.#view = view;
    this.#by = by;
    // All pages lost their server at the same moment; they should not come back at the same moment.
    const reconnectDelay = RECONNECT_FIRST_MS * (1 + Math.random());
    this.#client = new Client({
      ...connection,
      connectionTimeout: CONNECT_WAIT_MS,
      heartbeatIncoming: 10_000,
      heartbeatOutgoing: 10_000,
      reconnectDelay,
      maxReconnectDelay: RECONNECT_MAX_MS,
      reconnectTimeMode: ReconnectionTimeMode.EXPONENTIAL,
      discardWebsocketOnCommFailure: true,
      onConnect: () => this.#connected(),
      onStompError: (frame) => this.#refused(frame),
      onWebSocketClose: (event) => this.#closed(event, reconnectDelay),
    });
  }

  get by() {
    return this.#by;
  }

  /** What has to survive a reload of the page. */
  get unsent() {
    return this.#outbox.map(({ room, entry }) => ({ room: room.name, text: entry.text, id: entry.id, at: entry.at }));
  }

  start() {
    this.#client.activate();
  }

  async tryNow() {
    if (this.connection.state === 'online') return;
    await this.#client.deactivate({ force: true });
    this.#failures = 0;
    this.#setConnection('connecting', '');
    this.#client.activate();
  }

  /** The room of that name, which is joined if it is not yet; null if no room can have it. */
  join(typed) {
    const name = roomName(typed);
    const destination = destinationOf(name);
    if (!destination) return null;
    const known = this.rooms.get(destination);
    if (known) return known;
    const room = { name, destination, state: 'joining', reason: '', announced: false, seen: new Set(), subscription: null };
    this.rooms.set(destination, room);
    this.#view.roomChanged(room);
    this.#subscribe(room);
    this.#view.saved();
    return room;
  }

  /** Tries again to join a room that was refused. */
  knock(room) {
    if (room.state === 'refused') this.#subscribe(room);
  }

  leave(room) {
    this.#announce(room, 'leave');
    if (this.#client.connected) room.subscription?.unsubscribe();
    this.#outbox = this.#outbox.filter((it) => it.room !== room);
    this.rooms.delete(room.destination);
    this.#view.saved();
  }

  /** Leaves a word for the others when the page goes. */
  farewell() {
    for (const room of this.rooms.values()) this.#announce(room, 'leave');
  }

  say(room, text) {
    this.#say(room, this.#compose('say', text));
  }

  /** Takes up what `unsent` held before a reload. */
  resume(room, { id, text, at }) {
    this.#say(room, { ...this.#compose('say', text), id, at });
  }

  retry(room, entry) {
    this.knock(room);
    this.#outbox.push({ room, entry, tries: 0 });
    this.#setEntry(room, entry, 'waiting');
    this.#transmit(this.#outbox.at(-1));
    this.#view.saved();
  }

  #compose(kind, text) {
    return { kind, id: randomId(), by: this.#by, name: this.name, text, at: Date.now() };
  }

  #say(room, composed) {
    const entry = { ...composed, mine: true, state: 'waiting', reason: '' };
    const sending = { room, entry, tries: 0 };
    this.#remember(room, entry.id);
    this.#outbox.push(sending);
    this.#view.entryAdded(room, entry);
    this.#view.saved();
    this.#transmit(sending);
  }

  #transmit(sending) {
    const { room, entry } = sending;
    if (!this.#client.connected) return;
    sending.tries += 1;
    const receipt = this.#await({
      done: () => this.#confirmed(entry.id),
      refused: (reason) => this.#giveUp(sending, reason),
    });
    this.#publish(room, entry, { receipt });
  }

  #publish(room, { kind, id, by, name, text, at }, headers) {
    const body = JSON.stringify({ kind, id, by, name, text, at });
    this.#client.publish({ destination: room.destination, body, headers: { 'content-type': 'application/json', ...headers } });
  }

  #announce(room, kind) {
    if (!this.#client.connected || room.announced === (kind === 'join')) return;
    room.announced = kind === 'join';
    const note = this.#compose(kind, '');
    this.#remember(room, note.id);
    this.#publish(room, note, {});
  }

  #subscribe(room) {
    room.state = 'joining';
    if (this.#client.connected) {
      const receipt = this.#await({
        done: () => this.#joined(room),
        refused: (reason) => this.#turnedAway(room, reason),
      });
      room.subscription = this.#client.subscribe(room.destination, (message) => this.#received(room, message), { receipt });
    }
    this.#view.roomChanged(room);
  }

  #joined(room) {
    room.state = 'joined';
    this.#view.roomChanged(room);
    this.#announce(room, 'join');
  }

  #turnedAway(room, reason) {
    room.state = 'refused';
    room.reason = reason;
    for (const sending of this.#outbox.filter((it) => it.room === room)) this.#giveUp(sending, reason);
    this.#view.roomChanged(room);
  }

  #received(room, message) {
    const entry = read(message.body, Date.now());
    if (entry.by === this.#by) this.#confirmed(entry.id);
    if (room.seen.has(entry.id)) return;
    this.#remember(room, entry.id);
    this.#view.entryAdded(room, { ...entry, mine: entry.by === this.#by, state: 'sent', reason: '' });
  }

  #remember(room, id) {
    room.seen.add(id);
    // A Set yields its members in the order in which they came.
    if (room.seen.size > SEEN_IDS_MAX) room.seen.delete(room.seen.values().next().value);
  }

  #confirmed(id) {
    const sending = this.#takeFromOutbox((it) => it.entry.id === id);
    if (sending) this.#setEntry(sending.room, sending.entry, 'sent');
  }

  #giveUp(sending, reason) {
    if (this.#takeFromOutbox((it) => it === sending)) this.#setEntry(sending.room, sending.entry, 'failed', reason);
  }

  #takeFromOutbox(isIt) {
    const at = this.#outbox.findIndex(isIt);
    if (at < 0) return null;
    const [sending] = this.#outbox.splice(at, 1);
    this.#view.saved();
    return sending;
  }

  #setEntry(room, entry, state, reason = '') {
    Object.assign(entry, { state, reason });
    this.#view.entryChanged(room, entry);
  }

  /** A receipt id under which the answer will be looked for. */
  #await(answer) {
    const id = `r-${randomId()}`;
    this.#awaited.set(id, answer);
    this.#client.watchForReceipt(id, () => {
      this.#awaited.delete(id);
      answer.done();
    });
    return id;
  }

  #connected() {
    this.#failures = 0;
    this.#lastError = '';
    this.#setConnection('online', '');
    for (const room of this.rooms.values()) {
      if (room.state !== 'refused') this.#subscribe(room);
    }
    for (const sending of this.#outbox) this.#transmit(sending);
  }

  #refused(frame) {
    const title = frame.headers.message ?? 'The server refused something';
    const detail = frame.body.trim();
    const reason = detail || title;
    this.#lastError = title;
    const culprit = this.#awaited.get(frame.headers['receipt-id']);
    if (culprit) {
      culprit.refused(reason);
    } else {
      for (const sending of this.#outbox.filter((it) => it.tries >= SEND_TRIES_MAX)) this.#giveUp(sending, reason);
    }
    this.#view.refused(title, detail === title ? '' : detail);
  }

  #closed(event, firstDelay) {
    this.#awaited.clear();
    const delay = Math.min(firstDelay * 2 ** this.#failures, RECONNECT_MAX_MS);
    this.#failures += 1;
    const byCode = event.reason || WHY_CLOSED.get(event.code) || `The connection was closed (${event.code}).`;
    const why = navigator.onLine ? this.#lastError || byCode : 'This device has no network.';
    this.#setConnection('offline', /[.!?]$/.test(why) ? why : `${why}.`, Date.now() + delay);
    for (const room of this.rooms.values()) {
      if (room.state === 'joined') {
        room.state = 'joining';
        this.#view.roomChanged(room);
      }
    }
  }

  #setConnection(state, why, retryAt = 0) {
    this.connection = { state, why, retryAt };
    this.#view.connectionChanged();
  }
}
