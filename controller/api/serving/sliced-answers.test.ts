import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Type } from 'typebox';
import { createServer } from './http.ts';
import { answerInSlices } from './sliced-answers.ts';

const item = Type.Object({ id: Type.Integer(), name: Type.String() });
const schema = {
  response: {
    200: Type.Object({
      kind: Type.String(),
      items: Type.Array(item),
      others: Type.Optional(Type.Array(item)),
      before: Type.Union([Type.Integer(), Type.Null()]),
    }),
  },
};

function itemsOf(count: number) {
  return Array.from({ length: count }, (_, id) => ({ id, name: `“${id}” "items":[]`, unknownToTheSchema: true }));
}

test('a long list is the same answer as at once, and others have their turn meanwhile', async (t) => {
  let turns = 0;
  let now = 0;
  const app = createServer();
  t.after(() => app.close());
  // Once more than the server does by itself, with turns that can be counted.
  answerInSlices(app, { nextTurn: () => Promise.resolve(turns++), clock: () => (now += 1) });
  for (const count of [0, 32, 33, 1_000])
    app.get(`/${count}`, { schema }, () =>
      Promise.resolve({ kind: '"items":[]', items: itemsOf(count), before: count === 0 ? null : count }),
    );
  app.get('/two-lists', { schema }, () =>
    Promise.resolve({ kind: '', items: itemsOf(100), others: itemsOf(100), before: null }),
  );
  const answer = async (path: string) => {
    const response = await app.inject({ url: path, headers: { host: 'localhost' } });
    assert.equal(response.headers['content-type'], 'application/json; charset=utf-8');
    assert.equal(response.headers['content-length'], String(response.rawPayload.length));
    return response.body;
  };
  const listed = (count: number) => itemsOf(count).map(({ id, name }) => ({ id, name }));
  for (const count of [0, 32, 33, 1_000]) {
    const expected = { kind: '"items":[]', items: listed(count), before: count === 0 ? null : count };
    assert.equal(await answer(`/${count}`), JSON.stringify(expected));
  }
  // Thirty-two at once, and two of those are a slice by that clock: one of the 33, and 16 of the thousand.
  assert.equal(turns, 17);
  const two: unknown = JSON.parse(await answer('/two-lists'));
  assert.deepEqual(two, { kind: '', items: listed(100), others: listed(100), before: null });
});
