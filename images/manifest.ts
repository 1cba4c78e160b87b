/** What an image build made, and from what: written beside the files, and read again by whoever serves them. */
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { Type, type Static } from 'typebox';
import { Check, Errors } from 'typebox/value';
import { sha256File } from './digest.ts';

const Sha256 = Type.String({ pattern: '^[0-9a-f]{64}$' });

export const Artefact = Type.Object({
  /** Path relative to the manifest. */
  file: Type.String({ pattern: '^[A-Za-z0-9][A-Za-z0-9._/-]*$' }),
  sha256: Sha256,
  sizeBytes: Type.Integer({ minimum: 0 }),
});
export type Artefact = Static<typeof Artefact>;

export const NodeImageManifest = Type.Object({
  version: Type.Literal(1),
  /** Digest of everything that went in; the name of the folder too. */
  key: Sha256,
  kernelRelease: Type.String(),
  /** The raw arm64 Image, an EFI application too. */
  kernel: Artefact,
  /** The same, gzipped, for U-Boot's `booti`, which is spared two thirds of the transfer. */
  kernelGz: Artefact,
  initrd: Artefact,
  /** The zstd squashfs that the initramfs fetches as `/image/<sha256>`. */
  root: Artefact,
  /** Device trees by the path that U-Boot asks for below `dtb/`. */
  dtb: Type.Record(Type.String(), Artefact),
  packages: Type.Array(Type.Object({ name: Type.String(), version: Type.String(), sha256: Sha256 })),
  node: Type.Object({ version: Type.String(), integrity: Type.String() }),
});
export type NodeImageManifest = Static<typeof NodeImageManifest>;

/** A built node image: its manifest and the folder that the artefacts' paths are relative to. */
export interface NodeImage {
  dir: string;
  manifest: NodeImageManifest;
}

/** Reads an image's manifest. Throws when it is not one; the files are not looked at. */
export async function readNodeImageManifest(dir: string): Promise<NodeImageManifest> {
  const path = join(dir, 'manifest.json');
  const value: unknown = JSON.parse(await readFile(path, 'utf8'));
  if (Check(NodeImageManifest, value)) return value;
  const [first] = Errors(NodeImageManifest, value);
  throw new Error(
    `cannot use ${path}: ${first?.instancePath ?? ''} ${first?.message ?? 'is not a node image manifest'}`,
  );
}

/** Reads an image and checks every file's size and digest. Throws naming the first that differs. */
export async function loadNodeImage(dir: string): Promise<NodeImage> {
  const manifest = await readNodeImageManifest(dir);
  const { kernel, kernelGz, initrd, root, dtb } = manifest;
  for (const artefact of [kernel, kernelGz, initrd, root, ...Object.values(dtb)]) await checkArtefact(dir, artefact);
  return { dir, manifest };
}

async function checkArtefact(dir: string, artefact: Artefact): Promise<void> {
  const path = join(dir, artefact.file);
  const { size } = await stat(path);
  if (size !== artefact.sizeBytes) throw new Error(`cannot use ${path}: ${size} bytes, want ${artefact.sizeBytes}`);
  const sha256 = await sha256File(path);
  if (sha256 !== artefact.sha256) throw new Error(`cannot use ${path}: sha256 ${sha256}, want ${artefact.sha256}`);
}

/** Describes a file that was just built. */
export async function describeArtefact(dir: string, file: string): Promise<Artefact> {
  const path = join(dir, file);
  return { file, sha256: await sha256File(path), sizeBytes: (await stat(path)).size };
}
