import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseCheck } from './check.ts';

const texts: [string, ReturnType<typeof parseCheck>][] = [
  ['http:/healthz', { http: { path: '/healthz' } }],
  ['http:8081/up?deep=1', { http: { path: '/up?deep=1', port: 8081 } }],
  ['tcp', { tcp: {} }],
  ['tcp:5432', { tcp: { port: 5432 } }],
  ['exec:pg_isready -U app', { exec: ['/bin/sh', '-c', 'pg_isready -U app'] }],
  ['http', undefined],
  ['http:healthz', undefined],
  ['http:/a b', undefined],
  ['tcp:', undefined],
  ['exec:', undefined],
  ['ttl:5', undefined],
];

test('checks are read as they are written', () => {
  for (const [text, check] of texts) assert.deepEqual(parseCheck(text), check, text);
});
