import assert from 'node:assert/strict';
import { test } from 'node:test';
import { eventParser } from './event-parser.ts';

const stream =
  'retry: 200\n\nevent: snapshot\ndata: {"a":1}\n\n: here\n\nid: 7-1\nevent: node\ndata: x: y\ndata:z\n\ndata: bare\n\n';
const events = [
  { event: 'snapshot', data: '{"a":1}' },
  { event: 'node', data: 'x: y\nz', id: '7-1' },
  { event: 'message', data: 'bare' },
];

for (const size of [1, 2, 3, 7, 1_000]) {
  test(`events come whole out of pieces of ${size} characters`, () => {
    const parse = eventParser();
    const found = [];
    for (let at = 0; at < stream.length; at += size) found.push(...parse(stream.slice(at, at + size)));
    assert.deepEqual(found, events);
  });
}

test('what is not complete is not an event yet', () => {
  const parse = eventParser();
  assert.deepEqual(parse('event: node\ndata: half\n'), []);
  assert.deepEqual(parse('\n'), [{ event: 'node', data: 'half' }]);
});
