import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { ruleset } from './network.ts';

test('ruleset() keeps customers apart and from the rack, and leads ports to their containers', () => {
  const rules = ruleset(
    { rackInterface: 'eth0', rackSubnet: '10.77.0.0/24', nodeAddress: '10.77.0.50', controllerAddress: '10.77.0.1' },
    {
      customers: ['acme', 'globex'],
      attachments: [
        { instance: 'web-00000001', customer: 'acme', subnet: 1, host: 2, port: { container: 8080, node: 20_000 } },
        { instance: 'job-00000002', customer: 'acme', subnet: 1, host: 3, port: null },
        { instance: 'web-00000003', customer: 'globex', subnet: 2, host: 2, port: { container: 80, node: 20_001 } },
      ],
    },
  );
  assert.equal(rules, readFileSync(new URL('ruleset.golden.txt', import.meta.url), 'utf8'));
});
