import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hashOf, viewOf, type View } from './view-address.ts';

const nothing: View = { node: undefined, find: '', only: undefined, events: '', order: undefined };

for (const [hash, view] of [
  ['', nothing],
  ['#node=02:00:00:c2:00:05', { ...nothing, node: '02:00:00:c2:00:05' }],
  ['#find=a+%26b%23&only=lost', { ...nothing, find: 'a &b#', only: 'lost' }],
  ['#events=kill+order&order=12', { ...nothing, events: 'kill order', order: 12 }],
] as const) {
  test(`the address "${hash}" is a view, and the view that address`, () => {
    assert.deepEqual(viewOf(hash), view);
    assert.equal(hashOf(view), hash);
  });
}

for (const hash of [
  '#rack-part',
  '#node=<b>',
  '#only=toString',
  '#order=0',
  '#order=1e9',
  '#order=-1',
  '#%E0%A4%A',
  '#&&=',
]) {
  test(`the address "${hash}" shows the page as it opens`, () => assert.deepEqual(viewOf(hash), nothing));
}

test('no text of an address is longer than a person would write', () =>
  assert.equal(viewOf(`#find=${'x'.repeat(5_000)}`).find.length, 100));
