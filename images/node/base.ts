/**
 * The base layer: everything of a node's image that comes from packages. Kernel, device tree, boot modules, and the root
 * file system as a squashfs. It takes a minute or two, and changes when the recipe does; our own programs are added to the
 * initramfs afterwards, in a second (see build.ts).
 */
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import {
  chmod,
  copyFile,
  cp,
  mkdir,
  mkdtemp,
  readFile,
  readdir,
  realpath,
  rm,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { constants, gzip } from 'node:zlib';
import { Type, type Static } from 'typebox';
import { Check } from 'typebox/value';
import { run } from '../command.ts';
import { debianSuite, type Candidate } from '../debian.ts';
import { sha256 } from '../digest.ts';
import { containerCapabilities } from '../../protocol/container/capabilities.ts';
import { Artefact, describeArtefact, NodeImageManifest } from '../manifest.ts';
import { megabytes, type Progress } from '../progress.ts';
import { moduleClosure, moduleName, parseModuleIndex } from './modules.ts';
import * as recipe from './recipe.ts';
import { parseContainersProfile, seccompFor } from './seccomp.ts';

/** What the base layer's folder holds besides these artefacts: `boot/`, the tree that the initramfs starts from. */
export const BaseManifest = Type.Object({
  recipe: Type.String(),
  kernelRelease: Type.String(),
  kernel: Artefact,
  kernelGz: Artefact,
  root: Artefact,
  dtb: NodeImageManifest.properties.dtb,
  packages: NodeImageManifest.properties.packages,
  node: NodeImageManifest.properties.node,
});
export type BaseManifest = Static<typeof BaseManifest>;

export interface BuildOptions {
  cacheDir: string;
  progress: Progress;
  signal?: AbortSignal | undefined;
}

const sources = ['recipe.ts', 'base.ts', 'modules.ts', 'seccomp.ts', 'seccomp-denied.ts'];
const tools: Record<string, string> = {
  'apt-get': 'apt',
  'dpkg-deb': 'dpkg',
  depmod: 'kmod',
  mksquashfs: 'squashfs-tools',
  xz: 'xz-utils',
  npm: 'npm',
  'aarch64-linux-gnu-strip': 'binutils-aarch64-linux-gnu',
  'aarch64-linux-gnu-readelf': 'binutils-aarch64-linux-gnu',
};

/** Digest of the sources that decide what the base layer is. */
export async function recipeDigest(): Promise<string> {
  const texts = await Promise.all(sources.map((file) => readFile(new URL(file, import.meta.url), 'utf8')));
  return sha256(texts.join('\0'));
}

export async function readBaseManifest(dir: string): Promise<BaseManifest> {
  const value: unknown = JSON.parse(await readFile(join(dir, 'base.json'), 'utf8'));
  if (!Check(BaseManifest, value)) throw new Error(`cannot use ${dir}/base.json: it is not a base layer's manifest`);
  return value;
}

/** Builds the base layer into the empty folder `out`. */
export async function buildBase(out: string, options: BuildOptions): Promise<BaseManifest> {
  const { cacheDir, progress, signal } = options;
  await checkTools();
  const suite = await debianSuite({ suite: recipe.suite, arch: recipe.architecture, cacheDir, signal, progress });
  const work = await mkdtemp(join(resolve(cacheDir), 'node-base-'));
  try {
    const [meta] = await suite.candidates([recipe.kernelMetaPackage]);
    const kernelPackage = /linux-image-\S+/.exec(meta?.depends ?? '')?.[0];
    if (kernelPackage === undefined)
      throw new Error(`cannot find the kernel that ${recipe.kernelMetaPackage} depends on`);
    const names = await suite.closure([...Object.keys(recipe.programs), ...recipe.libraryPackages]);
    const packages = await suite.candidates([...names, kernelPackage, recipe.seccompPackage]);
    const debs = await suite.fetch(packages);
    const nodeTarball = await fetchNode(options);

    const unpacking = progress.step('unpack packages');
    const trees = { kernel: join(work, 'kernel'), seccomp: join(work, 'seccomp'), system: join(work, 'system') };
    const treeOf = ({ name }: Candidate): string =>
      name === kernelPackage ? trees.kernel : name === recipe.seccompPackage ? trees.seccomp : trees.system;
    for (const candidate of packages) {
      await run('dpkg-deb', ['-x', debs.get(candidate.name) ?? '', treeOf(candidate)], { signal });
    }
    const npm = join(work, 'npm');
    await mkdir(npm);
    await run('tar', ['-xzf', nodeTarball, '-C', npm, 'package/bin/node'], { signal });
    unpacking.done(`${packages.length} packages and Node.js ${recipe.nodeRelease.version}`);

    const kernelRelease = (await readdir(join(trees.kernel, 'usr/lib/modules')))[0] ?? '';
    const root = join(work, 'root');
    const boot = join(out, 'boot');
    await skeleton(root);
    await programs({ root, system: trees.system, node: join(npm, 'package/bin/node'), signal });
    await seccomp({ root, tree: trees.seccomp });

    const selecting = progress.step('kernel modules');
    const counts = await modules({ kernel: trees.kernel, release: kernelRelease, root, boot, signal });
    selecting.done(`${counts.boot} to boot with, ${counts.all} in all`);

    await mkdir(join(boot, 'bin'), { recursive: true });
    await copyFile(join(trees.system, 'usr/bin/busybox'), join(boot, 'bin/busybox'));

    const kernel = await readFile(join(trees.kernel, 'boot', `vmlinuz-${kernelRelease}`));
    await writeFile(join(out, 'vmlinuz'), kernel);
    await writeFile(join(out, 'vmlinuz.gz'), await promisify(gzip)(kernel, { level: constants.Z_BEST_COMPRESSION }));
    const dtb = join('dtb', recipe.deviceTree);
    await mkdir(join(out, dirname(dtb)), { recursive: true });
    await copyFile(join(trees.kernel, 'usr/lib', `linux-image-${kernelRelease}`, recipe.deviceTree), join(out, dtb));

    const squashing = progress.step('root.squashfs');
    await squash({ root, file: join(out, 'root.squashfs'), signal });
    const manifest: BaseManifest = {
      recipe: await recipeDigest(),
      kernelRelease,
      kernel: await describeArtefact(out, 'vmlinuz'),
      kernelGz: await describeArtefact(out, 'vmlinuz.gz'),
      root: await describeArtefact(out, 'root.squashfs'),
      dtb: { [recipe.deviceTree]: await describeArtefact(out, dtb) },
      packages: packages.map((deb) => ({ name: deb.name, version: deb.version, sha256: deb.sha256 })),
      node: { version: recipe.nodeRelease.version, integrity: recipe.nodeRelease.integrity },
    };
    squashing.done(megabytes(manifest.root.sizeBytes));
    await writeFile(join(out, 'base.json'), `${JSON.stringify(manifest, undefined, 2)}\n`);
    return manifest;
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

async function checkTools(): Promise<void> {
  const missing: string[] = [];
  for (const [tool, from] of Object.entries(tools)) {
    const path = `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin`;
    if (!path.split(':').some((dir) => existsSync(join(dir, tool)))) missing.push(`${tool} (package ${from})`);
  }
  if (missing.length > 0) throw new Error(`cannot build the node image: not installed: ${missing.join(', ')}`);
}

/** The pinned Node.js from npm's registry, through npm so that its configuration counts; checked against the pin. */
async function fetchNode({ cacheDir, progress, signal }: BuildOptions): Promise<string> {
  const { package: name, version, integrity } = recipe.nodeRelease;
  const dir = resolve(cacheDir, 'npm');
  const path = join(dir, `${name}-${version}.tgz`);
  const sha512 = async (): Promise<string> =>
    `sha512-${createHash('sha512')
      .update(await readFile(path))
      .digest('base64')}`;
  if (existsSync(path) && (await sha512()) === integrity) return path;
  const step = progress.step(`Node.js ${version} for ${recipe.architecture}`);
  await mkdir(dir, { recursive: true });
  await run('npm', ['pack', `${name}@${version}`, '--silent', '--pack-destination', dir], { cwd: dir, signal });
  const have = await sha512();
  if (have !== integrity) throw new Error(`cannot use ${name} ${version}: integrity ${have}, want ${integrity}`);
  step.done(megabytes((await readFile(path)).length));
  return path;
}

async function skeleton(root: string): Promise<void> {
  const folders = 'dev etc mnt opt/muster proc root run sys tmp usr/bin usr/lib var'.split(' ');
  for (const folder of folders) await mkdir(join(root, folder), { recursive: true });
  for (const [link, target] of Object.entries({ bin: 'usr/bin', sbin: 'usr/bin', lib: 'usr/lib', 'usr/sbin': 'bin' })) {
    await symlink(target, join(root, link));
  }
  for (const applet of recipe.applets) await symlink('busybox', join(root, 'usr/bin', applet));
  await writeFile(join(root, 'etc/passwd'), 'root:x:0:0:root:/root:/bin/sh\n');
  await writeFile(join(root, 'etc/group'), 'root:x:0:\n');
  await writeFile(join(root, 'etc/shells'), '/bin/sh\n');
  await writeFile(join(root, 'etc/hosts'), '127.0.0.1 localhost\n');
  await writeFile(join(root, 'etc/nsswitch.conf'), 'passwd: files\ngroup: files\nhosts: files dns\n');
  await writeFile(join(root, 'etc/os-release'), 'ID=muster-node\nID_LIKE=debian\nPRETTY_NAME="Muster node"\n');
  await chmod(join(root, 'root'), 0o700);
}

async function programs(options: {
  root: string;
  system: string;
  node: string;
  signal: AbortSignal | undefined;
}): Promise<void> {
  const { root, system, node, signal } = options;
  const files: string[] = [];
  for (const path of Object.values(recipe.programs).flat()) {
    const to = join(root, 'usr/bin', basename(path));
    await copyFile(await realpath(join(system, path)), to);
    files.push(to);
  }
  const nodePath = join(root, 'usr/bin/node');
  await run('aarch64-linux-gnu-strip', ['-o', nodePath, node], { signal });
  files.push(nodePath);

  const folders = ['usr/lib/aarch64-linux-gnu', 'usr/lib'].map((folder) => join(system, folder));
  const found = new Set<string>();
  const queue = files;
  for (let file = queue.pop(); file !== undefined; file = queue.pop()) {
    for (const library of await neededLibraries(file, signal)) {
      if (found.has(library)) continue;
      found.add(library);
      const from = folders.map((folder) => join(folder, library)).find((path) => existsSync(path));
      if (from === undefined) throw new Error(`cannot find ${library}, which ${basename(file)} needs`);
      // The loader is looked up by the path in the programs themselves, the others in the multiarch folder.
      const to = join(root, library.startsWith('ld-') ? 'usr/lib' : 'usr/lib/aarch64-linux-gnu', library);
      await mkdir(dirname(to), { recursive: true });
      await copyFile(await realpath(from), to);
      queue.push(to);
    }
  }
}

async function neededLibraries(file: string, signal: AbortSignal | undefined): Promise<string[]> {
  const dynamic = await run('aarch64-linux-gnu-readelf', ['-d', file], { signal });
  return [...dynamic.matchAll(/\(NEEDED\).*\[(.+)\]/g)].map((match) => match[1] ?? '');
}

async function seccomp({ root, tree }: { root: string; tree: string }): Promise<void> {
  const profile = parseContainersProfile(await readFile(join(tree, recipe.seccompPath), 'utf8'));
  const caps = containerCapabilities.map((name) => `CAP_${name}`);
  const text = JSON.stringify(seccompFor(profile, { arch: recipe.architecture, caps }));
  await writeFile(join(root, 'opt/muster/seccomp.json'), `${text}\n`);
}

interface ModulesOptions {
  kernel: string;
  release: string;
  root: string;
  boot: string;
  signal: AbortSignal | undefined;
}

async function modules({
  kernel,
  release,
  root,
  boot,
  signal,
}: ModulesOptions): Promise<{ boot: number; all: number }> {
  const from = join(kernel, 'usr/lib/modules', release);
  await run('depmod', ['-b', join(kernel, 'usr'), release], { signal });
  const text = (name: string): Promise<string> => readFile(join(from, name), 'utf8');
  const index = parseModuleIndex({
    dep: await text('modules.dep'),
    softdep: await text('modules.softdep'),
    builtin: await text('modules.builtin'),
  });
  const install = async (tree: string, names: readonly string[]): Promise<number> => {
    const to = join(tree, 'lib/modules', release);
    const paths = moduleClosure(index, names);
    for (const path of paths) {
      const target = join(to, 'kernel', `${moduleName(path)}.ko`);
      await mkdir(dirname(target), { recursive: true });
      await cp(join(from, path), path.endsWith('.xz') ? `${target}.xz` : target);
    }
    // Uncompressed: the squashfs and the initramfs compress better, and busybox loads them faster.
    const compressed = paths
      .filter((path) => path.endsWith('.xz'))
      .map((path) => join(to, 'kernel', `${moduleName(path)}.ko.xz`));
    if (compressed.length > 0) await run('xz', ['-d', ...compressed], { signal });
    for (const list of ['modules.builtin', 'modules.builtin.modinfo', 'modules.order']) {
      await copyFile(join(from, list), join(to, list));
    }
    await run('depmod', ['-b', tree, release], { signal });
    // The .bin indexes are kmod's; busybox reads the text.
    for (const file of await readdir(to))
      if (/\.bin$|^modules\.(builtin\.modinfo|order)$/.test(file)) await rm(join(to, file));
    return paths.length;
  };
  const counts = { boot: await install(boot, recipe.bootModules), all: 0 };
  counts.all = await install(root, [...recipe.bootModules, ...recipe.runModules]);
  return counts;
}

async function squash({
  root,
  file,
  signal,
}: {
  root: string;
  file: string;
  signal: AbortSignal | undefined;
}): Promise<void> {
  const time = String(recipe.epochSeconds);
  // Level 19 takes almost three times the work of 15 and saves 0.7 %.
  const compression = ['-comp', 'zstd', '-Xcompression-level', '15', '-b', '128K'];
  const fixed = ['-all-root', '-mkfs-time', time, '-all-time', time, '-no-xattrs', '-no-exports'];
  await run('mksquashfs', [root, file, '-noappend', '-no-progress', '-quiet', ...compression, ...fixed], { signal });
}
