// `npm run package`: a Debian package of the controller and the command line, with its own Node.js, the npm packages that it
// needs and the boot files, so that its installation needs no network. Set-up has prepared all of them before.
import { execFileSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  globSync,
  mkdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { silentProgress } from '../../images/progress.ts';
import { bundleController } from '../controller-bundle.ts';

const rootDir = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const files = fileURLToPath(new URL('files', import.meta.url));
const cacheDir = process.env['MUSTER_CACHE'] ?? join(rootDir, '.cache');

/** What runs where a controller is installed: boards' programs and the building of images stay in the checkout. */
const rooms = ['boot', 'cli', 'controller', 'dashboard', 'images', 'inventory', 'ipxe', 'protocol', 'scheduler'];
const isForTests = /\.(test|fixture|sandboxed|e2e)\.[a-z]+$|\.golden\.[a-z]+$|(^|\/)testdata(\/|$)/;
/** Of npm's packages: for the node image, and for compiling what is compiled here. */
const unusedFiles = /\.(map|md|[cm]?ts)$/;
const leftOut = ['esbuild', '@esbuild/', 'systeminformation', 'node-gyp'];
/** Of these all but what runs. */
const kept: Record<string, RegExp> = {
  'node_modules/sqlite3': /^(lib(\/|$)|package\.json$|LICENSE$|build$|build\/Release$|.*\.node$)/,
};
const dependencies = 'perl-base, iproute2, squashfs-tools, passwd, libc6 (>= 2.36), libstdc++6';
const architectures: Partial<Record<string, string>> = { x64: 'amd64', arm64: 'arm64' };

interface LockedPackage {
  dev?: boolean;
  devOptional?: boolean;
}

/** Where the package puts the program. */
const home = '/usr/lib/muster';

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      out: { type: 'string', default: join(rootDir, 'artefacts') },
      version: { type: 'string' },
      fast: { type: 'boolean', default: false },
      'without-boot-files': { type: 'boolean', default: false },
    },
  });
  const manifest: { version: string; description: string } = JSON.parse(
    readFileSync(join(rootDir, 'package.json'), 'utf8'),
  );
  const version = values.version ?? manifest.version;
  const architecture = architectures[process.arch];
  if (architecture === undefined) throw new Error(`cannot package for ${process.arch}, want x64 or arm64`);
  const tree = join(resolve(values.out), `muster_${version}_${architecture}`);
  rmSync(tree, { recursive: true, force: true });
  try {
    const program = join(tree, home);
    copyProgram(program);
    // Beside the sources, as in a checkout.
    const cache = join(program, '.cache');
    await bundleController({ rootDir: program, cacheDir: cache, installedAt: home, progress: silentProgress });
    if (!values['without-boot-files']) copyBootFiles(join(tree, 'usr/share/muster'));
    copyDocuments(join(tree, 'usr/share/doc/muster'));
    copyService(tree);
    writeShellFiles(tree);
    writeControl(tree, { version, architecture, description: manifest.description });
    const compression = values.fast ? ['-Znone'] : ['-Zxz', '-z6'];
    const file = `${tree}.deb`;
    execFileSync('dpkg-deb', ['--root-owner-group', ...compression, '--build', tree, file], {
      stdio: ['ignore', 'ignore', 'inherit'],
    });
    process.stdout.write(`✓ ${file}  ${(statSync(file).size / 1e6).toFixed(1)} MB\n`);
  } finally {
    rmSync(tree, { recursive: true, force: true });
  }
}

function copyProgram(to: string): void {
  for (const room of rooms)
    cpSync(join(rootDir, room), join(to, room), {
      recursive: true,
      filter: (path) => !isForTests.test(path.slice(rootDir.length)),
    });
  cpSync(join(rootDir, 'package.json'), join(to, 'package.json'));
  // By this the command line checks answers.
  copyAs(join(rootDir, 'docs/openapi.json'), { to: join(to, 'docs/openapi.json'), mode: 0o644 });
  copyAs(join(cacheDir, 'node/bin/node'), { to: join(to, 'node/bin/node'), mode: 0o755 });
  const lock: { packages: Record<string, LockedPackage> } = JSON.parse(
    readFileSync(join(rootDir, 'package-lock.json'), 'utf8'),
  );
  for (const [path, { dev = false, devOptional = false }] of Object.entries(lock.packages)) {
    const name = path.replace('node_modules/', '');
    if (
      path === '' ||
      dev ||
      devOptional ||
      leftOut.some((each) => name === each || (each.endsWith('/') && name.startsWith(each)))
    )
      continue;
    const from = join(rootDir, path);
    // Of another platform, or one whose packager left it out.
    if (!existsSync(from)) continue;
    const keep = kept[path];
    cpSync(from, join(to, path), {
      recursive: true,
      dereference: true,
      filter: (each) => {
        const inside = each.slice(from.length + 1);
        // What is nested in it has an entry of its own.
        return (
          inside === '' ||
          (inside !== 'node_modules' && !unusedFiles.test(inside) && (keep === undefined || keep.test(inside)))
        );
      },
    });
  }
}

function copyBootFiles(to: string): void {
  for (const path of ['images/node/current', 'ipxe/current', 'samples/current']) {
    const from = join(cacheDir, path);
    if (!existsSync(from))
      throw new Error(`cannot package the boot files: ${from} is not there, want what npm start builds`);
    cpSync(from, join(to, path), { recursive: true, dereference: true });
  }
  // The build's directory was for its owner only.
  execFileSync('chmod', ['-R', 'u=rwX,go=rX', to]);
}

function copyDocuments(to: string): void {
  const documents = ['LICENSE', 'CHANGELOG.md', 'README.md', ...globSync('docs/*.md', { cwd: rootDir })];
  for (const path of documents)
    copyAs(join(rootDir, path), { to: join(to, path === 'LICENSE' ? 'copyright' : basename(path)), mode: 0o644 });
  if (existsSync(join(rootDir, 'docs/monitoring')))
    cpSync(join(rootDir, 'docs/monitoring'), join(to, 'monitoring'), { recursive: true });
}

function copyService(tree: string): void {
  copyAs(join(files, 'muster.service'), { to: join(tree, 'usr/lib/systemd/system/muster.service'), mode: 0o644 });
  copyAs(join(files, 'sysctl.conf'), { to: join(tree, 'usr/lib/sysctl.d/60-muster.conf'), mode: 0o644 });
  copyAs(join(files, 'config.json'), { to: join(tree, 'etc/muster/config.json'), mode: 0o640 });
  mkdirSync(join(tree, 'usr/bin'), { recursive: true });
  symlinkSync('../lib/muster/cli/muster', join(tree, 'usr/bin/muster'));
}

/** The man page and completion where each shell looks for it, said by the packaged program itself. */
function writeShellFiles(tree: string): void {
  const said = (...args: string[]) =>
    execFileSync(process.execPath, [join(tree, home, 'cli/main.ts'), ...args], { encoding: 'utf8' });
  for (const [path, text] of [
    ['share/bash-completion/completions/muster', said('completion', 'bash')],
    ['share/zsh/vendor-completions/_muster', said('completion', 'zsh')],
    ['share/fish/vendor_completions.d/muster.fish', said('completion', 'fish')],
    ['share/man/man1/muster.1', said('man')],
  ] as const) {
    const file = join(tree, 'usr', path);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, text);
  }
}

function writeControl(
  tree: string,
  { version, architecture, description }: { version: string; architecture: string; description: string },
): void {
  // As they stand in a checkout they may be closed to others.
  execFileSync('chmod', ['-R', 'go=rX', join(tree, 'usr')]);
  const control = join(tree, 'DEBIAN');
  mkdirSync(control, { recursive: true });
  const kilobytes = execFileSync('du', ['-sk', tree], { encoding: 'utf8' }).split('\t')[0];
  const fields = {
    Package: 'muster',
    Version: version,
    Architecture: architecture,
    Maintainer: 'The Muster developers <muster@localhost>',
    Section: 'admin',
    Priority: 'optional',
    'Installed-Size': kilobytes,
    Depends: dependencies,
    Recommends: 'skopeo',
    Description: `rack controller\n ${description}.`,
  };
  const text = Object.entries(fields).map(([name, value]) => `${name}: ${value}\n`);
  writeFileSync(join(control, 'control'), text.join(''));
  writeFileSync(join(control, 'conffiles'), '/etc/muster/config.json\n');
  for (const script of ['postinst', 'prerm', 'postrm'])
    copyAs(join(files, script), { to: join(control, script), mode: 0o755 });
  execFileSync('chmod', ['-R', 'go=rX', control]);
}

function copyAs(from: string, { to, mode }: { to: string; mode: number }): void {
  mkdirSync(dirname(to), { recursive: true });
  cpSync(from, to, { dereference: true });
  execFileSync('chmod', [mode.toString(8), to]);
}

await main();
