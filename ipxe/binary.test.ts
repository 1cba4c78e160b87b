import assert from 'node:assert/strict';
import { test } from 'node:test';
import { patchForUBoot } from './binary.ts';

const nop = Buffer.from('1f2003d5', 'hex');
const wfi = Buffer.from('7f2003d5', 'hex');
const yieldHint = Buffer.from('3f2003d5', 'hex');

test('patchForUBoot() replaces the one aligned WFI and leaves the rest and its input alone', () => {
  const packaged = Buffer.concat([nop, nop, wfi, nop, Buffer.from('7f20', 'hex')]);
  const before = Buffer.from(packaged);
  assert.deepEqual(patchForUBoot(packaged), Buffer.concat([nop, nop, yieldHint, nop, Buffer.from('7f20', 'hex')]));
  assert.deepEqual(packaged, before);
});

test('patchForUBoot() does not take the same bytes off alignment for an instruction', () => {
  const data = Buffer.concat([nop, Buffer.of(0), wfi, Buffer.of(0, 0, 0), wfi]);
  assert.deepEqual(patchForUBoot(data), Buffer.concat([nop, Buffer.of(0), wfi, Buffer.of(0, 0, 0), yieldHint]));
});

const refused = [
  { name: 'none', data: Buffer.concat([nop, nop]), count: 0 },
  { name: 'an empty file', data: Buffer.alloc(0), count: 0 },
  { name: 'two', data: Buffer.concat([wfi, nop, wfi]), count: 2 },
];
for (const { name, data, count } of refused) {
  test(`patchForUBoot() refuses ${name}`, () => {
    assert.throws(() => patchForUBoot(data), new RegExp(`${count} WFI instructions, want exactly 1$`));
  });
}
