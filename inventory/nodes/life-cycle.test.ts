import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nodeStates } from '../../protocol/api/nodes.ts';
import { lifeCycleEvents, nextState } from './life-cycle.ts';

test('the life cycle of a node', () => {
  const rows = nodeStates.map((state) =>
    [state, ...lifeCycleEvents.map((event) => nextState(state, event))]
      .map((cell) => cell.padEnd(9))
      .join('')
      .trimEnd(),
  );
  assert.equal(
    [
      ['from', ...lifeCycleEvents]
        .map((cell) => cell.padEnd(9))
        .join('')
        .trimEnd(),
      ...rows,
    ].join('\n'),
    `
from     firmware stage    join     rejoin   heartbeatsilence  loss
seen     seen     loading  joining  joining  ready    seen     seen
loading  seen     loading  joining  joining  ready    loading  loading
joining  seen     joining  joining  joining  ready    joining  lost
ready    seen     ready    joining  ready    ready    silent   lost
silent   seen     loading  joining  silent   ready    silent   lost
lost     seen     loading  joining  joining  ready    lost     lost
`.trim(),
  );
});
