import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { createConfig, lintFromString } from '@redocly/openapi-core';
import { describeApi, openApiFile } from './openapi.ts';

test('docs/openapi.json says what is served (node controller/api/openapi.ts writes it)', async () => {
  assert.equal(await readFile(openApiFile, 'utf8'), describeApi());
});

test('redocly finds no fault by its recommended rules', async () => {
  const config = await createConfig({ extends: ['recommended'] });
  const found = await lintFromString({ source: describeApi(), absoluteRef: 'openapi.json', config });
  assert.deepEqual(
    found.map(({ ruleId, message, location }) => `${ruleId}: ${message} ${location[0]?.pointer ?? ''}`),
    [],
  );
});
