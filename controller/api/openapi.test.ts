import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { describeApi, openApiFile } from './openapi.ts';

test('docs/openapi.json says what is served (node controller/api/openapi.ts writes it)', async () => {
  assert.equal(await readFile(openApiFile, 'utf8'), await describeApi());
});
