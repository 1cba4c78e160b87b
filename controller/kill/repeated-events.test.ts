import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { startRepeatedEvents } from './repeated-events.ts';

function told(t: TestContext) {
  t.mock.timers.enable({ apis: ['setTimeout', 'Date'] });
  const messages: string[] = [];
  const events = startRepeatedEvents({
    tell: (subject, message) => messages.push(`${subject}: ${message}`),
    now: Date.now,
  });
  const note = (kind: string) => events.note({ kind, subject: 'node', message: `refused ${kind}` });
  return { messages, note };
}

test('a thousand of one kind are one event at once, and their number a minute later', (t) => {
  const { messages, note } = told(t);
  for (let i = 0; i < 1_000; i++) note('a');
  note('b');
  assert.deepEqual(messages, ['node: refused a', 'node: refused b']);
  t.mock.timers.tick(60_000);
  assert.deepEqual(messages.slice(2), ['node: refused a (and 999 more times within a minute)']);
  note('a');
  assert.equal(messages.length, 4);
});

test('a thousand kinds are told of together beyond the first', (t) => {
  const { messages, note } = told(t);
  for (let i = 0; i < 1_000; i++) note(`kind ${i}`);
  assert.ok(messages.length < 70, `${messages.length} events`);
  t.mock.timers.tick(60_000);
  assert.match(messages.at(-1) ?? '', /and 9\d\d more times/);
});
