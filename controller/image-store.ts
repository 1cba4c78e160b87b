// Customers' images: an archive comes in over HTTP, one squashfs by digest goes to disk.
import { createWriteStream } from 'node:fs';
import { mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { importImage } from '../images/customer/import.ts';
import type { Inventory } from '../inventory/inventory.ts';
import type { Image } from '../protocol/api.ts';
import { chain, RefusedError } from './http.ts';

export interface ImageStore {
  /** Takes a docker or OCI archive and answers when it is stored for good. */
  receive(name: string, archive: Readable): Promise<Image>;
  remove(name: string): Promise<void>;
}

export async function openImageStore({
  directory,
  inventory,
  random,
  wallClock,
}: {
  directory: string;
  inventory: Inventory;
  random: (bytes: number) => Buffer;
  wallClock: () => number;
}): Promise<ImageStore> {
  const incoming = join(directory, 'incoming');
  // Whatever an earlier process was receiving was never acknowledged.
  await rm(incoming, { recursive: true, force: true });
  for (const name of await readdir(directory).catch(() => []))
    if (name.startsWith('.import-')) await rm(join(directory, name), { recursive: true, force: true });
  await mkdir(incoming, { recursive: true });
  let busy = Promise.resolve();

  return {
    receive: async (name, archive) => {
      const path = join(incoming, `${random(8).toString('hex')}.tar`);
      try {
        await pipeline(archive, createWriteStream(path));
        // One conversion at a time: it takes all the cores that it is given.
        const conversion = busy.then(() =>
          importImage({ source: path, name, storeDirectory: directory, now: wallClock }),
        );
        busy = conversion.then(
          () => undefined,
          () => undefined,
        );
        const image = await conversion;
        await inventory.saveImage(image);
        inventory.addEvent('image', name, `imported, ${image.squashfs.sizeBytes} bytes`);
        return image;
      } catch (cause) {
        throw new RefusedError(isDiskFull(cause) ? 507 : 400, chain(cause));
      } finally {
        await rm(path, { force: true });
      }
    },
    remove: async (name) => {
      const image = inventory.images().find((each) => each.name === name);
      if (image === undefined) throw new RefusedError(404, `there is no image ${name}`);
      const result = await inventory.removeImage(name);
      if ('refused' in result) throw new RefusedError(409, result.refused);
      // A workload keeps the image that it was deployed with, and a node may still have to fetch it.
      const inUse = [
        ...inventory.images().map(({ squashfs }) => squashfs.sha256),
        ...inventory.workloads().map((workload) => workload.image.squashfs.sha256),
        ...inventory.instances().map(({ desired }) => desired.squashfs.sha256),
      ];
      if (!inUse.includes(image.squashfs.sha256))
        await rm(join(directory, `${image.squashfs.sha256}.squashfs`), { force: true });
    },
  };
}

function isDiskFull(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ENOSPC';
}
