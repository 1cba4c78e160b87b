import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LogQueue } from './log-queue.ts';

test('an instance that floods loses its own lines only, and is told how many', () => {
  const queue = new LogQueue(0);
  for (let n = 0; n < 600; n++) queue.push({ at: n, instance: 'loud', stream: 'stdout', text: String(n) });
  assert.equal(queue.hasRoom('loud'), false);
  assert.equal(queue.hasRoom('quiet'), true);
  queue.push({ at: 1, instance: 'quiet', stream: 'stdout', text: 'heard' });
  queue.lose('loud', { bytes: 7, at: 1 });
  const taken = queue.take(10_000, 5);
  assert.equal(taken.filter(({ instance, stream }) => instance === 'loud' && stream === 'stdout').length, 500);
  assert.ok(taken.some(({ text }) => text === 'heard'));
  assert.equal(taken.at(-1)?.text, '100 lines and 7 bytes dropped: it prints faster than the node passes on');
  assert.deepEqual(queue.take(10, 6), []);
  assert.equal(queue.hasRoom('loud'), true);
});

test('the reason of a loss is the true one', () => {
  const queue = new LogQueue(0);
  for (let n = 0; n < 2_000; n++) queue.push({ at: 1, instance: `loud-${n % 5}`, stream: 'stdout', text: '' });
  queue.push({ at: 2, instance: 'loud-0', stream: 'stdout', text: '' });
  for (let n = 0; n < 3; n++) queue.push({ at: 3, instance: 'quiet', stream: 'stdout', text: `quiet ${n}` });
  queue.push({ at: 7_000, instance: 'quiet', stream: 'stderr', text: '' });
  const told = queue.take(10_000, 8_000).filter(({ stream, instance }) => stream === 'muster' || instance === 'quiet');
  assert.deepEqual(
    told.map(({ instance, text }) => `${instance}: ${text}`),
    [
      'quiet: quiet 0',
      'quiet: quiet 1',
      'loud-0: 1 line dropped: the instances of this node print more than it passes on',
      'quiet: 1 line dropped: the instances of this node print more than it passes on; ' +
        '1 line dropped: the controller took no lines meanwhile',
    ],
  );
});

test('the last lines of an instance find room beyond the bounds', () => {
  const queue = new LogQueue(0);
  for (let n = 0; n < 500; n++) queue.push({ at: 1, instance: 'loud', stream: 'stdout', text: '' });
  for (let n = 0; n < 60; n++) queue.push({ at: 1, instance: 'loud', stream: 'stderr', text: 'why' }, 50);
  assert.equal(queue.take(1_000, 1).filter(({ text }) => text === 'why').length, 50);
});
