import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hasLabels, labelsOf, labelsText, patchedLabels } from './labels.ts';

test('what a board is counts as labels, and nobody sets those', () => {
  const facts = { model: 'Hardkernel ODROID-C2', cores: 4 };
  assert.deepEqual(labelsOf({ name: 'node-1', facts, labels: { zone: 'a' } }), {
    zone: 'a',
    node: 'node-1',
    model: 'Hardkernel ODROID-C2',
    cores: '4',
  });
  assert.deepEqual(labelsOf({ name: 'node-1', facts: null }), { node: 'node-1' });
  assert.deepEqual(patchedLabels({}, { model: 'x' }), {
    refused: 'label model follows from the board itself: want another name',
  });
});

test('labels are set and taken away one by one, and are few', () => {
  assert.deepEqual(patchedLabels({ a: '1', b: '2' }, { b: null, refused: 'x' }), { labels: { a: '1', refused: 'x' } });
  const many = Object.fromEntries(Array.from({ length: 17 }, (_, i) => [`l${i}`, 'x']));
  assert.deepEqual(patchedLabels({}, many), { refused: 'it would have 17 labels, want at most 16' });
});

test('all that are wanted must be there', () => {
  assert.ok(hasLabels({ a: '1', b: '2' }, {}));
  assert.ok(hasLabels({ a: '1', b: '2' }, { b: '2' }));
  assert.ok(!hasLabels({ a: '1' }, { a: '1', constructor: 'x' }));
  assert.equal(labelsText({ b: '2', a: '1' }), 'a=1, b=2');
});
