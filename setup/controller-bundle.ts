// The controller as one file a program and some that they share, for a quick start: of typebox alone there are 680 modules.
// Whatever a source finds beside itself it still finds there: `import.meta.url` stays that of the source, and a program that
// is in the bundle, too, is started from it.
import { existsSync } from 'node:fs';
import { readFile, readdir, rename, rm, stat, writeFile } from 'node:fs/promises';
import { randomUUID } from 'node:crypto';
import { createRequire } from 'node:module';
import { dirname, join, relative, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Plugin } from 'esbuild';
import type { Progress } from '../images/progress.ts';
import { sha256 } from '../images/digest.ts';
import { bundleOf, bundlesDirectory, type BundleManifest } from '../controller/bundle.ts';

/** Programs of the controller: each is a process or a thread. */
const programs = ['controller/up.ts', 'controller/kill/roll-call/roll-call-thread.ts', 'boot/process/main.ts'];
/** They have machine code, look for files beside their own, or are loaded when needed: Node does it, from where they are. */
const external = /^(sqlite3|ssh2|node-ssh|net-snmp|selfsigned)$/;
/** Besides its sources a bundle depends on these, where they are: a package has neither. npm writes the latter each time. */
const circumstances = ['setup/controller-bundle.ts', 'node_modules/.package-lock.json'];
/** A controller that runs may still load a part of an older one. */
const keptBundles = 3;

export interface BundlePlace {
  rootDir: string;
  cacheDir: string;
  /** Where the root directory will be when the bundle runs; where it is, when left out. */
  installedAt?: string;
}

/** Makes the bundle where there is none of these sources. */
export async function bundleController({ progress, ...options }: BundlePlace & { progress: Progress }): Promise<void> {
  const { rootDir, cacheDir, installedAt = rootDir } = options;
  if (installedAt === rootDir && bundleOf({ rootDir, cacheDir }) !== undefined) return;
  const step = progress.step('controller');
  const place = { rootDir: installedAt, cacheDir: join(installedAt, relative(rootDir, cacheDir)) };
  const directory = randomUUID();
  const home = bundlesDirectory(place);
  // Where it is written now, which is somewhere else while a package is built.
  const homeNow = join(rootDir, relative(installedAt, home));
  const { build } = await import('esbuild');
  const result = await build({
    absWorkingDir: rootDir,
    entryPoints: programs,
    outbase: '.',
    outdir: join(homeNow, directory),
    bundle: true,
    splitting: true,
    metafile: true,
    platform: 'node',
    format: 'esm',
    target: 'node24',
    legalComments: 'none',
    logLevel: 'silent',
    // CommonJS packages inside an ES module still call require() for Node's own modules.
    banner: {
      js: `import { createRequire as requireFrom } from 'node:module'; const require = requireFrom(${urlOf(join(installedAt, 'package.json'))});`,
    },
    plugins: [
      fromWhereTheyAre({ rootDir, installedAt }),
      besideTheSource({ rootDir, installedAt, bundle: join(home, directory) }),
    ],
  });
  const own = Object.keys(result.metafile.inputs).filter((path) => !path.includes('node_modules/'));
  const paths = [...own, ...circumstances.filter((path) => existsSync(join(rootDir, path)))];
  const inputs = await Promise.all(
    paths.toSorted().map(async (path) => [path, sha256(await readFile(join(rootDir, path)))] as const),
  );
  const manifest: BundleManifest = { node: process.version, inputs: Object.fromEntries(inputs), directory };
  const file = join(homeNow, 'manifest.json');
  await writeFile(`${file}.new`, JSON.stringify(manifest));
  await rename(`${file}.new`, file);
  await removeOld(homeNow);
  step.done();
}

/** Packages that stay files of their own, by their absolute paths: the cache may be outside of the root directory. */
function fromWhereTheyAre({ rootDir, installedAt }: { rootDir: string; installedAt: string }): Plugin {
  const { resolve: find } = createRequire(join(rootDir, 'package.json'));
  return {
    name: 'from where they are',
    setup: (build) =>
      build.onResolve({ filter: external }, ({ path, kind }) => {
        const file = join(installedAt, relative(rootDir, find(path)));
        return { path: kind === 'require-call' ? file : pathToFileURL(file).href, external: true };
      }),
  };
}

function besideTheSource({
  rootDir,
  installedAt,
  bundle,
}: {
  rootDir: string;
  installedAt: string;
  bundle: string;
}): Plugin {
  return {
    name: 'beside the source',
    setup: (build) =>
      build.onLoad({ filter: /\.ts$/ }, async ({ path }) => {
        const source = await readFile(path, 'utf8');
        const own = relative(rootDir, path);
        if (!source.includes('import.meta.') || own.startsWith('node_modules/')) return undefined;
        const contents = source
          .replaceAll(/new URL\('([^']+)', import\.meta\.url\)/g, (all, target: string) => {
            const program = relative(rootDir, resolve(dirname(path), target));
            return programs.includes(program)
              ? `new URL(${urlOf(join(bundle, program.replace(/\.ts$/, '.js')))})`
              : all;
          })
          .replaceAll('import.meta.url', urlOf(join(installedAt, own)));
        return { contents, loader: 'ts' };
      }),
  };
}

/** As a string of JavaScript. */
const urlOf = (path: string): string => JSON.stringify(pathToFileURL(path).href);

async function removeOld(home: string): Promise<void> {
  const entries = await readdir(home, { withFileTypes: true });
  const directories = entries.filter((entry) => entry.isDirectory()).map(({ name }) => join(home, name));
  const aged = await Promise.all(directories.map(async (path) => ({ path, at: (await stat(path)).mtimeMs })));
  for (const { path } of aged.toSorted((a, b) => b.at - a.at).slice(keptBundles))
    await rm(path, { recursive: true, force: true });
}
