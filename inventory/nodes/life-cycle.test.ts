import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nodeStates } from '../../protocol/api/nodes.ts';
import { isPossible, lifeCycleEvents, nextState } from './life-cycle.ts';

test('the life cycle of a node', () => {
  const rows = nodeStates.map((state) =>
    [state, ...lifeCycleEvents.map((event) => (isPossible(state, event) ? nextState(state, event) : ''))]
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
seen     seen     loading  joining  joining  ready
loading  seen     loading  joining  joining  ready
joining  seen              joining  joining  ready             lost
ready    seen              joining  ready    ready    silent   lost
silent   seen     loading  joining  silent   ready             lost
lost     seen     loading  joining  joining  ready
`.trim(),
  );
});

test('a step that cannot be is a fault of ours', () => {
  assert.throws(() => nextState('lost', 'silence'), /it is lost and gets silence, want one of firmware, stage, join/);
});
