/** `node images/node/main.ts build|verify`: builds the node image, or builds it twice and compares. */
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { lineProgress } from '../progress.ts';
import { buildNodeImage } from './build.ts';
import { verifyNodeImage } from './verify.ts';

const usage = `usage: node images/node/main.ts build|verify [--entry NAME=FILE]...
  build    builds the node image, or finds it in the cache
  verify   checks the files of the image, builds its base layer once more and compares the digests`;

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: {
    entry: { type: 'string', multiple: true, default: ['agent=agent/main.ts', 'telemetry=agent/telemetry.ts'] },
  },
});
const cacheDir = resolve(process.env['MUSTER_CACHE'] ?? '.cache');
const progress = lineProgress({ write: (line) => console.log(line), nowMs: () => performance.now() });
const entryPoints = Object.fromEntries(values.entry.map((entry) => entry.split('=', 2)));
const [verb] = positionals;

if (verb === 'build') {
  const { dir, manifest } = await buildNodeImage({ cacheDir, entryPoints, progress });
  console.log(
    `${dir}\nkernel ${manifest.kernelRelease}, initrd ${manifest.initrd.sha256}, root ${manifest.root.sha256}`,
  );
} else if (verb === 'verify') {
  const { first, second } = await verifyNodeImage({ cacheDir, entryPoints, progress });
  console.log(`root.squashfs, first build   ${first}\nroot.squashfs, second build  ${second}`);
  if (first !== second) process.exitCode = 1;
} else {
  console.error(usage);
  process.exitCode = 2;
}
