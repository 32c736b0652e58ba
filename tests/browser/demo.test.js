// The demo page in Chromium, through the gateway.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { after, before, test } from 'node:test';

import { Gateway } from '../clients/gateway.mjs';
import { DESKTOP, PHONE, Person, launch, overflow } from './page.js';

const HOSTILE = '<img src=x onerror="window.hacked = true"><script>window.hacked = true</script>';

let browser;
let gateway;
let rooms = 0;

before(async () => {
  gateway = await Gateway.start();
  browser = await launch();
});

after(async () => {
  await browser?.close();
  await gateway?.stop();
});

/** With a broker that outlives the gateway, the rooms of earlier runs may still be spoken in. */
const room = (name) => `${name}-${process.pid}-${(rooms += 1)}`;

const enter = (name, where, options) => Person.enter(browser, gateway.origin, name, where, options);

test('stomp.js and sockjs-client are those of the pinned packages', () => {
  execFileSync(new URL('vendor.sh', import.meta.url).pathname, ['--check']);
});

test('two people meet in a room that one of them creates by name, and talk', async () => {
  const ann = await Person.arrive(browser, gateway.origin, 'Ann');
  await ann.screenshot('enter');
  await ann.introduce();
  await ann.inRoom('lobby');
  const garden = room('garden');
  await ann.join(garden);
  assert.equal(new URL(ann.page.url()).hash, `#${garden}`);

  const bo = await enter('Bo', garden);
  await bo.inRoom(garden);
  await ann.log.getByText('Bo joined').waitFor();
  await ann.say('Hello, Bo.');
  await bo.reads('Hello, Bo.');
  await bo.say('Hello, Ann.');
  await ann.reads('Hello, Ann.');
  for (const person of [ann, bo]) assert.deepEqual(await person.said(), ['Ann: Hello, Bo.', 'Bo: Hello, Ann.']);
  assert.equal(await ann.log.locator('[data-state="waiting"]').count(), 0);
  assert.match(await bo.log.locator('time').first().textContent(), /\d/);

  await bo.page.getByRole('button', { name: 'Leave' }).click();
  await ann.log.getByText('Bo left').waitFor();
  await ann.screenshot('desktop-light');
  await ann.page.emulateMedia({ colorScheme: 'dark' });
  await ann.screenshot('desktop-dark');
  await ann.leave();
  await bo.leave();
});

test('Enter sends and Shift+Enter begins a line', async () => {
  const ann = await enter('Ann', room('lines'));
  await ann.input.focus();
  await ann.page.keyboard.type('one');
  await ann.page.keyboard.press('Shift+Enter');
  await ann.page.keyboard.type('two');
  await ann.page.keyboard.press('Enter');
  await ann.settled();
  assert.deepEqual(await ann.said(), ['Ann: one\ntwo']);
  assert.equal(await ann.input.inputValue(), '');
  await ann.leave();
});

test('several rooms are kept at once, with what is unread in each', async () => {
  const [kitchen, shed] = [room('kitchen'), room('shed')];
  const ann = await enter('Ann', kitchen);
  await ann.join(shed);
  const bo = await enter('Bo', kitchen);
  await bo.say('one');
  await bo.say('two');
  await ann.link(kitchen).filter({ hasText: '2 unread' }).waitFor();
  assert.match(await ann.page.title(), /^\(2\) /);
  assert.deepEqual(await ann.said(), []);
  await ann.input.fill('a draft');
  await ann.screenshot('desktop-unread');
  await ann.open(kitchen);
  assert.deepEqual(await ann.said(), ['Bo: one', 'Bo: two']);
  assert.doesNotMatch(await ann.link(kitchen).textContent(), /unread/);
  assert.doesNotMatch(await ann.page.title(), /^\(/);
  await ann.open(shed);
  assert.equal(await ann.input.inputValue(), 'a draft');
  await ann.leave();
  await bo.leave();
});

test('a reload keeps the name and the rooms', async () => {
  const [one, two] = [room('one'), room('two')];
  const ann = await enter('Ann', one);
  await ann.join(two);
  await ann.page.reload();
  await ann.inRoom(two);
  await ann.open(one);
  assert.equal(await ann.page.locator('#my-name').textContent(), 'Ann');
  await ann.leave();
});

test('what waits to be sent survives a reload', async () => {
  const where = room('reload');
  let isMute = true;
  const ann = await enter('Ann', where, { ...DESKTOP, socket: (route) => { if (!isMute) route.connectToServer(); } });
  await ann.say('written before');
  await ann.log.locator('.said[data-state="waiting"]').waitFor();
  isMute = false;
  await ann.page.reload();
  await ann.inRoom(where);
  await ann.settled();
  assert.deepEqual(await ann.said(), ['Ann: written before']);
  await ann.leave();
});

test('what people write is text and never markup', async () => {
  const ann = await enter('Ann', HOSTILE);
  const eve = await enter(HOSTILE.slice(0, 40), HOSTILE);
  await eve.say(HOSTILE);
  await ann.reads(HOSTILE);
  await ann.screenshot('hostile');
  assert.equal(await ann.page.locator('main img, main script, nav li img').count(), 0);
  for (const { page } of [ann, eve]) assert.equal(await page.evaluate(() => window.hacked), undefined);
  await ann.leave();
  await eve.leave();
});

test('bodies that are not the page\'s own are shown as they are', async () => {
  const where = room('foreign');
  const ann = await enter('Ann', where);
  await ann.inRoom(where);
  const bodies = ['plain text', '[1, 2]', '{"kind":"say","text":7}', 'null', '{"broken'];
  await ann.page.evaluate(async ([destination, sent]) => {
    const { Client } = globalThis.StompJs;
    const client = new Client({ brokerURL: `ws://${location.host}/ws` });
    await new Promise((resolve) => { client.onConnect = resolve; client.activate(); });
    for (const body of sent) client.publish({ destination, body });
    client.publish({ destination, binaryBody: new Uint8Array([0, 255, 65]) });
    await client.deactivate();
  }, [`/topic/chat.${where}`, bodies]);
  await ann.log.getByText('A', { exact: false }).last().waitFor();
  await ann.page.waitForFunction(() => document.querySelectorAll('.room:not([hidden]) .said').length === 6);
  const said = await ann.said();
  assert.deepEqual(said.slice(0, 5), bodies.map((body) => `Unknown sender: ${body}`));
  assert.match(said[5], /A$/);
  await ann.leave();
});

test('every name of a room is one safe word of a destination', async () => {
  const ann = await enter('Ann', room('names'));
  const places = await ann.page.evaluate(async () => {
    const { destinationOf, roomName } = await import('/demo/message.js');
    return ['General', '#general ', 'a.b/c*d#e%f', 'Küche', 'x_2e', '😀', '   ', '界'.repeat(22), '界'.repeat(23)]
      .map((name) => destinationOf(roomName(name)));
  });
  assert.deepEqual(places, [
    '/topic/chat.general',
    '/topic/chat.general',
    '/topic/chat.a_2eb_2fc_2ad_23e_25f',
    '/topic/chat.k_c3_bcche',
    '/topic/chat.x_5f2e',
    '/topic/chat._f0_9f_98_80',
    null,
    `/topic/chat.${'_e7_95_8c'.repeat(22)}`,
    null,
  ]);
  await ann.page.getByLabel('Join or create a room').fill('界'.repeat(23));
  await ann.page.getByRole('button', { name: 'Join', exact: true }).click();
  await ann.page.getByText('This name is too long.').waitFor();
  await ann.leave();
});

test('while the server is away messages wait, and are sent once when it is back', async () => {
  const where = room('patience');
  let gate = Promise.resolve();
  const socket = async (route) => {
    await gate;
    route.connectToServer();
  };
  const ann = await enter('Ann', where, { ...DESKTOP, socket });
  const bo = await enter('Bo', where, { ...PHONE, colorScheme: 'dark' });
  await Promise.all([ann.inRoom(where), bo.inRoom(where)]);
  // A topic keeps nothing, so Bo reads what Ann wrote only if he is back before her.
  let open;
  gate = new Promise((resolve) => { open = resolve; });
  await gateway.stop();
  for (const person of [ann, bo]) {
    await person.is('offline');
    await person.page.getByText(/Trying again/).waitFor();
  }
  await ann.say('first');
  await ann.say('second');
  await bo.say('third');
  assert.equal(await ann.log.locator('.said[data-state="waiting"]').count(), 2);
  await ann.screenshot('desktop-offline');
  await bo.screenshot('phone-offline');

  await gateway.start();
  await bo.inRoom(where);
  open();
  await ann.is('online');
  await bo.reads('second');
  await ann.say('fourth');
  await bo.reads('fourth');
  assert.deepEqual(await bo.said(), ['Bo: third', 'Ann: first', 'Ann: second', 'Ann: fourth']);
  assert.deepEqual(await ann.said(), ['Ann: first', 'Ann: second', 'Ann: fourth']);
  for (const person of [ann, bo]) await person.settled();
  await ann.leave({ serverWasAway: true });
  await bo.leave({ serverWasAway: true });
});

test('a page that comes back by itself needs no click', async () => {
  const where = room('alone');
  const ann = await enter('Ann', where);
  await ann.inRoom(where);
  await gateway.stop();
  await ann.is('offline');
  await gateway.start();
  await ann.is('online');
  await ann.say('still here');
  await ann.log.locator('.said[data-state="sent"]').waitFor();
  await ann.leave({ serverWasAway: true });
});

test('an ERROR is shown in words, and the message that it is about can be tried again', async () => {
  const where = room('errors');
  const ann = await enter('Ann', where);
  await ann.inRoom(where);
  await ann.input.evaluate((input) => { input.maxLength = 1_000_000; });
  await ann.say('x'.repeat(100_000));
  await ann.page.getByRole('alert').filter({ hasText: /frame_bytes_max/ }).waitFor();
  await ann.log.getByText(/^Not sent/).waitFor();
  await ann.screenshot('error');
  await ann.page.getByRole('button', { name: 'Dismiss' }).click();
  await ann.is('online');
  await ann.say('shorter');
  await ann.log.locator('.said[data-state="sent"]').waitFor();
  assert.equal(await ann.log.getByRole('button', { name: 'Try again' }).count(), 1);
  await ann.leave();
});

test('a refusal is told where it belongs, and does not come again by itself', async () => {
  const where = room('open');
  const secret = { name: room('secret'), refused: true };
  let refusals = 0;
  const socket = (route) => {
    const server = route.connectToServer();
    route.onMessage((frame) => {
      const isRefused = secret.refused && /^(SUBSCRIBE\n[^]*secret|SEND\n[^]*forbidden words)/.test(frame);
      if (!isRefused) return server.send(frame);
      refusals += 1;
      const [, receipt] = /\nreceipt:(.*)\n/.exec(frame);
      route.send(`ERROR\nmessage:Access refused\nreceipt-id:${receipt}\n\nYou may not do this.\0`);
      route.close({ code: 1002 });
    });
  };
  const ann = await enter('Ann', where, { ...DESKTOP, socket });
  await ann.inRoom(where);
  await ann.say('forbidden words');
  await ann.log.getByText('Not sent: You may not do this.').waitFor();
  await ann.page.getByRole('alert').filter({ hasText: 'Access refused You may not do this.' }).waitFor();
  await ann.inRoom(where);
  await ann.page.getByLabel('Join or create a room').fill(secret.name);
  await ann.page.getByLabel('Join or create a room').press('Enter');
  await ann.log.getByText('You cannot join this room: You may not do this.').waitFor();
  assert.equal(await ann.page.getByRole('button', { name: 'Send' }).isDisabled(), true);
  await ann.is('online');
  await ann.link(where).click();
  await ann.inRoom(where);
  await ann.say('other words');
  await ann.settled();
  assert.equal(refusals, 2);
  await ann.screenshot('refusals');

  secret.refused = false;
  await ann.link(secret.name).click();
  await ann.page.getByRole('button', { name: 'Try again' }).click();
  await ann.inRoom(secret.name);
  await ann.say('let in');
  await ann.settled();
  assert.equal(refusals, 2);
  await ann.leave();
});

for (const width of [320, 360]) {
  test(`a phone of ${width} px has everything on its screen`, async () => {
    const [garden, shed] = [room('garden-with-a-long-name'), room('shed')];
    const options = { ...PHONE, viewport: { width, height: 740 } };
    const bo = await Person.arrive(browser, gateway.origin, 'Bo with a name that is rather long', garden, options);
    assert.deepEqual(await overflow(bo.page), []);
    await bo.screenshot(`phone-${width}-enter`);
    await bo.introduce();
    await bo.inRoom(garden);
    await bo.say(`A word without an end: ${'x'.repeat(200)}`);
    await bo.say('https://example.com/a/long/path/that/has/no/place/to/break/but/must/stay/on/the/screen');
    await bo.log.locator('.said[data-state="sent"]').nth(1).waitFor();
    assert.deepEqual(await overflow(bo.page), []);
    assert.equal(await bo.input.evaluate((it) => it.getBoundingClientRect().bottom <= innerHeight), true);
    await bo.screenshot(`phone-${width}-light`);
    await bo.page.emulateMedia({ colorScheme: 'dark' });
    await bo.screenshot(`phone-${width}-dark`);

    await bo.page.getByRole('link', { name: 'All rooms' }).click();
    await bo.join(shed);
    await bo.page.goBack();
    await bo.link(garden).waitFor();
    assert.deepEqual(await overflow(bo.page), []);
    await bo.screenshot(`phone-${width}-rooms`);

    const ann = await enter('Ann', garden, DESKTOP);
    await bo.open(shed);
    await ann.say('Where are you?');
    await bo.page.getByRole('link', { name: 'All rooms' }).filter({ hasText: '1 unread' }).waitFor();
    await bo.screenshot(`phone-${width}-unread`);
    // A soft keyboard takes half of the screen away.
    await bo.page.setViewportSize({ width, height: 380 });
    assert.equal(await bo.input.evaluate((it) => it.getBoundingClientRect().bottom <= innerHeight), true);
    await bo.leave();
    await ann.leave();
  });
}
