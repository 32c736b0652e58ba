// HAProxy with the very file that docker-compose.yml gives it, in front of two gateways of a test.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

import { freePort } from '../clients/gateway.mjs';

const BINARY = process.env.HAPROXY ?? 'haproxy';
const CONFIGURATION = fileURLToPath(new URL('../../deploy/haproxy.cfg', import.meta.url));
const DEADLINE_MS = 15_000;
const POLL_MS = 50;

export class Haproxy {
  /** In front of what has an `origin` and an `admin`, both of them URLs. Both gateways have to be ready. */
  static async start(gateways) {
    const haproxy = new Haproxy(await freePort(), await freePort(), gateways);
    try {
      await eventually('HAProxy sends clients to both gateways', () => haproxy.uses(1, 1));
    } catch (error) {
      await haproxy.stop();
      throw error;
    }
    return haproxy;
  }

  #child;
  #ended;

  constructor(port, metricsPort, gateways) {
    this.origin = `http://127.0.0.1:${port}`;
    this.metrics = `http://127.0.0.1:${metricsPort}`;
    const env = { LISTEN: `127.0.0.1:${port}`, METRICS_LISTEN: `127.0.0.1:${metricsPort}` };
    for (const [index, { origin, admin }] of gateways.entries()) {
      env[`GATEWAY_${index + 1}`] = new URL(origin).host;
      env[`GATEWAY_${index + 1}_ADMIN`] = new URL(admin).port;
    }
    // Debian keeps HAProxy where only root looks.
    env.PATH = `${process.env.PATH}:/usr/sbin`;
    this.#child = spawn(BINARY, ['-db', '-f', CONFIGURATION], { env, stdio: ['ignore', 'ignore', 'inherit'] });
    this.#ended = once(this.#child, 'exit');
  }

  /** Whether the metrics that the alerts look at say so of each gateway: 1 if it gets clients, 0 if not. */
  async uses(...expected) {
    const metrics = await text(`${this.metrics}/metrics`).catch(() => '');
    const isExpected = (of, index) => {
      return value(metrics, `haproxy_server_status{proxy="gateways",server="gateway-${index + 1}",state="UP"}`) === of;
    };
    const active = value(metrics, 'haproxy_backend_active_servers{proxy="gateways"}');
    return expected.every(isExpected) && active === expected.reduce((sum, it) => sum + it);
  }

  /** At once: its connections are cut. */
  async stop() {
    this.#child.kill('SIGTERM');
    await this.#ended;
  }
}

export async function text(url) {
  return (await fetch(url)).text();
}

/** Of one series in Prometheus' text format. */
export function value(metrics, series) {
  const line = metrics.split('\n').find((it) => it.startsWith(`${series} `));
  return line && Number(line.slice(series.length));
}

export async function eventually(what, condition) {
  const deadline = Date.now() + DEADLINE_MS;
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error(`waited in vain until ${what}`);
    await pause(POLL_MS);
  }
}
