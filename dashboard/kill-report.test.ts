// The page, kept as it should look. `UPDATE_GOLDEN=1 node --test dashboard/kill-report.test.ts` writes it anew.
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { facts, hostile, order } from '../protocol/records/kill-report.fixture.ts';
import { killReportHtml } from './kill-report.ts';

const golden = new URL('kill-report.golden.txt', import.meta.url);

test('the page is as it was', () => {
  const page = killReportHtml(facts);
  if (process.env['UPDATE_GOLDEN'] === '1') writeFileSync(golden, page);
  assert.equal(page, readFileSync(golden, 'utf8'));
});

test('nothing that came from outside gets through as markup', () => {
  const page = killReportHtml(facts);
  const scope = killReportHtml({ ...facts, order: { ...order, scope: hostile, by: hostile, holding: [hostile] } });
  for (const text of [page, scope]) {
    for (const bad of ['<script', '\u001b', '\u0000']) assert.ok(!text.includes(bad), bad);
    assert.doesNotMatch(text.replaceAll(/&(amp|lt|gt|quot|#39);/g, ''), /&/);
    assert.doesNotMatch(text, /(src|href|url)\s*[=(]/i, 'nothing to fetch');
  }
});
