import assert from 'node:assert/strict';
import { test } from 'node:test';
import { renderMetrics } from './metrics.ts';

test('metrics in the text format, with labels escaped', () => {
  assert.equal(
    renderMetrics([
      {
        name: 'muster_nodes',
        help: 'Nodes by state.',
        type: 'gauge',
        values: [{ labels: { state: 'a"b\\\n\u001b[2J' }, value: 2 }],
      },
      { name: 'muster_permits_total', help: 'Permits sent.', type: 'counter', values: [{ value: 7 }] },
    ]),
    '# HELP muster_nodes Nodes by state.\n# TYPE muster_nodes gauge\nmuster_nodes{state="a\\"b\\\\\\n\ufffd[2J"} 2\n' +
      '# HELP muster_permits_total Permits sent.\n# TYPE muster_permits_total counter\nmuster_permits_total 7\n',
  );
});
