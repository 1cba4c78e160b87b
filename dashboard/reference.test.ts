import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { referenceHtml } from './reference.ts';

test('the page has each route, schema and problem of our document, and every link in it leads somewhere', () => {
  const document: { paths: Record<string, Record<string, { operationId: string }>> } = JSON.parse(
    readFileSync(new URL('../docs/openapi.json', import.meta.url), 'utf8'),
  );
  const page = referenceHtml(document);
  const ids = new Set([...page.matchAll(/ id="([^"]+)"/g)].map(([, id]) => id));
  for (const item of Object.values(document.paths))
    for (const { operationId } of Object.values(item)) assert.ok(ids.has(operationId), operationId);
  for (const id of ['schema-Node', 'schema-Snapshot', 'not-found', 'precondition-failed']) assert.ok(ids.has(id), id);
  for (const [, id] of page.matchAll(/href="#([^"]+)"/g)) assert.ok(ids.has(id), id);
});

test('nothing in a document gets through as markup', () => {
  const hostile = `<script>alert("1")</script> & \u001b[31m`;
  const page = referenceHtml({
    info: { title: hostile, version: hostile, description: `${hostile}\n\n| ${hostile} |\n|---|\n| \`${hostile}\` |` },
    tags: [{ name: hostile, description: hostile }],
    paths: {
      [hostile]: {
        get: {
          operationId: hostile,
          summary: hostile,
          description: hostile,
          tags: [hostile],
          parameters: [{ name: hostile, in: hostile, description: hostile, schema: { enum: [hostile] } }],
          responses: { 200: { content: { [hostile]: { schema: { const: hostile } } } } },
        },
      },
    },
    components: { schemas: { [hostile]: { type: hostile, properties: { [hostile]: { $ref: `#/${hostile}` } } } } },
  });
  for (const bad of ['<script', '\u001b']) assert.ok(!page.includes(bad), bad);
  for (const odd of [undefined, null, [], 'x', { paths: 3, tags: {} }])
    assert.match(referenceHtml(odd), /^<!doctype html>/);
});
