// How one room looks: its log, its line to type in, its row in the list of rooms.

import { personName } from './message.js';

const ENTRIES_MAX = 500;
const SAME_BREATH_MS = 5 * 60 * 1000;
const PEOPLE_IN_A_NOTE_MAX = 6;
/** How far from its end a log may be and still follow what is added. */
const NEAR_END_PX = 48;
const FLASH_MS = 2000;

const TIME = new Intl.DateTimeFormat(undefined, { timeStyle: 'short' });
const DAY = new Intl.DateTimeFormat(undefined, { weekday: 'long', day: 'numeric', month: 'long' });
const WHEN = new Intl.DateTimeFormat(undefined, { dateStyle: 'full', timeStyle: 'medium' });

/** An element with text or elements in it. Text goes in as text only: nothing that arrived is ever parsed as HTML. */
export function element(tag, className, ...children) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  made.append(...children);
  return made;
}

/** A round initial whose colour is the person's own for as long as the page is open. */
export function paintAvatar(avatar, by, name) {
  avatar.textContent = [...name][0]?.toUpperCase() ?? '?';
  const hash = [...by].reduce((sum, char) => (sum * 31 + char.codePointAt(0)) % 360, 7);
  avatar.style.setProperty('--hue', hash);
}

export class RoomView {
  /** `acts`: `say(text)`, `retry(entry)`, `knock()`, `leave()`, `share(tell)`. */
  constructor(room, acts) {
    this.room = room;
    this.unread = 0;
    this.#acts = acts;
    this.section = document.getElementById('room-template').content.cloneNode(true).firstElementChild;
    this.#scroller = this.section.querySelector('.scroller');
    this.#log = this.section.querySelector('.log');
    this.#latest = this.section.querySelector('.latest');
    this.#text = this.section.querySelector('textarea');
    this.#button = this.section.querySelector('.composer button');
    this.section.hidden = true;
    this.section.setAttribute('aria-label', room.name);
    this.section.querySelector('h2').append('#', element('bdi', '', room.name));
    this.#log.setAttribute('aria-label', `Messages in ${room.name}`);
    this.#text.setAttribute('aria-label', `Message to ${room.name}`);

    this.link = element('a', '', element('span', 'hash', '#'), element('bdi', '', room.name));
    this.link.href = `#${encodeURIComponent(room.name)}`;
    this.#badge = element('span', 'badge');
    this.#badge.hidden = true;
    this.link.append(this.#badge);
    this.row = element('li', '', this.link);
    this.#listen();
    this.changed();
  }

  #acts;
  #scroller;
  #log;
  #latest;
  #text;
  #button;
  #badge;
  /** List items of own messages, by id. */
  #own = new Map();
  #last = null;
  #noted = null;
  #following = true;
  #welcomed = false;

  #listen() {
    const form = this.section.querySelector('form');
    form.addEventListener('submit', (event) => {
      event.preventDefault();
      this.#submit();
    });
    this.#text.addEventListener('keydown', (event) => {
      if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      this.#submit();
    });
    this.#text.addEventListener('input', () => this.#fit());
    this.#scroller.addEventListener('scroll', () => this.#scrolled(), { passive: true });
    // A soft keyboard or a longer text makes the log lower; its end stays in sight.
    new ResizeObserver(() => this.#follow()).observe(this.#scroller);
    this.#latest.addEventListener('click', () => {
      this.#following = true;
      this.#follow();
      this.focus();
    });
    this.section.querySelector('.leave').addEventListener('click', () => this.#acts.leave());
    const share = this.section.querySelector('.share');
    // Pages that came over plain HTTP from another host have neither; there the address bar has to do.
    share.hidden = !navigator.share && !navigator.clipboard;
    share.addEventListener('click', () => this.#acts.share((text) => flash(share, text)));
  }

  show() {
    this.section.hidden = false;
    this.link.setAttribute('aria-current', 'page');
    this.#fit();
    this.#follow();
  }

  hide() {
    this.section.hidden = true;
    this.link.removeAttribute('aria-current');
  }

  focus() {
    this.#text.focus({ preventScroll: true });
  }

  /** The room's state has changed. */
  changed() {
    const { state, reason } = this.room;
    this.section.dataset.state = state;
    this.row.dataset.state = state;
    this.#button.disabled = state === 'refused';
    if (state === 'refused') this.#note(`You cannot join this room: ${reason} `, again(() => this.#acts.knock()));
    if (state === 'joined' && !this.#welcomed) {
      this.#welcomed = true;
      this.#note('You are in. What was said before is not kept.');
    }
  }

  setUnread(count) {
    this.unread = count;
    fill(this.#badge, count, ' unread');
  }

  setUnreadElsewhere(count) {
    fill(this.section.querySelector('.back .badge'), count, ' unread in other rooms');
  }

  append(entry) {
    if (entry.mine) this.#following = true;
    if (entry.kind === 'say') this.#appendSaid(entry);
    else this.#appendPresence(entry);
    this.#trim();
    if (!this.#following && entry.kind === 'say') this.#latest.hidden = false;
    this.#follow();
  }

  /** An own message was confirmed, refused, or is tried again. */
  update(entry) {
    const item = this.#own.get(entry.id);
    if (item) this.#setState(item, entry);
  }

  #submit() {
    const text = this.#text.value.trim();
    if (!text || this.room.state === 'refused') return;
    this.#text.value = '';
    this.#fit();
    this.#acts.say(text);
  }

  #appendSaid(entry) {
    const day = DAY.format(entry.at);
    if (this.#last && DAY.format(this.#last.at) !== day) this.#log.append(element('li', 'day', day));
    const before = this.#last;
    const continued =
      before && before.by === entry.by && before.name === entry.name && entry.at - before.at < SAME_BREATH_MS && !this.#noted;
    const time = element('time', '', TIME.format(entry.at));
    time.dateTime = new Date(entry.at).toISOString();
    time.title = WHEN.format(entry.at);
    const who = element('p', 'who', element('bdi', 'name', entry.name), time);
    const text = element('p', 'text', entry.text);
    text.dir = 'auto';
    const avatar = element('span', 'avatar');
    avatar.ariaHidden = 'true';
    paintAvatar(avatar, entry.by || entry.name, entry.name);
    const item = element('li', continued ? 'said continued' : 'said', avatar, who, text);
    item.dataset.id = entry.id;
    if (entry.mine) this.#own.set(entry.id, item);
    this.#setState(item, entry);
    this.#last = entry;
    this.#noted = null;
    this.#log.append(item);
  }

  #setState(item, entry) {
    item.dataset.state = entry.state;
    item.querySelector('.fate')?.remove();
    if (entry.state === 'waiting') item.append(element('p', 'fate', ''));
    if (entry.state === 'failed') {
      item.append(element('p', 'fate', `Not sent: ${entry.reason} `, again(() => this.#acts.retry(entry))));
    }
  }

  /** Comings and goings in a row share one line, in which each person stands once. */
  #appendPresence(entry) {
    if (entry.mine) return;
    if (!this.#noted) {
      this.#noted = { people: new Map(), item: element('li', 'note') };
      this.#log.append(this.#noted.item);
    }
    const { people, item } = this.#noted;
    people.delete(entry.by);
    people.set(entry.by, `${personName(entry.name)} ${entry.kind === 'join' ? 'joined' : 'left'}`);
    const lines = [...people.values()].slice(-PEOPLE_IN_A_NOTE_MAX);
    const more = people.size - lines.length;
    item.replaceChildren(...lines.flatMap((line, at) => [at ? ' · ' : '', element('bdi', '', line)]));
    if (more > 0) item.append(` · and ${more} more`);
  }

  #note(...children) {
    this.#noted = null;
    this.#last = null;
    this.#log.append(element('li', 'note', ...children));
  }

  #trim() {
    while (this.#log.childElementCount > ENTRIES_MAX) {
      const oldest = this.#log.firstElementChild;
      oldest.remove();
      this.#own.delete(oldest.dataset.id);
    }
  }

  #scrolled() {
    const { scrollHeight, scrollTop, clientHeight } = this.#scroller;
    this.#following = scrollHeight - scrollTop - clientHeight < NEAR_END_PX;
    if (this.#following) this.#latest.hidden = true;
  }

  #follow() {
    if (this.#following) this.#scroller.scrollTop = this.#scroller.scrollHeight;
  }

  #fit() {
    this.#text.style.height = 'auto';
    // A hidden text area has no height to copy.
    if (this.#text.scrollHeight) this.#text.style.height = `${this.#text.scrollHeight}px`;
  }
}

function again(act) {
  const button = element('button', 'quiet', 'Try again');
  button.type = 'button';
  button.addEventListener('click', act);
  return button;
}

function fill(badge, count, what) {
  badge.hidden = count === 0;
  badge.replaceChildren(...(count ? [count > 99 ? '99+' : `${count}`, element('span', 'spoken', what)] : []));
}

function flash(button, text) {
  const usual = button.textContent;
  if (usual === text) return;
  button.textContent = text;
  setTimeout(() => { button.textContent = usual; }, FLASH_MS);
}
