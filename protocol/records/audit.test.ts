import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import type { AuditEntry } from '../api/audit.ts';
import { auditHash, ChainCheck, chainStart } from './audit.ts';

function chain(length: number): AuditEntry[] {
  const entries: AuditEntry[] = [];
  for (let sequence = 1; sequence <= length; sequence++) {
    const previous = entries.at(-1)?.hash ?? chainStart;
    const entry = {
      sequence,
      at: 1_800_000_000_000,
      kind: 'drill' as const,
      subject: 'ä',
      body: '{"a":"\\n"}',
      previous,
    };
    entries.push({ ...entry, hash: auditHash(entry) });
  }
  return entries;
}

function problemsOf(entries: AuditEntry[]): string[] {
  const check = new ChainCheck();
  return entries.flatMap((entry) => check.add(entry));
}

test('the hash is the documented one', () => {
  const [entry] = chain(1);
  const text = `${'0'.repeat(64)}\n[1,1800000000000,"drill","ä","{\\"a\\":\\"\\\\n\\"}"]`;
  assert.equal(entry?.hash, createHash('sha256').update(text, 'utf8').digest('hex'));
});

test('a chain is whole, or each fault of it gets one sentence', () => {
  const good = chain(5);
  const [, second, third] = good;
  assert.ok(second && third);
  assert.deepEqual(problemsOf(good), []);
  const table: [(entries: AuditEntry[]) => AuditEntry[], RegExp[]][] = [
    [
      (all) => all.with(2, { ...third, body: '{}' }),
      [/^entry 3 was changed: its hash is .{12}…, its text gives .{12}…$/],
    ],
    [(all) => all.toSpliced(1, 1), [/^entry 2 is missing$/]],
    [(all) => all.toSpliced(1, 2), [/^entries 2 to 3 are missing$/]],
    [
      (all) => all.toSpliced(3, 0, second),
      [/^entry 2 comes after entry 3$/, /^entries 3 to 3 are missing$|^entry 3 is missing$/],
    ],
    [
      (all) => {
        const forged = { ...second, body: '{}' };
        return all.with(1, { ...forged, hash: auditHash(forged) });
      },
      [/^entry 3 does not follow the one before it: it names .{12}…, want .{12}…$/],
    ],
  ];
  for (const [change, wanted] of table) {
    const problems = problemsOf(change(good));
    assert.equal(problems.length, wanted.length, problems.join('\n'));
    for (const [i, pattern] of wanted.entries()) assert.match(problems[i] ?? '', pattern);
  }
});
