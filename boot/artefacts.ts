// The files that boards load. They are few, some 100 MB, and asked for by hundreds of boards at once or by nobody for
// weeks. So all of them are checked at the start; a file is read into memory, for all who want it together, when it is
// asked for, and given up a minute after the last one asked. Each reading is checked against the digest of the file's
// manifest: what changed on the disk since the start is refused and never served. The kernel's page cache spares the disk.
// The files stay open: whoever builds the next image beside us, or clears the cache, takes nothing away from a rack that
// boots.

import { open, readFile, type FileHandle } from 'node:fs/promises';
import path from 'node:path';
import { Check } from 'typebox/value';
import { readNodeImageManifest } from '../images/manifest.ts';
import { IpxeManifest } from '../ipxe/binary.ts';

export interface Artefact {
  sizeBytes: number;
  /** In hex. */
  sha256: string;
  /** The whole file, shared: not to be changed. Rejects where it is not what its digest says (any more). */
  bytes(): Promise<Buffer>;
}

export interface BootArtefacts {
  /** Which build of the node image this is. */
  imageKey: string;
  /** Raw, and an EFI program too. */
  kernel: Artefact;
  /** The same for U-Boot's `booti`, which unpacks it. */
  kernelGz: Artefact;
  initrd: Artefact;
  /** The zstd squashfs that the initramfs fetches. */
  root: Artefact;
  /** Device trees by U-Boot's name: `amlogic/meson-gxbb-odroidc2.dtb`. */
  dtb: ReadonlyMap<string, Artefact>;
  ipxe: {
    version: string;
    /** For UEFI. */
    plain: Artefact;
    /** For U-Boot, under which iPXE must not wait for an interrupt. */
    patched: Artefact;
    /** Whether this build has `sha256sum --set`. */
    hashCheck: boolean;
  };
}

/** Closes the files when it is disposed. */
export type OpenArtefacts = BootArtefacts & AsyncDisposable;

/** One file as a manifest names it, and where. */
interface PinnedFile {
  location: string;
  sizeBytes: number;
  sha256: string;
}

const keptMs = 60_000;

/**
 * Loads what setup put under `<cacheDir>/images/node/current` and `<cacheDir>/ipxe/current`. Throws, naming every file
 * at fault, where one is missing or is not what its manifest says.
 */
export async function loadBootArtefacts({ cacheDir }: { cacheDir: string }): Promise<OpenArtefacts> {
  await using opened = new AsyncDisposableStack();
  const imageDir = path.join(cacheDir, 'images/node/current');
  const ipxeDir = path.join(cacheDir, 'ipxe/current');
  const [image, ipxe] = await Promise.all([readNodeImageManifest(imageDir), readIpxeManifest(ipxeDir)]);
  const faults: string[] = [];
  const load = (directory: string, { file, ...pinned }: { file: string; sizeBytes: number; sha256: string }) =>
    checked({ location: path.join(directory, file), ...pinned }, { faults, opened });
  const [kernel, kernelGz, initrd, root, plain, patched] = await Promise.all([
    load(imageDir, image.kernel),
    load(imageDir, image.kernelGz),
    load(imageDir, image.initrd),
    load(imageDir, image.root),
    load(ipxeDir, ipxe.efi),
    load(ipxeDir, ipxe.uboot),
  ]);
  const dtb = new Map<string, Artefact>();
  for (const [name, file] of Object.entries(image.dtb)) dtb.set(name, await load(imageDir, file));
  if (faults.length > 0) throw new Error(`cannot serve boot files:\n  ${faults.join('\n  ')}`);
  collectGarbage();
  const files = opened.move();
  return {
    imageKey: image.key,
    kernel,
    kernelGz,
    initrd,
    root,
    dtb,
    ipxe: { version: ipxe.packageVersion, hashCheck: ipxe.hashCheck, plain, patched },
    [Symbol.asyncDispose]: () => files.disposeAsync(),
  };
}

async function readIpxeManifest(directory: string): Promise<IpxeManifest> {
  const location = path.join(directory, 'manifest.json');
  const manifest: unknown = JSON.parse(await readFile(location, 'utf8'));
  if (!Check(IpxeManifest, manifest)) throw new Error(`cannot use ${location}: it is not an iPXE manifest`);
  return manifest;
}

/** What is wrong goes to `faults`, so that all of it can be said at once. */
async function checked(
  file: PinnedFile,
  { faults, opened }: { faults: string[]; opened: AsyncDisposableStack },
): Promise<Artefact> {
  const opening = open(file.location);
  const reading = async (): Promise<Buffer> => read(await opening, file);
  try {
    opened.use(await opening);
    await reading();
  } catch (error) {
    faults.push(error instanceof Error ? error.message : String(error));
  }
  let kept: Promise<Buffer> | undefined;
  let giveUp: NodeJS.Timeout | undefined;
  return {
    sizeBytes: file.sizeBytes,
    sha256: file.sha256,
    bytes: () => {
      const forget = () => {
        kept = undefined;
        collectGarbage();
      };
      clearTimeout(giveUp);
      giveUp = setTimeout(forget, keptMs).unref();
      kept ??= reading().catch((error: unknown) => {
        kept = undefined;
        throw error;
      });
      return kept;
    },
  };
}

async function read(opened: FileHandle, { location, sizeBytes, sha256 }: PinnedFile): Promise<Buffer> {
  const bytes = await bytesOf(opened);
  // On Node's own threads: 100 MB are half a second, in which heartbeats must be answered.
  const found = Buffer.from(await crypto.subtle.digest('SHA-256', bytes)).toString('hex');
  if (found !== sha256) throw new Error(`${location}: sha256 ${found}, want ${sha256}`);
  if (bytes.length !== sizeBytes) throw new Error(`${location}: ${bytes.length} bytes, want ${sizeBytes}`);
  return bytes;
}

/** From its beginning, whoever has read it before. */
async function bytesOf(file: FileHandle): Promise<Buffer> {
  const { size } = await file.stat();
  const bytes = Buffer.allocUnsafeSlow(size);
  let filled = 0;
  while (filled < size) {
    const { bytesRead } = await file.read(bytes, filled, size - filled, filled);
    if (bytesRead === 0) break; // it was cut while we read
    filled += bytesRead;
  }
  return bytes.subarray(0, filled);
}

/** The collector, which sees small objects only, is in no hurry with 100 MB that hang on a few; `--expose-gc` lets us ask. */
function collectGarbage(): void {
  void globalThis.gc?.({ type: 'major', execution: 'async' });
}
