/**
 * The agent's sources as one file an entry point. What was bundled is remembered with the digests of all files that went in,
 * so that an unchanged agent costs a few milliseconds and no bundler.
 */
import { existsSync } from 'node:fs';
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { Type, type Static } from 'typebox';
import { Check } from 'typebox/value';
import { sha256 } from './digest.ts';

/** Entry points by the name they get on the node: `agent` becomes `/opt/muster/agent.mjs`. */
export type EntryPoints = Readonly<Record<string, string>>;

export interface BundledFile {
  name: string;
  data: Uint8Array;
}

const Remembered = Type.Object({
  /** Digest by absolute path of every source file. */
  inputs: Type.Record(Type.String(), Type.String()),
  /** Text by name. */
  outputs: Type.Record(Type.String(), Type.String()),
});
type Remembered = Static<typeof Remembered>;

const rootDir = resolve(import.meta.dirname, '..');

// CommonJS packages inside an ES module still call require() for Node's own modules.
const banner = "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);";

/** Bundles each entry point into one minified file for the node's Node.js; the same sources give the same bytes. */
export async function bundleAgent(entryPoints: EntryPoints, cacheDir: string): Promise<BundledFile[]> {
  const entries = Object.entries(entryPoints).map(([name, path]) => [name, resolve(path)] as const);
  // The lock file stands for the bundler's own version, and for whatever decides which file of a package is taken.
  const context = [
    JSON.stringify(entries),
    ...(await texts([import.meta.filename, join(rootDir, 'package-lock.json')])),
  ];
  const path = resolve(cacheDir, 'images/agent', `${sha256(context.join('\0'))}.json`);
  const remembered = (await recall(path)) ?? (await bundle(Object.fromEntries(entries)));
  await remember(path, remembered);
  return Object.entries(remembered.outputs)
    .map(([name, text]) => ({ name, data: Buffer.from(text) }))
    .toSorted((a, b) => (a.name < b.name ? -1 : 1));
}

async function bundle(entryPoints: EntryPoints): Promise<Remembered> {
  const { build } = await import('esbuild');
  const result = await build({
    entryPoints,
    outdir: '/',
    outExtension: { '.js': '.mjs' },
    bundle: true,
    write: false,
    metafile: true,
    platform: 'node',
    format: 'esm',
    target: 'node24',
    minify: true,
    // Stack traces that name functions are worth some kilobytes.
    keepNames: true,
    legalComments: 'none',
    banner: { js: banner },
    logLevel: 'silent',
    // Paths in the metafile and the output are relative to this: it must not be where the caller happens to stand.
    absWorkingDir: rootDir,
  });
  const inputs = Object.keys(result.metafile.inputs).map((input) => resolve(rootDir, input));
  const digests = (await texts(inputs)).map(sha256);
  return {
    inputs: Object.fromEntries(inputs.map((input, index) => [input, digests[index] ?? ''])),
    outputs: Object.fromEntries(result.outputFiles.map(({ path, text }) => [path.replace(/^\//, ''), text])),
  };
}

async function recall(path: string): Promise<Remembered | undefined> {
  if (!existsSync(path)) return undefined;
  const value: unknown = JSON.parse(await readFile(path, 'utf8'));
  if (!Check(Remembered, value)) return undefined;
  const inputs = Object.keys(value.inputs);
  if (!inputs.every((input) => existsSync(input))) return undefined;
  const current = (await texts(inputs)).map(sha256);
  return inputs.every((input, index) => value.inputs[input] === current[index]) ? value : undefined;
}

async function remember(path: string, bundled: Remembered): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  const partial = `${path}.${process.pid}`;
  await writeFile(partial, JSON.stringify(bundled));
  await rename(partial, path);
}

function texts(paths: readonly string[]): Promise<string[]> {
  return Promise.all(paths.map((path) => readFile(path, 'utf8')));
}
