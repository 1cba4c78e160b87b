import assert from 'node:assert/strict';
import { mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { Connection } from './connection.ts';
import { openSqliteStore } from './sqlite-store.ts';
import { proveStore } from './store-contract.fixture.ts';
import { CompactedError, StorageError } from './store.ts';

const directory = await mkdtemp(join(tmpdir(), 'muster-store-'));
after(() => rm(directory, { recursive: true }));
let count = 0;
const newFile = () => join(directory, `${++count}.sqlite`);

proveStore('sqlite', () => {
  const file = newFile();
  return Promise.resolve(() => openSqliteStore(file));
});

test('a database of a newer schema is refused and left as it is', async () => {
  const file = newFile();
  await (await openSqliteStore(file))[Symbol.asyncDispose]();
  {
    await using connection = await Connection.open(file, { synchronous: 'FULL', version: 1, schema: '' });
    await connection.exec('PRAGMA user_version = 2');
  }
  const before = (await stat(file)).mtimeMs;
  await assert.rejects(openSqliteStore(file), /its schema is version 2, want at most 1; a newer Muster wrote it/);
  assert.equal((await stat(file)).mtimeMs, before);
});

test('a second opener, a file that is no database and a directory that is not there each get one sentence', async () => {
  const file = newFile();
  await using store = await openSqliteStore(file);
  await store.transact([{ key: 'a', value: 1 }]);
  await assert.rejects(openSqliteStore(file), (error: Error) => {
    assert.ok(error instanceof StorageError);
    assert.match(error.message, /one controller at a time/);
    return true;
  });
  const text = newFile();
  await writeFile(text, 'this is no database, however long it goes on\n'.repeat(100));
  await assert.rejects(openSqliteStore(text), /is no SQLite database/);
  await assert.rejects(openSqliteStore(join(directory, 'none', 'x.sqlite')), /cannot be opened or made/);
});

test('deletions are forgotten after many, and a watch from before them is told so', async () => {
  await using store = await openSqliteStore(newFile());
  const start = await store.transact([{ key: 'stays', value: 1 }]);
  const keys = Array.from({ length: 20_001 }, (_, i) => `k/${i}`);
  await store.transact(keys.map((key) => ({ key, value: 1 })));
  await store.transact(keys.slice(0, 10_000).map((key) => ({ key, value: undefined })));
  await store.transact(keys.slice(10_000).map((key) => ({ key, value: undefined })));
  await store.list('');
  await assert.rejects(store.watch({ prefix: '', fromRevision: start, onChanges: () => {} }), CompactedError);
  assert.deepEqual(
    (await store.list('')).documents.map(({ key }) => key),
    ['stays'],
  );
});
