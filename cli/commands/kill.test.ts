// `muster kill` and `muster lift` against a small peer over real HTTP.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { approval, muster, peer } from './peer.fixture.ts';

test('muster kill counts until all are stopped, exit code 0', async () => {
  const kill = [
    {},
    { stopped: 1, slowestMs: 90, unacknowledged: ['node-b'] },
    { stopped: 2, slowestMs: 143, unacknowledged: [] },
  ];
  await using there = await peer({ kill });
  const { code, out, err } = await muster('kill acme', there);
  assert.equal(code, 0);
  assert.equal(err, '0/2 stopped\n1/2 stopped, slowest 90 ms\n2/2 stopped, slowest 143 ms\n');
  assert.equal(
    out,
    'order 3 stands: acme may not run\n2/2 stopped, slowest 143 ms; it stays so until: muster lift acme\n',
  );
});

test('muster kill without a controller says what nodes do by themselves, and what to do', async () => {
  const { code, err } = await muster('kill acme', { url: 'http://127.0.0.1:9' });
  assert.equal(code, 1);
  assert.match(err, /^muster: cannot reach a controller at .*\nNO ORDER WAS GIVEN\.\n/);
  assert.match(
    err,
    /a permit ends 3\.0 s after the node asked for it\..*\n.* 4\.5 s after .*; customers that hold\non silence go on\./,
  );
  assert.match(err, /What to do, in this order:\n +1\. /);
  const json = await muster('kill acme --json', { url: 'http://127.0.0.1:9' });
  assert.equal(JSON.parse(json.err).code, 'unreachable');
});

test('muster kill with --json what did not stop is an error in JSON beside the order', async () => {
  await using there = await peer({ kill: [{ stopped: 1, slowestMs: 90, unacknowledged: ['node-b'] }] });
  let clockMs = 0;
  const clock = { monotonic: () => clockMs, sleep: (ms: number) => Promise.resolve(void (clockMs += ms)) };
  const { code, out, err } = await muster('kill acme --json', { ...there, ...clock });
  assert.deepEqual([code, JSON.parse(out).unacknowledged, JSON.parse(err).code], [1, ['node-b'], 'unacknowledged']);
});

test('muster kill says what no bound holds for', async () => {
  await using there = await peer({ kill: [{ stopped: 2, slowestMs: 143, unacknowledged: [], holding: ['acme'] }] });
  const { out } = await muster('kill show 3', there);
  assert.match(out, /hold on silence: acme; on a node that hears no controller they run on, and no bound holds/);
});

test('muster kill of everything, and a lift, say that they wait for a second operator, and how, with exit code 3', async () => {
  await using there = await peer({ waits: true, kill: [{ stopped: 2, slowestMs: 5, unacknowledged: [] }] });
  const asked = await muster('kill --everything', there);
  assert.equal(asked.code, 3);
  assert.match(asked.out, /^everything is NOT stopped yet: .*second operator, until .* UTC\.\n.*muster approve 7\n$/);
  assert.equal((await muster('kill acme', there)).code, 0);
  const lift = await muster('lift acme', there);
  assert.equal(lift.code, 3);
  assert.match(lift.out, /NOT lifted yet.*\n.*muster approve 7\n$/);
  const json = await muster('lift acme --json', there);
  assert.deepEqual([json.code, JSON.parse(json.out).expiresAt], [3, approval.expiresAt]);
  const approved = await muster('approve 7', there);
  assert.equal(approved.code, 0, approved.err);
  assert.match(approved.out, /2\/2 stopped, slowest 5 ms/);
});

test('muster kill rewrites one line on a terminal', async () => {
  await using there = await peer({ kill: [{ stopped: 2, slowestMs: 143, unacknowledged: [] }] });
  const { err } = await muster('kill acme', { ...there, tty: true });
  assert.equal(err, '\r\u001b[K0/2 stopped\r\u001b[K2/2 stopped, slowest 143 ms\n');
});

test('muster kill names those that have not acknowledged after 5 s, exit code 1', async () => {
  await using there = await peer({ kill: [{ stopped: 1, slowestMs: 90, unacknowledged: ['node-b'] }] });
  let clockMs = 0;
  const clock = { monotonic: () => clockMs, sleep: (ms: number) => Promise.resolve(void (clockMs += ms)) };
  const { code, err } = await muster('kill acme', { ...there, ...clock });
  assert.equal(code, 1);
  assert.equal(clockMs, 5_000);
  assert.match(
    err,
    /1\/2 stopped, slowest 90 ms after 5\.0 s; unacknowledged: node-b\norder 3 stands and is still being enforced/,
  );
});

test('muster kill is no success when the last came too late', async () => {
  await using there = await peer({ kill: [{ stopped: 2, slowestMs: 5001, unacknowledged: [] }] });
  const { code, err } = await muster('kill acme', there);
  assert.equal(code, 1);
  assert.match(err, /later than the 5\.0 s/);
});

test('muster kill: interrupted, says that the order stands', async () => {
  await using there = await peer();
  const stop = new AbortController();
  const running = muster('kill acme', { ...there, signal: stop.signal });
  while (there.requests.length < 3) await sleep(5);
  stop.abort();
  const { code, err } = await running;
  assert.equal(code, 130);
  assert.match(err, /order 3 stands and is still being enforced/);
});
