import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Value } from 'typebox/value';
import { checksProblem, filledChecks, intervalOf } from './checks.ts';
import { FilledChecks, type Checks } from './check-schemas.ts';

const filled = (checks: Checks | undefined, more: { port?: number; test?: string[]; intervalMs?: number } = {}) => {
  const { port, test: command, intervalMs } = more;
  const healthcheck =
    command === undefined ? undefined : { test: command, ...(intervalMs !== undefined && { intervalMs }) };
  const found = filledChecks({ checks, port, healthcheck });
  if (found !== undefined) assert.ok(Value.Check(FilledChecks, found), JSON.stringify(found));
  return found;
};

test('what a workload leaves out is its image’s own, else a connection to its port, else nothing', () => {
  assert.equal(filled(undefined), undefined);
  assert.deepEqual(filled(undefined, { port: 80 }), {
    ready: { tcp: { port: 80 }, intervalMs: 2_000, timeoutMs: 1_000, failures: 3, successes: 1 },
  });
  const own = filled(undefined, { port: 80, test: ['CMD-SHELL', 'curl', '-f', 'http://localhost'], intervalMs: 0 });
  assert.deepEqual(own?.ready?.exec, ['/bin/sh', '-c', 'curl -f http://localhost']);
  assert.equal(own?.ready?.intervalMs, 10_000);
  assert.equal(filled(undefined, { test: ['CMD', 'true'], intervalMs: 30_000 })?.ready?.intervalMs, 30_000);
  assert.equal(filled(undefined, { test: ['CMD', 'true'], intervalMs: 1 })?.ready?.intervalMs, 1_000);
  assert.equal(filled(undefined, { port: 80, test: ['NONE'] }), undefined);
  assert.deepEqual(filled(undefined, { port: 80, test: ['CMD'] })?.ready?.tcp, { port: 80 });
});

test('checks that are named replace the defaults, and none is none', () => {
  assert.equal(filled({}, { port: 80 }), undefined);
  const { start, live, ready } =
    filled({ start: { http: { path: '/up' } }, live: { exec: ['true'] } }, { port: 80 }) ?? {};
  assert.equal(ready, undefined);
  assert.deepEqual(start, {
    http: { path: '/up', port: 80 },
    intervalMs: 500,
    timeoutMs: 1_000,
    failures: 60,
    successes: 1,
  });
  assert.deepEqual(live, { exec: ['true'], intervalMs: 10_000, timeoutMs: 5_000, failures: 3, successes: 1 });
});

test('until it has held once a check is asked more often, never more often than a command may', () => {
  const { ready } = filled({ ready: { tcp: {}, intervalMs: 60_000 } }, { port: 80 }) ?? {};
  const { live } = filled({ live: { exec: ['true'] } }) ?? {};
  assert.ok(ready !== undefined && live !== undefined);
  assert.deepEqual([intervalOf(ready, false), intervalOf(ready, true), intervalOf(live, false)], [250, 60_000, 1_000]);
});

test('what no agent could be asked is refused by name', () => {
  const problem = (checks: Checks, port?: number) => checksProblem(checks, port);
  assert.equal(problem({ ready: { tcp: {} } }, 80), undefined);
  assert.match(problem({ ready: { tcp: {} } }) ?? '', /^check ready names no port and the workload has none/);
  assert.match(problem({ live: {} }) ?? '', /^check live names 0 of http, tcp and exec, want one/);
  assert.match(problem({ live: { tcp: { port: 1 }, exec: ['a'] } }) ?? '', /names 2 of/);
  assert.match(problem({ start: { exec: ['a'], intervalMs: 500 } }) ?? '', /every 500 ms, want 1000 ms at least/);
  assert.match(problem({ start: { exec: ['a\0'] } }) ?? '', /zero byte/);
});
