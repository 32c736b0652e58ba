// Two gateways on one RabbitMQ, behind the load balancer of docker-compose.yml, with the chat page in Chromium.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { Person, launch } from '../browser/page.js';
import { Gateway } from '../clients/gateway.mjs';
import { Haproxy, eventually, text, value } from './haproxy.mjs';

let browser;
let gateways;
let haproxy;

before(async () => {
  gateways = await Promise.all([Gateway.start(), Gateway.start()]);
  haproxy = await Haproxy.start(gateways);
  browser = await launch();
});

after(async () => {
  await browser?.close();
  await haproxy?.stop();
  await Promise.all((gateways ?? []).map((gateway) => gateway.stop()));
});

test('pages on different gateways talk, and a gateway that goes takes nobody along', { timeout: 120_000 }, async () => {
  const room = `both-${process.pid}`;
  const ann = await enter('Ann', room);
  const [home, other] = (await sessions(gateways[0])) === 1 ? gateways : gateways.toReversed();
  const bo = await enter('Bo', room);
  assert.deepEqual(await Promise.all([home, other].map(sessions)), [1, 1]);

  await ann.say('Hello, Bo.');
  await bo.reads('Hello, Bo.');
  await bo.say('Hello, Ann.');
  await ann.reads('Hello, Ann.');
  for (const person of [ann, bo]) assert.deepEqual(await person.said(), ['Ann: Hello, Bo.', 'Bo: Hello, Ann.']);

  const [annSaw, boSaw] = await Promise.all([ann, bo].map(connectionChanges));
  assert.deepEqual(await answersUntil(home.stop()), [200]);
  await eventually('Ann has come back', async () => {
    const seen = await annSaw();
    return seen.includes('offline') && seen.at(-1) === 'online';
  });
  await ann.inRoom(room);
  assert.equal(await sessions(other), 2);
  await ann.say('I am back.');
  await bo.reads('I am back.');
  assert.deepEqual(await boSaw(), []);

  await eventually('one is out of use', () => haproxy.uses(...gateways.map((it) => Number(it === other))));
  await home.start();
  await eventually('it is in use again', () => haproxy.uses(1, 1));
  const cy = await enter('Cy', room);
  assert.equal(await sessions(home), 1);
  await cy.say('Good evening.');
  for (const person of [ann, bo]) await person.reads('Good evening.');
  await cy.leave();
  await bo.leave();
  await ann.leave({ serverWasAway: true });
});

async function enter(name, room) {
  const person = await Person.enter(browser, haproxy.origin, name, room);
  await person.inRoom(room);
  return person;
}

async function sessions(gateway) {
  return value(await text(`${gateway.admin}/metrics`), 'stompgate_sessions{phase="connected"}');
}

/** Records what the page says about its connection from now on; the answer tells it. */
async function connectionChanges({ page }) {
  await page.evaluate(() => {
    window.seen = [];
    new MutationObserver(() => window.seen.push(document.body.dataset.connection))
      .observe(document.body, { attributeFilter: ['data-connection'] });
  });
  return () => page.evaluate(() => window.seen);
}

/** The different answers that visitors get until something is over. */
async function answersUntil(end) {
  const statuses = new Set();
  let isOver = false;
  const over = end.finally(() => { isOver = true; });
  do {
    statuses.add((await fetch(`${haproxy.origin}/demo/`)).status);
  } while (!isOver);
  await over;
  return [...statuses];
}
