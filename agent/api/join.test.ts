import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join as joinPath } from 'node:path';
import { test, type TestContext } from 'node:test';
import { backoffMs } from '../backoff.ts';
import { controllerClient } from './controller-client.ts';
import { until } from '../../test/until.ts';
import { controllerPeer } from './controller-peer.fixture.ts';
import { join, loadSession, saveSession, type Identity, type JoinOptions } from './join.ts';

const identity: Identity = {
  mac: '02:00:00:c2:00:01',
  bootId: 'boot-1',
  serial: null,
  agentVersion: '0.1.0',
  sshHostKey: null,
};
const facts = { model: 'board', cpu: 'A53', cores: 4, memoryBytes: 2e9, kernel: '6.12', interfaces: [] };
const answer = { name: 'node-1', session: '1'.repeat(32), key: '2'.repeat(64) };

async function knocking(t: TestContext, change: Partial<JoinOptions> = {}) {
  const peer = await controllerPeer();
  const client = controllerClient({ api: peer.api, fingerprint: peer.fingerprint });
  const lines: string[] = [];
  const [token] = peer.tokens;
  t.after(async () => {
    client[Symbol.dispose]();
    await peer[Symbol.asyncDispose]();
  });
  const options: JoinOptions = {
    client,
    identity,
    facts,
    saved: undefined,
    token,
    permitted: () => 0,
    reboot: (why) => lines.push(`reboot: ${why}`),
    log: (text) => lines.push(text),
    nowMs: () => performance.now(),
    random: () => 0,
    signal: AbortSignal.timeout(20_000),
    ...change,
  };
  return { peer, options, lines };
}

test('a token buys a session, once', async (t) => {
  const { peer, options } = await knocking(t);
  const joined = await join(options);
  assert.equal(peer.keys.get(joined.session)?.toString('hex'), joined.key);
  assert.deepEqual(peer.joins[0], { ...identity, facts, token: options.token });
  const ended = new AbortController();
  const again = join({ ...options, signal: ended.signal });
  await until('a second attempt', () => peer.joins.length > 1);
  ended.abort();
  await assert.rejects(again, /abort/i);
});

test('a session of this boot is proven, without the token', async (t) => {
  const { peer, options } = await knocking(t);
  const first = await join(options);
  assert.deepEqual(await join({ ...options, saved: first }), first);
  assert.equal(peer.joins[1]?.token, undefined);
});

test('a controller that lost the session takes a token in its place', async (t) => {
  const { peer, options } = await knocking(t, { saved: answer });
  const joined = await join(options);
  assert.notEqual(joined.session, answer.session);
  assert.equal(peer.joins.length, 2);
});

test('a failing controller is asked again until it is well', async (t) => {
  const { peer, options, lines } = await knocking(t);
  peer.failures.set('/v1/join', 503);
  const joining = join(options);
  await until('a line', () => lines.length > 0);
  assert.match(lines[0] ?? '', /status 503/);
  peer.failures.clear();
  assert.equal((await joining).name, 'node-peer');
});

test('a minute of refusals reboots, but not while somebody is permitted here', async (t) => {
  let nowMs = 0;
  let permitted = 1;
  const ended = new AbortController();
  const { peer, options, lines } = await knocking(t, {
    token: 'd'.repeat(64),
    nowMs: () => (nowMs += 30_000),
    permitted: () => permitted,
    signal: ended.signal,
  });
  const joining = join(options);
  await until('3 attempts', () => peer.joins.length >= 4);
  assert.ok(!lines.some((text) => text.startsWith('reboot')));
  permitted = 0;
  await until('reboot', () => lines.some((text) => text.startsWith('reboot: refused for')));
  ended.abort();
  await assert.rejects(joining);
});

test('an unreachable controller is no refusal', async (t) => {
  const ended = new AbortController();
  let nowMs = 0;
  const client = controllerClient({ api: { host: '127.0.0.1', port: 9 }, fingerprint: 'a'.repeat(64) });
  const { options, lines } = await knocking(t, { client, nowMs: () => (nowMs += 60_000), signal: ended.signal });
  let asked = 0;
  const joining = join({ ...options, random: () => ((asked += 1), 0) });
  await until('3 attempts', () => asked >= 3);
  ended.abort();
  await assert.rejects(joining);
  assert.ok(!lines.some((text) => text.startsWith('reboot')));
});

test('a session is kept for root alone, and only for this boot and board', (t) => {
  const dir = mkdtempSync(joinPath(tmpdir(), 'muster-session-'));
  t.after(() => rmSync(dir, { recursive: true }));
  assert.equal(loadSession(dir, identity), undefined);
  const saved = { mac: identity.mac, bootId: identity.bootId, answer, facts };
  saveSession(dir, saved);
  assert.equal(statSync(joinPath(dir, 'session.json')).mode & 0o777, 0o600);
  assert.deepEqual(loadSession(dir, identity), saved);
  assert.equal(loadSession(dir, { ...identity, bootId: 'boot-2' }), undefined);
  assert.equal(loadSession(dir, { ...identity, mac: '02:00:00:c2:00:02' }), undefined);
  for (const torn of ['', '{', '[]', '{"mac":1}']) {
    writeFileSync(joinPath(dir, 'session.json'), torn);
    assert.equal(loadSession(dir, identity), undefined);
  }
});

test('waits double up to the most, each between half and the whole', () => {
  const waits = [0, 1, 2, 3, 100, 1e9].map((attempt) =>
    backoffMs(attempt, { firstMs: 500, mostMs: 3_000, random: () => 1 }),
  );
  assert.deepEqual(waits, [500, 1_000, 2_000, 3_000, 3_000, 3_000]);
  assert.equal(backoffMs(1, { firstMs: 500, mostMs: 3_000, random: () => 0 }), 500);
});
