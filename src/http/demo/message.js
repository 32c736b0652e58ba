// Names of rooms, their destinations, and the bodies of chat messages. No DOM and no network.

export const NAME_CHARS_MAX = 40;
export const TEXT_CHARS_MAX = 4000;

/** An AMQP routing key has at most 255 bytes; the rest is left for a prefix that an operator may add. */
const ROOM_WORD_BYTES_MAX = 200;
const DAY_MS = 24 * 60 * 60 * 1000;

/** The one spelling of a room's name, so that everybody who means the same room gets to it. */
export function roomName(typed) {
  return typed.normalize('NFC').replace(/^[\s#]+/, '').replace(/\s+/g, ' ').trim().toLowerCase();
}

/**
 * Where a room's messages go, or null for a name that has no place.
 *
 * The name becomes one word of an AMQP routing key: a dot, `*` or `#` in it would make several words or a pattern, and
 * `/` or `%` mean something to STOMP servers. So all but `a-z`, `0-9` and `-` is written as `_` and two hex digits.
 */
export function destinationOf(name) {
  let word = '';
  for (const byte of new TextEncoder().encode(name)) {
    const char = String.fromCharCode(byte);
    word += /[a-z0-9-]/.test(char) ? char : `_${byte.toString(16).padStart(2, '0')}`;
  }
  return word && word.length <= ROOM_WORD_BYTES_MAX ? `/topic/chat.${word}` : null;
}

/** 128 random bits. `crypto.randomUUID` would do, but is missing on pages that came over plain HTTP. */
export function randomId() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, '0')).join('');
}

export function personName(typed) {
  return printable(typed).replace(/\s+/g, ' ').trim().slice(0, NAME_CHARS_MAX);
}

/**
 * What a MESSAGE says, as `{ kind: 'say' | 'join' | 'leave', id, by, name, text, at }`.
 *
 * Anybody can publish anything to a topic, so a body that is not ours is shown as the text that it is.
 */
export function read(body, now) {
  const said = parse(body);
  if (!said) {
    return { kind: 'say', id: randomId(), by: '', name: 'Unknown sender', text: shown(body) || '(empty)', at: now };
  }
  return {
    kind: said.kind,
    id: said.id,
    by: said.by,
    name: personName(said.name) || 'Unnamed',
    text: shown(said.text),
    // A clock that is wrong must not send a message to the future, or to last year.
    at: said.at <= now && now - said.at < DAY_MS ? said.at : now,
  };
}

function parse(body) {
  try {
    const { kind, id, by, name, text, at } = JSON.parse(body);
    const known = ['say', 'join', 'leave'].includes(kind);
    return known && [id, by, name, text].every((it) => typeof it === 'string') ? { kind, id, by, name, text, at } : null;
  } catch {
    return null;
  }
}

function shown(text) {
  return printable(text.length > TEXT_CHARS_MAX ? `${text.slice(0, TEXT_CHARS_MAX)}…` : text);
}

function printable(text) {
  return text.replace(/[\u0000-\u0008\u000b-\u001f\u007f]/g, '\ufffd');
}
