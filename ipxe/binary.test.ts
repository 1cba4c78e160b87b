import assert from 'node:assert/strict';
import { test } from 'node:test';
import { patchForUBoot } from './binary.ts';

const NOP = Buffer.from('1f2003d5', 'hex');
const WFI = Buffer.from('7f2003d5', 'hex');
const YIELD = Buffer.from('3f2003d5', 'hex');

test('patchForUBoot() replaces the one aligned WFI and leaves the rest and its input alone', () => {
  const packaged = Buffer.concat([NOP, NOP, WFI, NOP, Buffer.from('7f20', 'hex')]);
  const before = Buffer.from(packaged);
  assert.deepEqual(patchForUBoot(packaged), Buffer.concat([NOP, NOP, YIELD, NOP, Buffer.from('7f20', 'hex')]));
  assert.deepEqual(packaged, before);
});

test('patchForUBoot() does not take the same bytes off alignment for an instruction', () => {
  const data = Buffer.concat([NOP, Buffer.of(0), WFI, Buffer.of(0, 0, 0), WFI]);
  assert.deepEqual(patchForUBoot(data), Buffer.concat([NOP, Buffer.of(0), WFI, Buffer.of(0, 0, 0), YIELD]));
});

const REFUSED = [
  { name: 'none', data: Buffer.concat([NOP, NOP]), count: 0 },
  { name: 'an empty file', data: Buffer.alloc(0), count: 0 },
  { name: 'two', data: Buffer.concat([WFI, NOP, WFI]), count: 2 },
];
for (const { name, data, count } of REFUSED) {
  test(`patchForUBoot() refuses ${name}`, () => {
    assert.throws(() => patchForUBoot(data), new RegExp(`${count} WFI instructions, want exactly 1$`));
  });
}
