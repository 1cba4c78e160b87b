import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Asked } from './api.ts';
import { allPages } from './pages.ts';

function pagesOf(...pages: object[]) {
  const asked: Asked[] = [];
  return {
    asked,
    ask: (each: Asked) => {
      asked.push(each);
      return Promise.resolve({ ...pages[asked.length - 1] });
    },
  };
}

test('a list of several pages is read whole', async () => {
  const { asked, ask } = pagesOf(
    { images: [1, 2], imports: [9], next: 'b' },
    { images: [3], imports: [9], next: 'c' },
    { images: [4], imports: [9] },
  );
  assert.deepEqual(await allPages(ask, { path: '/v1/images', query: { customer: 'x' } }), {
    images: [1, 2, 3, 4],
    imports: [9],
  });
  assert.deepEqual(
    asked.map(({ query }) => query),
    [{ customer: 'x' }, { customer: 'x', after: 'b' }, { customer: 'x', after: 'c' }],
  );
});

test('who asks for a part gets that part', async () => {
  for (const query of [{ limit: '2' }, { after: 'a' }]) {
    const { asked, ask } = pagesOf({ events: [1, 2], next: '2' });
    assert.deepEqual(await allPages(ask, { path: '/v1/events', query }), { events: [1, 2], next: '2' });
    assert.equal(asked.length, 1);
  }
});

test('a list without an end is given up', async () => {
  const ask = () => Promise.resolve({ nodes: [1], next: 'again' });
  await assert.rejects(allPages(ask, { path: '/v1/nodes' }), /more than 1000 pages/);
});
