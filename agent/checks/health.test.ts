import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { CheckName } from '../../protocol/workload/checks.ts';
import type { FilledCheck } from '../../protocol/workload/check-schemas.ts';
import { afterCheck, askedNow, newHealth, type Health } from './health.ts';

const check: FilledCheck = { tcp: { port: 80 }, intervalMs: 2_000, timeoutMs: 1_000, failures: 2, successes: 1 };

/** `ready-` is a ready check that does not hold, `start+` a start check that does. */
function told(health: Health, story: string): Health {
  return story.split(' ').reduce((now, word) => {
    const name = word.slice(0, -1) as CheckName;
    return afterCheck(now, { name, failure: word.endsWith('-') ? 'nothing listens there' : undefined });
  }, health);
}

const why = 'a connection to port 80: nothing listens there';

test('ready needs its check to hold, and enough failures in a row to be lost', () => {
  const begun = newHealth({ ready: check });
  assert.deepEqual([begun.ready, begun.reason], [false, 'waits for its first check']);
  const unready = told(begun, 'ready-');
  assert.deepEqual([unready.ready, unready.reason], [false, why]);
  const ready = told(unready, 'ready+');
  assert.deepEqual([ready.ready, ready.reason], [true, '']);
  assert.equal(told(ready, 'ready- ready+ ready-').ready, true);
  const lost = told(ready, 'ready- ready-');
  assert.deepEqual([lost.ready, lost.reason, lost.restart], [false, why, undefined]);
});

test('so many successes in a row as are asked for', () => {
  const begun = newHealth({ ready: { ...check, successes: 3 } });
  assert.equal(told(begun, 'ready+ ready+ ready- ready+ ready+').ready, false);
  assert.equal(told(begun, 'ready+ ready+ ready+').ready, true);
});

test('until it has started nothing else is asked, and one that does not start in time is restarted', () => {
  const begun = newHealth({ start: check, ready: check, live: check });
  assert.deepEqual(askedNow(begun), ['start']);
  const early = told(begun, 'live- live- live- ready+');
  assert.deepEqual([early.restart, early.ready], [undefined, false]);
  const started = told(begun, 'start- start+');
  assert.deepEqual([started.started, started.ready, askedNow(started)], [true, false, ['ready', 'live']]);
  const never = told(begun, 'start- start-');
  assert.equal(never.restart, `did not start in time: ${why}`);
  assert.deepEqual(askedNow(never), []);
});

test('one that is not live any more is restarted, once', () => {
  const begun = newHealth({ live: check });
  assert.equal(begun.ready, true);
  assert.equal(told(begun, 'live-').restart, undefined);
  const dead = told(begun, 'live- live+ live- live-');
  assert.deepEqual([dead.restart, dead.ready], [`is not live any more: ${why}`, false]);
  assert.equal(told(dead, 'live+'), dead);
});

test('what ran before the agent did stays as it was until a check says otherwise', () => {
  const adopted = newHealth({ start: check, ready: check }, { adopted: true });
  assert.deepEqual([adopted.ready, askedNow(adopted)], [true, ['ready']]);
  assert.equal(told(adopted, 'ready-').ready, true);
  assert.equal(told(adopted, 'ready- ready-').ready, false);
});
