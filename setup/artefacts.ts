// Builds what boards, customers and the controller run, or finds it in the cache: the node image, iPXE, the sample images, the
// controller's bundle.
// Started by main.mjs on the pinned Node.
import { rename, rm, symlink } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { errorChain } from '../protocol/error-chain.ts';
import { buildSamples } from '../images/customer/samples.ts';
import { buildNodeImage } from '../images/node/build.ts';
import type { Progress } from '../images/progress.ts';
import { prepareIpxe } from '../ipxe/binary.ts';
import { bundleController } from './controller-bundle.ts';

const rootDir = dirname(dirname(fileURLToPath(import.meta.url)));
const cacheDir = process.env['MUSTER_CACHE'] ?? join(rootDir, '.cache');

const announceAfterMs = 1_000;

const progress: Progress = {
  step(name) {
    const startedAt = performance.now();
    const timer = setTimeout(() => process.stdout.write(`… ${name}\n`), announceAfterMs);
    return {
      done(detail) {
        clearTimeout(timer);
        const seconds = ((performance.now() - startedAt) / 1000).toFixed(1);
        process.stdout.write(`✓ ${name}${detail === undefined ? '' : `  ${detail}`}  ${seconds} s\n`);
      },
    };
  },
};

/** The sample images under a path that a person can type. */
async function prepareSamples(options: { cacheDir: string; progress: Progress; signal: AbortSignal }): Promise<void> {
  const current = join(options.cacheDir, 'samples/current');
  const { web } = await buildSamples(options);
  // Renamed over the old one: another rack may import by this path right now.
  const fresh = `${current}.new`;
  await rm(fresh, { force: true });
  await symlink(basename(dirname(web)), fresh);
  await rename(fresh, current);
}

const stop = new AbortController();
for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => stop.abort(new Error(`got ${name}`)));

try {
  const options = { cacheDir, progress, signal: stop.signal };
  const entryPoints = { agent: join(rootDir, 'agent/main.ts'), telemetry: join(rootDir, 'agent/telemetry.ts') };
  await buildNodeImage({ ...options, entryPoints });
  await prepareIpxe(options);
  await prepareSamples(options);
  await bundleController({ rootDir, cacheDir, progress });
} catch (error) {
  if (stop.signal.aborted) process.exit(130); // as a shell says of a program that was interrupted
  process.stderr.write(`${errorChain(error)}\n`);
  process.exit(1);
}
