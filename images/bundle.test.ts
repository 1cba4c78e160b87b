import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { bundleAgent } from './bundle.ts';

test('bundleAgent() makes one file an entry point, and a new one when a source it imports changes', async (context) => {
  const dir = await mkdtemp(join(tmpdir(), 'muster-bundle-'));
  context.after(() => rm(dir, { recursive: true }));
  const source = (name: string, text: string): Promise<void> => writeFile(join(dir, name), text);
  await source('word.ts', `export const word: string = 'first';\n`);
  await source('main.ts', `import { word } from './word.ts';\nimport fs from 'node:fs';\nconsole.log(word, fs);\n`);
  await source('side.ts', `console.log('side');\n`);
  const entryPoints = { agent: join(dir, 'main.ts'), side: join(dir, 'side.ts') };
  const bundle = async (): Promise<Record<string, string>> =>
    Object.fromEntries(
      (await bundleAgent(entryPoints, join(dir, 'cache'))).map(({ name, data }) => [
        name,
        Buffer.from(data).toString(),
      ]),
    );

  const first = await bundle();
  assert.deepEqual(Object.keys(first), ['agent.mjs', 'side.mjs']);
  assert.match(first['agent.mjs'] ?? '', /first/);
  assert.deepEqual(await bundle(), first);

  await source('word.ts', `export const word: string = 'second';\n`);
  assert.match((await bundle())['agent.mjs'] ?? '', /second/);
});
