// What the machine must be, and the system packages on it.
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { statfs } from 'node:fs/promises';
import { runLogged, SetupError } from './progress.mjs';

/** Refuses, in one sentence, a machine on which the command cannot work. */
export async function checkMachine({ rootDir, needsRoot, isFirstRun }) {
  if (process.platform !== 'linux') {
    throw new SetupError(`Muster runs on Linux: this is ${process.platform}; use a Debian virtual machine`);
  }
  if (process.arch !== 'x64' && process.arch !== 'arm64') {
    throw new SetupError(`Muster runs on x86-64 and arm64: this is ${process.arch}`);
  }
  if (!existsSync('/usr/bin/apt-get')) {
    throw new SetupError(
      'set-up installs packages with apt-get, which is not here: use Debian 12 or later, or a relative of it',
    );
  }
  if (needsRoot) rootPrefix();
  const wantedBytes = isFirstRun ? 5e9 : 5e8;
  const { bavail, bsize } = await statfs(rootDir);
  if (bavail * bsize < wantedBytes) {
    throw new SetupError(
      `${rootDir} has ${((bavail * bsize) / 1e9).toFixed(1)} GB free, set-up wants ${wantedBytes / 1e9} GB: free some space and run it again`,
    );
  }
}

/** What to put before a command that must be root: nothing as root, `sudo -n` where sudo asks no password. */
export function rootPrefix() {
  if (process.getuid?.() === 0) return [];
  if (spawnSync('sudo', ['-n', 'true'], { stdio: 'ignore' }).status === 0) return ['sudo', '-n'];
  throw new SetupError(
    'the virtual rack needs root (network namespace, taps, packages): run this as root, or let sudo work without a password',
  );
}

/** The packages of `wanted` that are not installed. One dpkg-query, about 30 ms. */
export function missingPackages(wanted) {
  const query = spawnSync('dpkg-query', ['-W', '-f', '${Package} ${db:Status-Status}\\n', ...wanted], {
    encoding: 'utf8',
  });
  const installed = new Set(
    (query.stdout ?? '')
      .split('\n')
      .filter((line) => line.endsWith(' installed'))
      .map((line) => line.split(' ')[0]),
  );
  return wanted.filter((name) => !installed.has(name));
}

/** Installs packages without a question; refreshes the package lists only when they are missing or stale. */
export async function installPackages(names, { logPath, report }) {
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  const root = rootPrefix();
  const aptGet = [...root, ...(root.length > 0 ? ['env', 'DEBIAN_FRONTEND=noninteractive'] : []), 'apt-get'];
  const options = ['-y', '-o', 'DPkg::Lock::Timeout=600', '-o', 'Acquire::Retries=3', '--no-install-recommends'];
  const install = () =>
    runLogged([...aptGet, ...options, 'install', ...names], {
      logPath,
      env,
      report,
      hint: `cannot install ${names.join(' ')}: apt-get refused; check the network and /etc/apt, then run this again`,
    });
  const update = () =>
    runLogged([...aptGet, ...options, 'update'], {
      logPath,
      env,
      report,
      hint: 'cannot refresh the package lists: check the network and /etc/apt, then run this again',
    });

  let output;
  if (!hasPackageLists()) {
    await update();
    output = await install();
  } else {
    // Lists that are days old name files the mirror no longer has; only then is a refresh worth its time.
    output = await install().catch(async () => {
      await update();
      return install();
    });
  }
  return /Need to get ([\d.,]+ \S+)/.exec(output)?.[1] ?? 'from the package cache';
}

function hasPackageLists() {
  try {
    return readdirSync('/var/lib/apt/lists').some((name) => /_Packages(\.\w+)?$/.test(name));
  } catch {
    return false; // a minimal image may ship without the folder: then there are no lists
  }
}

/** The distribution's own name, for the log and for messages. */
export function distributionName() {
  try {
    return /^PRETTY_NAME="?([^"\n]*)/m.exec(readFileSync('/etc/os-release', 'utf8'))?.[1] ?? 'unknown';
  } catch {
    return execFileSync('uname', ['-sr'], { encoding: 'utf8' }).trim();
  }
}
