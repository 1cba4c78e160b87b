// `npm start`, `npm test` and `npm run check`, `bench`, `package` and `simulate` begin here, on a machine that may have nothing yet
// but Node 20: plain JavaScript with no package. Each step looks at the machine itself (dpkg, npm's own record, the
// files) and does only what is missing, so that a second run costs well under two seconds. Then the command runs on
// the pinned Node 24, and its exit code is ours.
import { spawn, spawnSync } from 'node:child_process';
import { closeSync, mkdirSync, openSync, writeFileSync } from 'node:fs';
import { constants } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { checkMachine, distributionName, installPackages, missingPackages, rootPrefix } from './machine.mjs';
import { packagesByCommand } from './packages.mjs';
import { SetupError, step } from './progress.mjs';
import {
  hasBinding,
  hasNode,
  hasPackages,
  installBinding,
  installNode,
  installPackagesFromLock,
  pathWithNode,
} from './toolchain.mjs';

const rootDir = dirname(dirname(fileURLToPath(import.meta.url)));
const cacheDir = resolve(process.env.MUSTER_CACHE ?? join(rootDir, '.cache'));
const logPath = join(cacheDir, 'setup.log');

const commands = {
  start: { entry: ['test/qemu/main.ts'], needsRack: true },
  test: { entry: ['test/run.ts'], needsRack: true },
  check: { entry: ['test/run.ts', '--check'], needsRack: false },
  simulate: { entry: ['test/simulation/main.ts'], needsRack: false },
  package: { entry: ['setup/package/main.ts'], needsRack: true },
  bench: { entry: ['test/bench/main.ts'], needsRack: true },
};

async function main([name = '', ...args]) {
  const command = commands[name];
  if (command === undefined) {
    throw new SetupError(
      `unknown command ${JSON.stringify(name)}, want one of ${Object.keys(commands).join(', ')}: try npm start`,
    );
  }
  const [major = 0] = process.versions.node.split('.').map(Number);
  if (major < 20)
    throw new SetupError(`set-up wants Node 20 or later, this is ${process.version}: install a newer one`);

  await checkMachine({ rootDir, needsRoot: command.needsRack, isFirstRun: !(await hasNode(cacheDir)) });
  mkdirSync(cacheDir, { recursive: true });
  const lock = await lockCache();
  try {
    await prepare({ packages: packagesByCommand[name], needsRack: command.needsRack });
  } finally {
    closeSync(lock);
  }
  return runOnNode24([...command.entry, ...args], { asRoot: command.needsRack });
}

async function prepare({ packages, needsRack }) {
  const options = (report) => ({ rootDir, cacheDir, logPath, report });
  const missing = missingPackages(Object.keys(packages));
  if (missing.length > 0) {
    await step(`system packages: ${missing.join(' ')}`, (report) => installPackages(missing, options(report)));
  }
  if (!(await hasNode(cacheDir))) await step('Node 24', (report) => installNode(options(report)));
  if (!(await hasPackages(rootDir))) {
    await step('npm packages', (report) => installPackagesFromLock(options(report)));
  }
  if (!(await hasBinding(rootDir))) {
    await step('sqlite3 binding', (report) => installBinding(options(report)));
  }
  if (needsRack) {
    const code = await runOnNode24(['setup/artefacts.ts'], { asRoot: true });
    if (code === 130) throw new SetupError('interrupted: run it again, it goes on with what is done so far');
    if (code !== 0) throw new SetupError('cannot prepare the images: see above');
  }
}

/** Two commands started at once in one checkout prepare one after the other. The kernel drops the lock with us. */
async function lockCache() {
  const path = join(cacheDir, 'setup.lock');
  const fd = openSync(path, 'a');
  const tryLock = (args) => spawnSync('flock', [...args, '3'], { stdio: ['ignore', 'ignore', 'inherit', fd] }).status;
  if (tryLock(['-n']) !== 0) {
    await step('another set-up of this checkout to finish', async () => {
      for (let waitedS = 0; waitedS < 1800; waitedS += 5) if (tryLock(['-w', '5']) === 0) return;
      throw new SetupError(`${path} is held by another set-up for half an hour: end it, then run this again`);
    });
  }
  return fd;
}

/** Runs a program of ours and waits for it. Signals are passed on; should we be killed, it is told to end too. */
function runOnNode24(args, { asRoot }) {
  const [entry = '', ...rest] = args;
  const node = [
    join(cacheDir, 'node/bin/node'),
    '--disable-warning=ExperimentalWarning',
    join(rootDir, entry),
    ...rest,
  ];
  const prefix = asRoot ? rootPrefix() : [];
  const keepEnv = prefix.length > 0 ? ['env', `PATH=${pathWithNode(cacheDir).PATH}`, `MUSTER_CACHE=${cacheDir}`] : [];
  const argv = ['setpriv', '--pdeathsig', 'TERM', ...prefix, ...keepEnv, ...node];
  return new Promise((resolveCode, reject) => {
    const child = spawn(argv[0], argv.slice(1), {
      cwd: rootDir,
      stdio: 'inherit',
      env: { ...pathWithNode(cacheDir), MUSTER_CACHE: cacheDir },
    });
    // A Ctrl-C reaches the child twice, from the terminal and from here: our programs take the second as the first.
    const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'];
    const passOn = (signal) => child.kill(signal);
    for (const signal of signals) process.on(signal, passOn);
    child.on('error', (cause) => reject(new SetupError(`cannot run ${argv.join(' ')}: ${cause.message}`, { cause })));
    child.on('exit', (code, signal) => {
      for (const name of signals) process.off(name, passOn);
      resolveCode(code ?? 128 + (constants.signals[signal ?? 'SIGKILL'] ?? 0));
    });
  });
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  if (!(error instanceof SetupError)) throw error;
  if (error.cause instanceof Error) process.stderr.write(`${error.cause.message}\n`);
  process.stderr.write(`\n${error.message}\n`);
  if (error.logPath !== undefined) {
    writeFileSync(error.logPath, `\n(on ${distributionName()}, Node ${process.version})\n`, { flag: 'a' });
    process.stderr.write(`The whole output is in ${error.logPath}\n`);
  }
  process.exitCode = 1;
}
