import assert from 'node:assert/strict';
import { test } from 'node:test';
import { neighbour } from './neighbour.ts';

/** Rows of four, but for a hole at the second place of the second row, which is no cell. */
const places = [0, 1, 2, 3, 4, 6, 7, 8, 9].map((slot) => ({
  offsetTop: Math.floor(slot / 4) * 20,
  offsetLeft: (slot % 4) * 30,
}));

for (const { key, at, leads } of [
  { key: 'ArrowLeft', at: 0, leads: undefined },
  { key: 'ArrowLeft', at: 4, leads: 3 },
  { key: 'ArrowRight', at: 8, leads: undefined },
  { key: 'ArrowDown', at: 0, leads: 4 },
  { key: 'ArrowDown', at: 3, leads: 6 },
  { key: 'ArrowDown', at: 6, leads: 8 },
  { key: 'ArrowDown', at: 7, leads: undefined },
  { key: 'ArrowUp', at: 5, leads: 2 },
  { key: 'ArrowUp', at: 1, leads: undefined },
  { key: 'PageDown', at: 1, leads: 8 },
  { key: 'PageUp', at: 8, leads: 1 },
  { key: 'Home', at: 5, leads: 0 },
  { key: 'End', at: 5, leads: 8 },
  { key: 'a', at: 5, leads: undefined },
])
  test(`${key} leads from cell ${at} to ${leads ?? 'nowhere'}`, () =>
    assert.equal(neighbour(key, { places, at }), leads));
