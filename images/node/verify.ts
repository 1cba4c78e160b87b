import { mkdtemp, rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { loadNodeImage } from '../manifest.ts';
import { buildBase, type BuildOptions } from './base.ts';
import { buildNodeImage, type NodeImageOptions } from './build.ts';

/**
 * Checks the files of the node image against its manifest and builds its base layer once more from the packages; gives the
 * digests of both squashfs files. Where Debian has moved a package since, two new builds are compared instead.
 */
export async function verifyNodeImage(options: NodeImageOptions): Promise<{ first: string; second: string }> {
  const { manifest } = await loadNodeImage((await buildNodeImage(options)).dir);
  let first = { root: manifest.root, packages: manifest.packages };
  let second = await buildAgain(options);
  if (JSON.stringify(first.packages) !== JSON.stringify(second.packages)) {
    first = second;
    second = await buildAgain(options);
  }
  return { first: first.root.sha256, second: second.root.sha256 };
}

async function buildAgain(options: BuildOptions): ReturnType<typeof buildBase> {
  const dir = await mkdtemp(join(resolve(options.cacheDir), 'verify-'));
  try {
    return await buildBase(dir, options);
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}
