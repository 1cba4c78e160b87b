// The real leash, run by busybox as on a node, and the agent's end of it, for names of every length and kind that a
// customer may have. Run by `leash.root.test.ts` in namespaces of its own.
import assert from 'node:assert/strict';
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setImmediate as nextTurn, setTimeout as pause } from 'node:timers/promises';
import { leashChunks, writeLeash } from '../../agent/roll-call/leash.ts';
import { isCustomerName } from '../../protocol/names.ts';
import { until } from '../../test/until.ts';
import { spawnLeash } from './leash.fixture.ts';

const groups = '/sys/fs/cgroup/customers';
const fifo = '/run/leash/fifo';
/** A sweep is due each 0.25 s, on a machine that does nothing else. */
const permitMs = 3_000;

const longest = 12;
const upTo = (most: number) => Array.from({ length: most }, (_, index) => index + 1);
/** Of each length: letters, digits, underscores, and names that shorter ones of the list begin or end with. */
const names = [
  ...new Set([
    ...'abcdefghijklmnopqrstuvwxyz'.split(''),
    ...upTo(longest).flatMap((length) => [
      'x'.repeat(length),
      'q'.padEnd(length, '1234567890'),
      'u'.padEnd(length, '_'),
      'e'.padEnd(length, '_0'),
    ]),
    // What leash and hand call things of their own.
    ...'now deadline killed looks lift customer first line looked share stuck orders order lines pause gap'.split(' '),
    ...'dir groups group wanted pid stat started hurries uptime flags path ifs deadline_x killed_x looks_x'.split(' '),
  ]),
];

let leash: ChildProcess;
let hand: ChildProcess;
const processes = new Map<string, ChildProcess>();
/** Vouched for again and again, as the agent does it with each permit. */
let vouched: string[] = [];
let keeper: NodeJS.Timeout;

function vouch(): void {
  const nowMs = performance.now();
  const uptimeSeconds = Number(readFileSync('/proc/uptime', 'utf8').split(' ')[0]);
  const vouches = vouched.map((customer) => ({ customer, untilMs: nowMs + permitMs }));
  assert.equal(writeLeash(fifo, leashChunks(vouches, { nowMs, uptimeSeconds })), undefined);
}

function isAlive(name: string): boolean {
  return processes.get(name)?.exitCode === null && processes.get(name)?.signalCode === null;
}

/** It waits for a word that never comes. */
function begin(): ChildProcess {
  return spawn('cat', { stdio: ['pipe', 'ignore', 'inherit'] });
}

/** `left`: those of whom it is not true yet. */
function untilNone(what: string, left: () => string[]): Promise<void> {
  return until(what, () => left().length === 0, { detail: () => left().join(' ') });
}

before(async () => {
  mkdirSync(groups);
  mkdirSync('/run/leash');
  execFileSync('mkfifo', [fifo, '/run/leash/hand']);
  for (const name of names) {
    assert.ok(isCustomerName(name), name);
    mkdirSync(join(groups, name));
  }
  ({ leash, hand } = spawnLeash('inherit'));
  await untilNone('the leash is up', () => (log().includes('leash up') ? [] : ['the leash']));
  vouched = [...names];
  vouch();
  keeper = setInterval(vouch, 500);
});
after(() => {
  clearInterval(keeper);
  leash.kill('SIGKILL');
  hand.kill('SIGKILL');
  for (const child of processes.values()) child.kill('SIGKILL');
});

function log(): string {
  return existsSync('/run/leash/log') ? readFileSync('/run/leash/log', 'utf8') : '';
}

/** Whether the last that the leash said of it was that it killed it. */
function isKilled(name: string): boolean {
  return (
    log()
      .split('\n')
      .findLast((line) => [`${name} killed`, `${name} vouched for`].includes(line.split(' ').slice(1).join(' ')))
      ?.endsWith(' killed') === true
  );
}

test(`${names.length} customers with names of 1 to ${longest} characters run while they are vouched for`, async () => {
  for (const length of upTo(longest)) assert.ok(names.filter((name) => name.length === length).length >= 4);
  // Its first sweep comes with the first line, and kills the rest: they are empty yet, and vouched for a moment later.
  await untilNone('all are vouched for', () => names.filter(isKilled));
  for (const name of names) {
    const child = begin();
    processes.set(name, child);
    writeFileSync(join(groups, name, 'cgroup.procs'), String(child.pid));
    // So many starts take a busy machine seconds: they are vouched for meanwhile.
    await nextTurn();
  }
  // Longer than one permit: what runs then runs because each line is read as its customer's.
  await pause(permitMs + 500);
  assert.deepEqual(
    names.filter((name) => !isAlive(name) || isKilled(name)),
    [],
    log(),
  );
});

test('one that is no longer vouched for is killed, and those beside it run on', async () => {
  const condemned = names.filter((_, index) => index % 2 === 1);
  vouched = names.filter((_, index) => index % 2 === 0);
  await untilNone('all of them are killed', () => condemned.filter(isAlive));
  assert.deepEqual(
    vouched.filter((name) => !isAlive(name)),
    [],
    log(),
  );
  // And at once, with a deadline of 0, as the agent writes it of a customer that a permit does not list.
  const rest = vouched;
  vouched = [];
  const vouches = rest.map((customer) => ({ customer, untilMs: 0 }));
  assert.equal(writeLeash(fifo, leashChunks(vouches, { nowMs: performance.now(), uptimeSeconds: 1 })), undefined);
  await untilNone('nobody is left', () => rest.filter(isAlive));
});

test('while its hand hangs, the leash kills by the list of first processes, and nobody who has got their number', async () => {
  hand.kill('SIGSTOP');
  const [mine, other] = [begin(), begin()];
  const startOf = ({ pid }: ChildProcess) => {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
  };
  mkdirSync('/run/leash/first/x', { recursive: true });
  writeFileSync('/run/leash/first/x/web-00000001', `${mine.pid} ${startOf(mine)}\n`);
  writeFileSync('/run/leash/first/x/web-00000002', `${other.pid} ${Number(startOf(other)) - 1}\n`);
  writeFileSync('/run/leash/first/x/web-00000003', '');
  processes.set('x', mine).set('other', other);
  for (const { pid } of [mine, other]) writeFileSync(join(groups, 'x/cgroup.procs'), String(pid));
  await untilNone('the first process is killed', () => ['x'].filter(isAlive));
  // The other one stays, so the leash has looked many times.
  await untilNone('it counts a customer that outlives its kill', () =>
    log().includes('x outlives its kill') ? [] : ['x'],
  );
  assert.equal(isAlive('other'), true);
  hand.kill('SIGCONT');
  await untilNone('the hand kills the group', () => ['other'].filter(isAlive));
});
