// node with-gateway.mjs COMMAND ARGUMENTS...: runs the command with a gateway whose URL is in STOMPGATE_TEST_URL. If one is
// there already, that gateway is used.

import { spawn } from 'node:child_process';
import { once } from 'node:events';

import { Gateway } from './gateway.mjs';

/** Heart-beats of a second, so that a test of them is a matter of seconds. */
const SETTINGS = { STOMPGATE__STOMP__HEARTBEAT_SEND: '1s', STOMPGATE__STOMP__HEARTBEAT_RECEIVE: '1s' };

const [command, ...words] = process.argv.slice(2);
const gateway = process.env.STOMPGATE_TEST_URL ? null : await Gateway.start(SETTINGS);
try {
  const url = process.env.STOMPGATE_TEST_URL ?? gateway.url;
  const child = spawn(command, words, { env: { ...process.env, STOMPGATE_TEST_URL: url }, stdio: 'inherit' });
  const [code] = await once(child, 'exit');
  process.exitCode = code ?? 1;
} finally {
  await gateway?.stop();
}
