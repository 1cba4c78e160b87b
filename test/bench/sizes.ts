// What a board fetches at each boot, by the manifest of the built image, and the agent in it.
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { loadBootArtefacts } from '../../boot/artefacts.ts';
import { readNodeImageManifest } from '../../images/manifest.ts';
import { defaultCacheDir } from '../qemu/rack.ts';
import { figureOf, type Figure } from './figure.ts';

export async function measureSizes(): Promise<Figure[]> {
  const { kernel, kernelGz, initrd, root } = await readNodeImageManifest(join(defaultCacheDir, 'images/node/current'));
  await using loaded = await loadBootArtefacts({ cacheDir: defaultCacheDir });
  const { ipxe } = loaded;
  const samples = await Promise.all(
    ['web', 'worker'].map(async (name) => (await stat(join(defaultCacheDir, `samples/current/${name}.tar`))).size),
  );
  const ipxeBytes = ipxe.plain.sizeBytes;
  return [
    size('iPXE', { bytes: ipxeBytes, how: 'the packaged file, by TFTP' }),
    size('kernel', { bytes: kernel.sizeBytes, how: 'raw Image, by HTTP' }),
    size('kernel, gzip', { bytes: kernelGz.sizeBytes, how: 'for U-Boot’s booti, by TFTP' }),
    size('initramfs', { bytes: initrd.sizeBytes, how: 'gzip; init, leash, agent, boot modules' }),
    size('root', { bytes: root.sizeBytes, how: 'zstd squashfs; Node.js, crun, nft, kernel modules' }),
    size('a whole boot by iPXE', {
      bytes: ipxeBytes + kernel.sizeBytes + initrd.sizeBytes + root.sizeBytes,
      how: 'iPXE, kernel, initramfs and root: what one board takes from the controller',
    }),
    size('a sample image', { bytes: Math.max(...samples), how: 'OCI archive, the larger of web and worker' }),
  ];
}

function size(name: string, { bytes, how }: { bytes: number; how: string }): Figure {
  return figureOf({ name: `size of ${name}`, unit: 'MB', samples: [bytes / 1e6], how });
}
