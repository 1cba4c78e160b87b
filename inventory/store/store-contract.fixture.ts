// The store's contract as tests: a driver passes them all or is none. `sqlite-store.test.ts` runs them.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ConflictError, type Store, type StoredChange } from './store.ts';

/** What a store promises. `open` opens the same, at first empty, store again and again, once the one before it is closed. */
const claims: Record<string, (open: () => Promise<Store>) => Promise<void>> = {
  'what was put is read, also after opening again, and is gone when it is deleted': async (open) => {
    {
      await using store = await open();
      assert.equal(await store.get('a/1'), undefined);
      const revision = await store.transact([{ key: 'a/1', value: { deep: [1, 'ü', null] } }]);
      assert.deepEqual(await store.get('a/1'), { key: 'a/1', value: { deep: [1, 'ü', null] }, revision });
    }
    await using store = await open();
    const found = await store.get('a/1');
    assert.deepEqual(found?.value, { deep: [1, 'ü', null] });
    const later = await store.transact([{ key: 'a/1', value: undefined }]);
    assert.ok(later > found.revision);
    assert.equal(await store.get('a/1'), undefined);
  },

  'a list holds exactly the prefix, in order of key': async (open) => {
    await using store = await open();
    const revision = await store.transact(
      ['b/2', 'a/1', 'b/10', 'b', 'c/1', 'b/1/x'].map((key) => ({ key, value: 1 })),
    );
    const list = await store.list('b/');
    assert.deepEqual(
      list.documents.map(({ key }) => key),
      ['b/1/x', 'b/10', 'b/2'],
    );
    assert.equal(list.revision, revision);
    assert.equal((await store.list('')).documents.length, 6);
  },

  'a write that expects another revision changes nothing': async (open) => {
    await using store = await open();
    const first = await store.transact([{ key: 'a', value: 1, expected: 0 }]);
    await assert.rejects(store.transact([{ key: 'a', value: 2, expected: 0 }]), ConflictError);
    await assert.rejects(
      store.transact([
        { key: 'b', value: 1 },
        { key: 'a', value: 2, expected: first + 1 },
      ]),
      ConflictError,
    );
    await assert.rejects(store.transact([{ key: 'c', value: undefined, expected: first }]), ConflictError);
    assert.equal(await store.get('b'), undefined);
    await store.transact([{ key: 'a', value: undefined, expected: first }]);
    await store.transact([{ key: 'a', value: 3, expected: 0 }]);
  },

  'of writers that race for one revision exactly one wins, and nobody else is harmed': async (open) => {
    await using store = await open();
    const outcomes = await Promise.allSettled(
      Array.from({ length: 50 }, (_, i) => [
        store.transact([{ key: 'one', value: i, expected: 0 }]),
        store.transact([{ key: `own/${i}`, value: i, expected: 0 }]),
      ]).flat(),
    );
    assert.equal(outcomes.filter(({ status }) => status === 'fulfilled').length, 51);
    assert.equal((await store.list('own/')).documents.length, 50);
  },

  'revisions only grow, one for each transaction, also over a restart': async (open) => {
    const seen: number[] = [];
    for (let round = 0; round < 3; round++) {
      await using store = await open();
      seen.push(...(await Promise.all([1, 2, 3].map((value) => store.transact([{ key: 'k', value }])))));
    }
    assert.deepEqual(
      seen,
      [...new Set(seen)].toSorted((a, b) => a - b),
    );
  },

  'a watcher hears the past from its revision on, then each transaction before its writer does': async (open) => {
    await using store = await open();
    await store.transact([{ key: 'a/0', value: 0 }]);
    const from = (await store.list('')).revision;
    await store.transact([{ key: 'a/1', value: 1 }]);
    await store.transact([{ key: 'a/0', value: undefined }]);
    await store.transact([{ key: 'b/1', value: 1 }]);
    const heard: StoredChange[] = [];
    const end = await store.watch({ prefix: 'a/', fromRevision: from, onChanges: (all) => heard.push(...all) });
    assert.deepEqual(
      heard.map(({ key, value }) => [key, value]),
      [
        ['a/1', 1],
        ['a/0', undefined],
      ],
    );
    const revision = await store.transact([
      { key: 'a/2', value: 2 },
      { key: 'b/2', value: 2 },
    ]);
    assert.deepEqual(heard.at(-1), { key: 'a/2', value: 2, revision });
    end();
    await store.transact([{ key: 'a/3', value: 3 }]);
    assert.equal(heard.length, 3);
  },

  'a copy kept by list and watch is the store, whatever is written': async (open) => {
    await using store = await open();
    const { documents, revision } = await store.list('');
    const copy = new Map(documents.map(({ key, value }) => [key, value]));
    await store.watch({
      prefix: '',
      fromRevision: revision,
      onChanges: (all) => {
        for (const { key, value } of all) {
          if (value === undefined) copy.delete(key);
          else copy.set(key, value);
        }
      },
    });
    await Promise.all(
      Array.from({ length: 300 }, (_, i) =>
        store.transact([
          { key: `k/${i % 17}`, value: i },
          { key: `k/${i % 5}`, value: i % 3 === 0 ? undefined : i },
        ]),
      ),
    );
    const now = (await store.list('')).documents.map(({ key, value }) => [key, value] as const);
    assert.deepEqual(
      [...copy].toSorted(([a], [b]) => (a < b ? -1 : 1)),
      now,
    );
  },

  'a closed store refuses writes': async (open) => {
    const store = await open();
    await store[Symbol.asyncDispose]();
    await assert.rejects(store.transact([{ key: 'a', value: 1 }]), /is closed/);
  },
};

export function proveStore(name: string, newStore: () => Promise<() => Promise<Store>>): void {
  for (const [claim, prove] of Object.entries(claims))
    void test(`${name}: ${claim}`, async () => prove(await newStore()));
}
