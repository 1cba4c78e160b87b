// Boards that are hostile over SSH, many of each kind at once, as an emergency stop meets them. (Needs no root, but a
// processor's time.)
import assert from 'node:assert/strict';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { newSshKeys } from '../credentials.ts';
import { stopBySsh } from './emergency-stop.ts';
import { hostilities, startHostileBoards } from './hostile-board.fixture.ts';
import { createNodeShell } from './node-shell.ts';

const mac = '02:00:00:c2:00:01';
const ours = newSshKeys();
/** Together seven times as many as the escalation has sessions at once. */
const boardsOfEach = 4;
/** Five and a half seconds by the limits of a stop, and what a busy machine adds. */
const patienceMs = 30_000;

test('hostile boards stop nothing, keep no connection, and take no time from permits', async (t) => {
  await using boards = await startHostileBoards();
  const delay = monitorEventLoopDelay({ resolution: 5 });
  const before = process.threadCpuUsage();
  delay.enable();
  const startMs = performance.now();
  const shell = createNodeShell(ours.private, { port: boards.port });
  const answers = await Promise.all(
    hostilities.map(async (hostility) => {
      const ends = await Promise.allSettled(
        Array.from({ length: boardsOfEach }, (_, index) =>
          stopBySsh(shell, {
            node: { mac, ip: boards.addressOf(hostility, index), hostKey: boards.hostKey },
            scopes: ['acme'],
          }),
        ),
      );
      return { hostility, ends };
    }),
  );
  const tookMs = performance.now() - startMs;
  delay.disable();
  const { user, system } = process.threadCpuUsage(before);
  const sessions = boardsOfEach * hostilities.length;
  const cpuMs = (user + system) / 1_000;
  t.diagnostic(
    `${sessions} hostile sessions in ${(tookMs / 1_000).toFixed(1)} s: ${cpuMs.toFixed(0)} ms of processor time in the ` +
      `process of the permits, which was late by ${(delay.max / 1e6).toFixed(0)} ms at most`,
  );
  for (const { hostility, ends } of answers)
    for (const end of ends) {
      assert.equal(end.status, 'rejected', `${hostility}: ${JSON.stringify(end)}`);
      const message = end.reason instanceof Error ? end.reason.message : '';
      assert.match(message, /^cannot reach 02:.* by SSH: .|^the board could not stop anything: .|outlive their kill/);
      assert.ok(message.length < 500 && !message.includes('the process of'), `${hostility}: ${message}`);
    }
  assert.ok(tookMs < patienceMs, `${tookMs} ms`);
  // Of processor time, so that it holds on a busy machine: what the sessions themselves cost was many times this.
  assert.ok(cpuMs < 4 * sessions, `${cpuMs} ms for ${sessions} sessions`);
  const deadlineMs = performance.now() + patienceMs;
  while (boards.connections() > 0) {
    assert.ok(performance.now() < deadlineMs, `${boards.connections()} connections are still open`);
    await pause(50);
  }
});
