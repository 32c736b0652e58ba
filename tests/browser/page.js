// What the browser suite shares: people who open the demo page, and what they do there.

import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

import { chromium } from 'playwright-core';

const CHROMIUM = process.env.CHROMIUM ?? '/usr/bin/chromium';
const SCREENSHOTS = fileURLToPath(new URL('screenshots/', import.meta.url));
const ANSWER_MS = 15_000;

export const DESKTOP = { viewport: { width: 1100, height: 720 } };
export const PHONE = { viewport: { width: 360, height: 740 }, isMobile: true, hasTouch: true };

/** Chromium writes these to the console by itself while a server is away. */
const SERVER_AWAY = /WebSocket connection to .* failed|net::ERR_/;

mkdirSync(SCREENSHOTS, { recursive: true });

export function launch() {
  // Chromium's sandbox refuses to run as root, as it would in a container.
  const args = process.getuid() === 0 ? ['--no-sandbox'] : [];
  return chromium.launch({ executablePath: CHROMIUM, args });
}

/** Somebody with the page open, in a browser context of their own. `options.socket` comes between the page and the gateway. */
export class Person {
  /** Opens the page at the room and gives the name. */
  static async enter(browser, origin, name, room, options = DESKTOP) {
    const person = await Person.arrive(browser, origin, name, room, options);
    await person.introduce();
    return person;
  }

  /** Opens the page and stops at the question for the name. */
  static async arrive(browser, origin, name, room, { socket, ...options } = DESKTOP) {
    const context = await browser.newContext(options);
    context.setDefaultTimeout(ANSWER_MS);
    const person = new Person(await context.newPage(), name);
    if (socket) await person.page.routeWebSocket('**/ws', socket);
    await person.page.goto(`${origin}/demo/${room ? `#${encodeURIComponent(room)}` : ''}`);
    return person;
  }

  #complaints = [];

  constructor(page, name) {
    this.page = page;
    this.name = name;
    page.on('console', (line) => line.type() === 'error' && this.#complaints.push(line.text()));
    page.on('pageerror', (error) => this.#complaints.push(error.stack));
  }

  async introduce() {
    await this.page.getByLabel('Your name').fill(this.name);
    await this.page.getByRole('button', { name: 'Enter', exact: true }).click();
  }

  async join(room) {
    await this.page.getByLabel('Join or create a room').fill(room);
    await this.page.getByRole('button', { name: 'Join', exact: true }).click();
    await this.inRoom(room);
  }

  /** The room is open and the server has confirmed the subscription. */
  async inRoom(room) {
    await this.page.locator(`.room:visible[data-state="joined"][aria-label="${room}"]`).waitFor();
  }

  async open(room) {
    await this.link(room).click();
    await this.inRoom(room);
  }

  link(room) {
    return this.page.getByRole('navigation', { name: 'Rooms' }).getByRole('link', { name: room });
  }

  async say(text) {
    await this.input.fill(text);
    await this.input.press('Enter');
  }

  get input() {
    return this.page.getByRole('textbox', { name: /^Message to/ });
  }

  get log() {
    return this.page.getByRole('log');
  }

  async reads(text) {
    await this.log.getByText(text, { exact: true }).waitFor();
  }

  /** The server has answered for everything that was said. */
  async settled() {
    await this.page.waitForFunction(() => !document.querySelector('.said[data-state="waiting"]'));
  }

  /** What is in the log of the open room, by whom. */
  said() {
    return this.log.locator('.said').evaluateAll((items) =>
      items.map((item) => `${item.querySelector('.name').textContent}: ${item.querySelector('.text').textContent}`));
  }

  async is(state) {
    await this.page.locator(`body[data-connection="${state}"]`).waitFor();
  }

  screenshot(name) {
    return this.page.screenshot({ path: `${SCREENSHOTS}${name}.png` });
  }

  /** Ends the visit; the page must have had no complaint but those of a server that was away, if it was. */
  async leave({ serverWasAway = false } = {}) {
    await this.page.context().close();
    const left = this.#complaints.filter((line) => !(serverWasAway && SERVER_AWAY.test(line)));
    assert.deepEqual(left, []);
  }
}

/** What is wider than its place and was not meant to be cut off. */
export function overflow(page) {
  return page.evaluate(() => [...document.querySelectorAll('*')]
    .filter((it) => {
      const { overflowX, textOverflow } = getComputedStyle(it);
      const cut = textOverflow === 'ellipsis' || (it !== document.documentElement && overflowX === 'visible');
      // What is one pixel wide is for screen readers.
      return !cut && it.clientWidth > 1 && it.scrollWidth > it.clientWidth + 1;
    })
    .map((it) => `${it.tagName} ${it.className} ${it.scrollWidth} > ${it.clientWidth}`));
}
