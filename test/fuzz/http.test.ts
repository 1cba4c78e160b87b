// The short forms. The long ones: node test/fuzz/main.ts --protocol boot-http 1000000 [SEED]
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fuzzAgentApi, fuzzBootHttp, fuzzOperatorApi } from './http-servers.ts';
import { seededRandom } from './random.ts';

for (const [name, fuzz] of [
  ['the boot server', fuzzBootHttp],
  ["the operators' API", fuzzOperatorApi],
  ["the agents' API", fuzzAgentApi],
] as const)
  test(`200 mutated HTTP requests: ${name} goes on answering`, async () => {
    assert.ok((await fuzz(200, seededRandom(1))) > 10);
  });
