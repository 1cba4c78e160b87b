import assert from 'node:assert/strict';
import { test } from 'node:test';
import { connectionBudget, leastOpenFiles, openFilesLimit } from './descriptors.ts';

for (const openFiles of [leastOpenFiles, 300, 1_024, 4_096, 8_000, 1_048_576, Infinity]) {
  test(`of ${openFiles} open files, connections and the images that agents fetch leave a reserve`, () => {
    const { operators, agents, boot } = connectionBudget(openFiles);
    assert.ok(operators + 2 * agents + boot <= openFiles - 160);
    assert.ok(operators >= 16 && agents >= 16 && boot >= 16, JSON.stringify({ operators, agents, boot }));
  });
}

test('the limit is read as the kernel tells it, and one that is too small is refused', () => {
  const limits = (soft: string) =>
    `Limit  Soft Limit  Hard Limit  Units\nMax open files            ${soft}  4096  files\n`;
  assert.equal(openFilesLimit(limits('1024')), 1024);
  assert.equal(openFilesLimit(limits('unlimited')), Infinity);
  assert.throws(() => openFilesLimit(limits('64')), /cannot start with 64 open files, want at least 256/);
  assert.throws(() => openFilesLimit(''), /unknown number/);
  assert.ok(openFilesLimit() >= leastOpenFiles);
});
