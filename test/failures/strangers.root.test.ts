// What strangers, idle connections and reads cost the permits of a rack: a real controller, agents that hold permits, and
// attacks from the segment and from the controller's own machine. It may open 600 files and use 160 MB of heap.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { after, before, test, type TestContext } from 'node:test';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { Check } from 'typebox/value';
import { KillOrder } from '../../protocol/api/orders.ts';
import { permitValidityMs } from '../../protocol/timing.ts';
import { rackCustomer } from '../bench/seeded-store.ts';
import { rackAddress } from '../qemu/rack-network.ts';
import { startBoards } from '../qemu/dhcp-boards.ts';
import { runTied } from '../qemu/tied-process.ts';
import { rackUnderAttack, type RackUnderAttack } from './rack-under-attack.ts';

const boards = 200;
const openFiles = 600;
/** A machine that does too much at once makes any attack look like a success: one that is none is one at each try. */
const tries = 3;

const program = fileURLToPath(new URL('attacks.ts', import.meta.url));
const forger = fileURLToPath(new URL('forge.pl', import.meta.url));
const attack = (...words: string[]) => [process.execPath, '--disable-warning=ExperimentalWarning', program, ...words];

let rack: RackUnderAttack;
before(async () => {
  const environment = new Map([['NODE_OPTIONS', '--max-old-space-size=160']]);
  rack = await rackUnderAttack({ nodes: boards, environment, openFiles });
});
after(() => rack[Symbol.asyncDispose]());

/** No permit of any board gets as old as a permit may. */
async function permitsLast(t: TestContext, work: () => Promise<unknown>): Promise<void> {
  for (let left = tries; ; left--) {
    let said: unknown;
    const oldestMs = await rack.oldestPermitMs(async () => (said = await work()));
    t.diagnostic(`the oldest permit was ${oldestMs} ms old; ${String(said).slice(0, 200)}`);
    if (oldestMs < permitValidityMs) break;
    assert.ok(left > 1, `a permit was ${oldestMs} ms old, ${tries} times`);
  }
  assert.ok(rack.controller.isRunning);
}

const report = () => `/v1/nodes/${rack.nodes[0]?.mac}/report`;

test('1 MB of JSON with half a million wrong items, to who joins and who reports', { timeout: 300_000 }, async (t) => {
  await permitsLast(t, () => rack.fromSegment(attack('bodies', rackAddress, '8443', '/v1/join', '4')));
  await permitsLast(t, () => rack.fromSegment(attack('bodies', rackAddress, '8443', report(), '4')));
  await permitsLast(t, () => rack.fromSegment(attack('deep', rackAddress, '8443', '/v1/join', '4')));
});

test('thousands of idle connections, and a kill order meanwhile', { timeout: 300_000 }, async (t) => {
  const operators = String(rack.network.operatorPort);
  await permitsLast(t, async () => {
    const attacks = [
      rack.fromSegment(attack('idle', 'tls', rackAddress, '8443', '2000')),
      rack.fromSegment(attack('idle', 'tcp', rackAddress, '8480', '2000')),
      runTied(attack('idle', 'tcp', '127.0.0.1', operators, '2000'), { timeoutMs: 120_000 }).then(({ stdout }) =>
        stdout.trim(),
      ),
    ];
    const order = await rack.controller.api('POST /v1/kill', { customer: rackCustomer, reason: 'test' });
    assert.ok(Check(KillOrder, order));
    await rack.controller.api('POST /v1/lift', { customer: rackCustomer });
    return (await Promise.all(attacks)).join('; ');
  });
});

test('event streams and long answers, by an operator', { timeout: 300_000 }, async (t) => {
  const headers = { authorization: `Bearer ${await rack.controller.token()}` };
  const firstOf = async (path: string) => {
    const ended = new AbortController();
    const signal = AbortSignal.any([ended.signal, AbortSignal.timeout(60_000)]);
    const response = await fetch(`${rack.controller.url}${path}`, { headers, signal }).catch(() => undefined);
    await response?.body?.getReader().read();
    return { status: response?.status ?? 0, ended };
  };
  await permitsLast(t, async () => {
    const paths = Array.from({ length: 150 }, () => '/v1/stream');
    const opened = await Promise.all([...paths, '/v1/nodes', '/v1/instances', '/v1/events?limit=1000'].map(firstOf));
    for (const { ended } of opened) ended.abort();
    return [200, 503, 0].map((wanted) => `${wanted}: ${opened.filter(({ status }) => status === wanted).length}`);
  });
});

test('forged heartbeats, of no session and of sessions that were seen', { timeout: 300_000 }, async (t) => {
  const sessions = rack.nodes.slice(0, 50).map(({ session }) => session);
  await permitsLast(t, () => rack.fromSegment(['perl', forger, rackAddress, '3', '20000']));
  await permitsLast(t, () => rack.fromSegment(['perl', forger, rackAddress, '3', '20000', ...sessions]));
});

test('20,000 DISCOVERs a second, in the name of boards that are alive', { timeout: 300_000 }, async (t) => {
  const boardsProgram = new URL('../bench/boot-server/dhcp-load.ts', import.meta.url);
  await permitsLast(t, async () => {
    const flood = await startBoards(rack.network, { program: boardsProgram, args: [String(boards), '20000', '5'] });
    return flood.stdout === null ? undefined : text(flood.stdout);
  });
});

test('after all that the controller is small', async (t) => {
  const status = await readFile(`/proc/${rack.controller.pid}/status`, 'utf8');
  const residentMb = Number(/^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1]) / 1_000;
  t.diagnostic(`${Math.round(residentMb)} MB at most`);
  assert.ok(residentMb < 450, `${residentMb} MB`);
});
