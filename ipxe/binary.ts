/**
 * The iPXE program for arm64 boards, as Debian packages it, and a copy that runs under U-Boot.
 *
 *   <cache>/ipxe/<sha256 as packaged>/  ipxe-arm64.efi  ipxe-arm64-uboot.efi  manifest.json
 *   <cache>/ipxe/current                link to the one prepared last
 *
 * Debian's sid has 2.0, whose scripts can check a sha256; trixie's 1.21 is the fallback and cannot. Either may move any
 * day: apt's signatures vouch for what comes, and the manifest records it.
 */
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { Type, type Static } from 'typebox';
import { Check } from 'typebox/value';
import { run } from '../images/command.ts';
import { debianSuite } from '../images/debian.ts';
import { sha256 } from '../images/digest.ts';
import { Artefact, describeArtefact } from '../images/manifest.ts';
import { megabytes, type Progress } from '../images/progress.ts';

export const IpxeManifest = Type.Object({
  version: Type.Literal(1),
  suite: Type.String(),
  /** Debian's version of the package. */
  packageVersion: Type.String(),
  /** Whether scripts may use `sha256sum --set`. Without it a boot's kernel and initramfs go unchecked by iPXE. */
  hashCheck: Type.Boolean(),
  /** As packaged: for UEFI. */
  efi: Artefact,
  /** With the idle instruction replaced: for U-Boot. */
  uboot: Artefact,
});
export type IpxeManifest = Static<typeof IpxeManifest>;

/** A prepared iPXE: its manifest and the folder that the artefacts' paths are relative to. */
export interface Ipxe {
  dir: string;
  manifest: IpxeManifest;
}

export interface IpxeOptions {
  cacheDir: string;
  progress: Progress;
  signal?: AbortSignal | undefined;
}

/** In the order of preference; 2.0 brought `sha256sum --set`. */
const suites = [
  { suite: 'sid', wantsHashCheck: true },
  { suite: 'trixie', wantsHashCheck: false },
];
const packagedPath = 'usr/lib/ipxe/ipxe-arm64.efi';
const efiFile = 'ipxe-arm64.efi';
const ubootFile = 'ipxe-arm64-uboot.efi';

/**
 * Fetches, patches and caches iPXE; what is in the cache is checked by digest and used without asking any mirror.
 * Throws with the reasons of both suites when neither gives a usable binary.
 */
export async function prepareIpxe(options: IpxeOptions): Promise<Ipxe> {
  const parent = resolve(options.cacheDir, 'ipxe');
  const cached = await cachedIpxe(join(parent, 'current'));
  if (cached !== undefined) return cached;
  await mkdir(parent, { recursive: true });
  const failures: unknown[] = [];
  for (const { suite, wantsHashCheck } of suites) {
    try {
      return await prepareFrom({ ...options, parent, suite, wantsHashCheck });
    } catch (error) {
      options.signal?.throwIfAborted();
      failures.push(error);
    }
  }
  const reasons = failures.map((failure) => (failure instanceof Error ? failure.message : String(failure))).join('; ');
  throw new AggregateError(failures, `cannot prepare iPXE: ${reasons}`);
}

/**
 * Replaces the one WFI with YIELD. iPXE idles with WFI and U-Boot never lets an interrupt through to end it, so the packaged
 * binary hangs under U-Boot (ipxe issue 1510); under UEFI it is fine as it is.
 * Throws unless exactly one aligned WFI is there: with none or several we do not know what we would be changing.
 */
export function patchForUBoot(packaged: Uint8Array): Buffer {
  const patched = Buffer.from(packaged);
  const found: number[] = [];
  for (let offset = 0; offset + 4 <= patched.length; offset += 4) {
    if (patched.readUInt32LE(offset) === wfi) found.push(offset);
  }
  const [offset] = found;
  if (offset === undefined || found.length !== 1) {
    throw new Error(`cannot patch iPXE for U-Boot: ${found.length} WFI instructions, want exactly 1`);
  }
  patched.writeUInt32LE(yieldHint, offset);
  return patched;
}

// AArch64 instructions are 4 bytes, little-endian, aligned.
const wfi = 0xd503207f;
const yieldHint = 0xd503203f;

interface PrepareOptions extends IpxeOptions {
  parent: string;
  suite: string;
  wantsHashCheck: boolean;
}

async function prepareFrom(options: PrepareOptions): Promise<Ipxe> {
  const { cacheDir, progress, signal, parent, suite, wantsHashCheck } = options;
  const debian = await debianSuite({ suite, arch: 'arm64', cacheDir, signal, progress });
  const [candidate] = await debian.candidates(['ipxe']);
  if (candidate === undefined) throw new Error(`cannot find ipxe in Debian ${suite}`);
  const debs = await debian.fetch([candidate]);
  const partial = await mkdtemp(join(parent, 'partial-'));
  try {
    const tree = join(partial, 'tree');
    await run('dpkg-deb', ['-x', debs.get('ipxe') ?? '', tree], { signal });
    const packaged = await readFile(join(tree, packagedPath));
    await rm(tree, { recursive: true });
    await writeFile(join(partial, efiFile), packaged);
    await writeFile(join(partial, ubootFile), patchForUBoot(packaged));
    const manifest: IpxeManifest = {
      version: 1,
      suite,
      packageVersion: candidate.version,
      hashCheck: wantsHashCheck && Number.parseInt(candidate.version, 10) >= 2,
      efi: await describeArtefact(partial, efiFile),
      uboot: await describeArtefact(partial, ubootFile),
    };
    await writeFile(join(partial, 'manifest.json'), `${JSON.stringify(manifest, undefined, 2)}\n`);
    const step = progress.step(`iPXE ${candidate.version} from Debian ${suite}`);
    const dir = join(parent, sha256(packaged));
    await rm(dir, { recursive: true, force: true });
    await rename(partial, dir);
    const next = join(parent, `current-${process.pid}`);
    await rm(next, { force: true });
    await symlink(manifest.efi.sha256, next);
    await rename(next, join(parent, 'current'));
    step.done(`${megabytes(manifest.efi.sizeBytes)}${manifest.hashCheck ? '' : ', without hash check in iPXE'}`);
    return { dir, manifest };
  } finally {
    await rm(partial, { recursive: true, force: true });
  }
}

/** What the cache holds, if it is whole: a cache may have been cut short or tampered with, and is then made again. */
async function cachedIpxe(dir: string): Promise<Ipxe | undefined> {
  const path = join(dir, 'manifest.json');
  if (!existsSync(path)) return undefined;
  const manifest: unknown = JSON.parse(await readFile(path, 'utf8'));
  if (!Check(IpxeManifest, manifest)) return undefined;
  for (const artefact of [manifest.efi, manifest.uboot]) {
    const file = join(dir, artefact.file);
    if (!existsSync(file) || sha256(await readFile(file)) !== artefact.sha256) return undefined;
  }
  return { dir, manifest };
}
