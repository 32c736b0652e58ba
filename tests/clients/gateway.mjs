// Starts the gateway for a test, on ports of its own and configured by the environment alone, and stops it.
//
// The environment of the caller is passed on, so the suites run on RabbitMQ with BROKER=amqp and
// STOMPGATE__BROKER__AMQP__URL, or on another binary with STOMPGATE_BIN.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { fileURLToPath } from 'node:url';
import { setTimeout as pause } from 'node:timers/promises';

const BINARY = process.env.STOMPGATE_BIN ?? fileURLToPath(new URL('../../target/debug/stompgate', import.meta.url));
const START_MS = 30_000;
const STOP_MS = 15_000;
const POLL_MS = 20;

export class Gateway {
  static async start(settings = {}) {
    const gateway = new Gateway(await freePort(), await freePort(), settings);
    await gateway.start();
    return gateway;
  }

  #child;
  #output = '';
  #settings;

  constructor(port, adminPort, settings) {
    this.origin = `http://127.0.0.1:${port}`;
    this.url = `ws://127.0.0.1:${port}/ws`;
    this.admin = `http://127.0.0.1:${adminPort}`;
    this.#settings = {
      STOMPGATE__HTTP__LISTEN: `127.0.0.1:${port}`,
      STOMPGATE__ADMIN__LISTEN: `127.0.0.1:${adminPort}`,
      ...(process.env.BROKER && { STOMPGATE__BROKER__KIND: process.env.BROKER }),
      ...settings,
    };
  }

  /** Also starts it again after `stop`, on the same ports. */
  async start() {
    this.#child = spawn(BINARY, [], { env: { ...process.env, ...this.#settings }, stdio: ['ignore', 'pipe', 'pipe'] });
    const collect = (text) => { this.#output += text; };
    this.#child.stdout.setEncoding('utf8').on('data', collect);
    this.#child.stderr.setEncoding('utf8').on('data', collect);
    let failure = null;
    this.#child.once('error', (error) => { failure = error.message; });
    this.#child.once('exit', (code, signal) => { failure ??= `it ended with ${code ?? signal}`; });
    const deadline = Date.now() + START_MS;
    while (!(await this.#ready())) {
      if (!failure && Date.now() > deadline) failure = `it was not ready after ${START_MS} ms`;
      if (failure) {
        this.#child.kill('SIGKILL');
        throw new Error(`${BINARY} did not start: ${failure}\n${this.#output}`);
      }
      await pause(POLL_MS);
    }
  }

  async stop() {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const ended = once(this.#child, 'exit');
    this.#child.kill('SIGTERM');
    const late = setTimeout(() => this.#child.kill('SIGKILL'), STOP_MS);
    const [, signal] = await ended;
    clearTimeout(late);
    if (signal === 'SIGKILL') throw new Error(`the gateway did not stop within ${STOP_MS} ms\n${this.#output}`);
  }

  async #ready() {
    try {
      return (await fetch(`${this.admin}/ready`)).ok;
    } catch {
      return false;
    }
  }
}

/** A port that was free a moment ago. Somebody else may take it; then the gateway says so and the test fails. */
export async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  return port;
}
