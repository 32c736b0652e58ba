// The page: who I am, which rooms there are, which one is open (the part of the address after `#`), what the connection does.

import { Chat } from './chat.js';
import { NAME_CHARS_MAX, personName, roomName } from './message.js';
import { RoomView, element, paintAvatar } from './room.js';

const STORE = 'stompgate-chat';
const TITLE = 'stompgate chat';
const STATES = { connecting: 'Connecting', online: 'Online', offline: 'Offline' };

const at = (id) => document.getElementById(id);
const views = new Map();
let open = null;

const saved = restore(sessionStorage);
const endpoint = new URL('../ws', import.meta.url);
const sockjs = new URLSearchParams(location.search).get('sockjs');

const chat = new Chat(await connection(), {
  connectionChanged: showConnection,
  refused: showRefusal,
  roomChanged(room) {
    if (!views.has(room)) addRoom(room);
    views.get(room).changed();
  },
  entryAdded(room, entry) {
    const view = views.get(room);
    view.append(entry);
    if (entry.kind === 'say' && !entry.mine && !inSight(view)) view.setUnread(view.unread + 1);
    showUnread();
  },
  entryChanged: (room, entry) => views.get(room)?.update(entry),
  saved: save,
}, saved.by);

/** How to connect: by WebSocket, or with `?sockjs` over SockJS, of which `?sockjs=xhr-streaming` names a transport. */
async function connection() {
  if (sockjs === null) {
    endpoint.protocol = endpoint.protocol.replace('http', 'ws');
    return { brokerURL: endpoint.href };
  }
  await import('./sockjs.js');
  const options = sockjs ? { transports: sockjs.split(',') } : {};
  return { webSocketFactory: () => new globalThis.SockJS(endpoint.href, null, options) };
}

function addRoom(room) {
  const view = new RoomView(room, {
    say: (text) => chat.say(room, text),
    retry: (entry) => chat.retry(room, entry),
    knock: () => chat.knock(room),
    leave: () => leaveRoom(room),
    share: (tell) => share(room, tell),
  });
  views.set(room, view);
  at('rooms').append(view.row);
  at('main').append(view.section);
  showConnection();
}

function leaveRoom(room) {
  const view = views.get(room);
  chat.leave(room);
  views.delete(room);
  view.row.remove();
  view.section.remove();
  open = null;
  location.hash = '';
  showUnread();
}

/** Through the device's own dialogue where it has one (phones), else by the clipboard. */
async function share(room, tell) {
  const url = new URL(`#${encodeURIComponent(room.name)}`, location.href).href;
  try {
    if (navigator.share) return await navigator.share({ title: `#${room.name}`, url });
    await navigator.clipboard.writeText(url);
    tell('Link copied');
  } catch {
    // Called off, or not permitted. There still is the address bar.
  }
}

/** Opens the room that the address names; without one, the list of rooms. */
function route() {
  const name = roomName(hashText());
  const room = name && chat.join(name);
  if (open) open.hide();
  open = room ? views.get(room) : null;
  document.body.dataset.view = open ? 'room' : 'list';
  at('empty').hidden = Boolean(open);
  if (open) {
    open.show();
    // On a touch screen the keyboard would cover what is to be read.
    if (matchMedia('(hover: hover)').matches) open.focus();
  }
  showUnread();
  save();
}

function hashText() {
  const raw = location.hash.slice(1);
  try {
    return decodeURIComponent(raw);
  } catch {
    return raw;
  }
}

function goTo(name) {
  const hash = `#${encodeURIComponent(name)}`;
  if (location.hash === hash) route();
  else location.hash = hash;
}

const inSight = (view) => view === open && !document.hidden;

function showUnread() {
  if (open && inSight(open)) open.setUnread(0);
  const total = [...views.values()].reduce((sum, view) => sum + view.unread, 0);
  open?.setUnreadElsewhere(total - open.unread);
  document.title = `${total ? `(${total}) ` : ''}${open ? `#${open.room.name} · ` : ''}${TITLE}`;
}

function showConnection() {
  const { state, why } = chat.connection;
  document.body.dataset.connection = state;
  for (const label of document.querySelectorAll('.connection')) label.textContent = STATES[state];
  at('offline').hidden = state !== 'offline';
  // The bar counts seconds, which nobody wants to have read out.
  at('spoken').textContent = `${STATES[state]}. ${why}`;
  countDown();
}

function countDown() {
  const { state, why, retryAt } = chat.connection;
  if (state !== 'offline') return;
  const seconds = Math.ceil((retryAt - Date.now()) / 1000);
  at('offline-why').textContent = `${why} ${seconds > 0 ? `Trying again in ${seconds} s.` : 'Trying again.'}`;
}

function showRefusal(title, detail) {
  at('refusal-title').textContent = title;
  at('refusal-detail').textContent = detail;
  at('refusal').hidden = false;
}

const dialog = at('enter');

function askName({ first }) {
  at('enter-title').textContent = first ? 'Come in' : 'Your name';
  at('enter-go').textContent = first ? 'Enter' : 'Save';
  at('enter-cancel').hidden = first;
  at('enter-room-row').hidden = !first || Boolean(hashText());
  dialog.querySelector('.lead').hidden = !first;
  at('enter-name').value = chat.name || restore(localStorage).name || '';
  dialog.showModal();
}

function setName(name) {
  chat.name = name;
  at('my-name').textContent = name;
  paintAvatar(at('my-avatar'), chat.by, name);
  keep(localStorage, { name });
  save();
}

function enter() {
  chat.start();
  for (const name of saved.rooms ?? []) chat.join(name);
  for (const unsent of saved.unsent ?? []) {
    const room = chat.join(unsent.room);
    if (room) chat.resume(room, unsent);
  }
  addEventListener('hashchange', route);
  route();
}

dialog.querySelector('form').addEventListener('submit', (event) => {
  const name = personName(at('enter-name').value);
  const first = !chat.name;
  const fault = name ? '' : 'A name needs at least one letter.';
  at('enter-fault').textContent = fault;
  if (fault) {
    event.preventDefault();
    return;
  }
  setName(name);
  if (!first) return;
  if (!hashText()) history.replaceState(null, '', `#${encodeURIComponent(roomName(at('enter-room').value) || 'lobby')}`);
  enter();
});

dialog.addEventListener('cancel', (event) => {
  // There is no chat without a name.
  if (!chat.name) event.preventDefault();
});
at('enter-cancel').addEventListener('click', () => dialog.close());
at('rename').addEventListener('click', () => askName({ first: false }));

function save() {
  const rooms = [...chat.rooms.values()].map((room) => room.name);
  keep(sessionStorage, { name: chat.name, by: chat.by, rooms, unsent: chat.unsent });
}

function keep(storage, value) {
  try {
    storage.setItem(STORE, JSON.stringify(value));
  } catch {
    // Storage may be full or forbidden; then a reload begins anew.
  }
}

function restore(storage) {
  try {
    return JSON.parse(storage.getItem(STORE)) ?? {};
  } catch {
    return {};
  }
}

at('join').addEventListener('submit', (event) => {
  event.preventDefault();
  const input = at('join-name');
  const name = roomName(input.value);
  const room = name && chat.join(name);
  at('join-fault').textContent = room ? '' : name ? 'This name is too long.' : 'A room needs a name.';
  if (!room) return;
  input.value = '';
  goTo(name);
});
at('try-now').addEventListener('click', () => chat.tryNow());
at('refusal-dismiss').addEventListener('click', () => { at('refusal').hidden = true; });
addEventListener('online', () => chat.name && chat.tryNow());
addEventListener('pagehide', () => chat.farewell());
addEventListener('visibilitychange', () => {
  showUnread();
  if (!document.hidden && chat.connection.state === 'offline') chat.tryNow();
});
setInterval(countDown, 1000);

// A soft keyboard covers the page on iOS rather than making it lower; there only this viewport tells what is in sight.
visualViewport?.addEventListener('resize', () => {
  document.documentElement.style.setProperty('--height', `${visualViewport.height}px`);
});

at('enter-name').maxLength = NAME_CHARS_MAX;
if (saved.name) {
  setName(saved.name);
  if (!hashText() && saved.rooms?.length) history.replaceState(null, '', `#${encodeURIComponent(saved.rooms[0])}`);
  enter();
} else {
  askName({ first: true });
}
