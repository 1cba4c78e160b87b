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
    size('iPXE', ipxeBytes, 'the packaged file, by TFTP'),
    size('kernel', kernel.sizeBytes, 'raw Image, by HTTP'),
    size('kernel, gzip', kernelGz.sizeBytes, 'for U-Boot’s booti, by TFTP'),
    size('initramfs', initrd.sizeBytes, 'gzip; init, leash, agent, boot modules'),
    size('root', root.sizeBytes, 'zstd squashfs; Node.js, crun, nft, kernel modules'),
    size(
      'a whole boot by iPXE',
      ipxeBytes + kernel.sizeBytes + initrd.sizeBytes + root.sizeBytes,
      'iPXE, kernel, initramfs and root: what one board takes from the controller',
    ),
    size('a sample image', Math.max(...samples), 'OCI archive, the larger of web and worker'),
  ];
}

function size(name: string, bytes: number, how: string): Figure {
  return figureOf({ name: `size of ${name}`, unit: 'MB', samples: [bytes / 1e6], how });
}
