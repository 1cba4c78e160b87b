import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { cp, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { bundleOf } from '../controller/bundle.ts';
import { silentProgress } from '../images/progress.ts';
import { bundleController } from './controller-bundle.ts';

const checkout = dirname(dirname(fileURLToPath(import.meta.url)));
const rooms = [
  'boot',
  'controller',
  'dashboard',
  'images',
  'inventory',
  'ipxe',
  'protocol',
  'scheduler',
  'package.json',
];

test('the controller starts from a bundle of just its sources, and from the sources where one is another', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'controller-bundle-'));
  t.after(() => rm(directory, { recursive: true }));
  const rootDir = join(directory, 'checkout');
  for (const room of rooms) await cp(join(checkout, room), join(rootDir, room), { recursive: true });
  await symlink(join(checkout, 'node_modules'), join(rootDir, 'node_modules'));
  // Not in the checkout: packages are found all the same.
  const cacheDir = join(directory, 'cache');
  const place = { rootDir, cacheDir };
  const bundle = () => bundleOf(place);
  /** The modules of ours that a start loads, by what Node says of each. */
  const started = async () => {
    const { stdout, stderr } = await promisify(execFile)(
      process.execPath,
      ['--disable-warning=ExperimentalWarning', join(rootDir, 'controller/main.ts'), 'up', '--help'],
      { env: { ...process.env, MUSTER_CACHE: cacheDir, NODE_DEBUG: 'esm' }, maxBuffer: 2 ** 26 },
    );
    assert.match(stdout, /^muster up: serve a rack\n/);
    return { isBundled: stderr.includes('/controller/up.js'), isSource: stderr.includes('/controller/up.ts') };
  };

  assert.equal(bundle(), undefined);
  await bundleController({ ...place, progress: silentProgress });
  const first = bundle();
  assert.ok(first !== undefined);
  assert.deepEqual(await started(), { isBundled: true, isSource: false });
  // What is beside a source, and is no program of the bundle, is still found beside it.
  const text = await readFile(fileURLToPath(first), 'utf8');
  assert.ok(!text.includes('import.meta.url'));

  await bundleController({ ...place, progress: silentProgress });
  assert.equal(bundle(), first, 'made once');

  const source = join(rootDir, 'protocol/timing.ts');
  await writeFile(source, `${await readFile(source, 'utf8')}\n// Changed.\n`);
  assert.equal(bundle(), undefined);
  assert.deepEqual(await started(), { isBundled: false, isSource: true });
  await bundleController({ ...place, progress: silentProgress });
  assert.notEqual(bundle(), first);
  assert.ok(bundle() !== undefined);

  await rm(source);
  assert.equal(bundle(), undefined, 'a source that is gone');
});
