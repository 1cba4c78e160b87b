// `npm start`: the virtual rack with its real controller, until Ctrl-C.
import { spawnSync } from 'node:child_process';
import { existsSync, ftruncateSync, mkdirSync, openSync, readFileSync, writeSync } from 'node:fs';
import { basename, dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { errorChain } from '../../protocol/error-chain.ts';
import type { Firmware } from './firmware.ts';
import { defaultCacheDir, virtualRack, type RackNode, type VirtualRack } from './rack.ts';
import { watchStages } from './stage-watch.ts';

const rootDir = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const firmwareNames: Record<Firmware, string> = { uboot: 'U-Boot', uefi: 'UEFI', 'uefi-http': 'UEFI HTTP' };
// Where `muster` looks for the operators' token.
const defaultStateDir = join(rootDir, '.state', 'rack');
const boardLimit = 200; // of the address range that the virtual rack's controller leases

const help = `npm start: a controller and a rack of virtual boards, until Ctrl-C

  npm start -- [--nodes N] [--port PORT] [--state-dir DIR]

  --nodes N        boards, U-Boot and UEFI in turn (default 2)
  --port PORT      of the dashboard and the operators' API on 127.0.0.1 (default 8080)
  --state-dir DIR  what the rack remembers between starts (default .state/rack)
`;

/** What the person who ran the command should read, in one sentence. */
class Refusal extends Error {}

function parseOptions(args: string[]): { boards: number; port: number; stateDir: string } | undefined {
  const { values } = parseArgs({
    args,
    options: {
      help: { type: 'boolean', short: 'h' },
      nodes: { type: 'string', default: '2' },
      port: { type: 'string', default: '8080' },
      'state-dir': { type: 'string', default: defaultStateDir },
      state: { type: 'string' },
    },
  });
  if (values.help === true) return undefined;
  if (values.state !== undefined) throw new Refusal('there is no option --state, it is --state-dir now');
  const boards = Number(values.nodes);
  const port = Number(values.port);
  if (!Number.isInteger(boards) || boards < 1 || boards > boardLimit) {
    throw new Refusal(`cannot start ${values.nodes} boards: want --nodes with 1 to ${boardLimit}`);
  }
  if (!Number.isInteger(port) || port < 0 || port > 65_535) {
    throw new Refusal(`cannot listen on port ${values.port}: want --port with 0 to 65535`);
  }
  return { boards, port, stateDir: resolve(values['state-dir']) };
}

function checkMachine(): void {
  if (process.getuid?.() !== 0)
    throw new Refusal('the virtual rack needs root for its private network: want npm start');
  const wanted = [
    '/usr/bin/qemu-system-aarch64',
    '/usr/bin/mkenvimage',
    '/usr/bin/tcpdump',
    '/usr/lib/u-boot/qemu_arm64/u-boot.bin',
    '/usr/share/AAVMF/AAVMF_CODE.fd',
    '/dev/net/tun',
  ];
  const missing = wanted.filter((path) => !existsSync(path) && !existsSync(path.replace('/usr/bin/', '/usr/sbin/')));
  if (missing.length > 0) throw new Refusal(`the virtual rack wants ${missing.join(', ')}: npm start installs it`);
}

/**
 * One rack at a time keeps its state there; the kernel gives the lock back however we end. Who has it is in the file: a rack
 * whose `npm start` was killed by kill -9 at its top runs on, and nobody at a terminal can end it by Ctrl-C.
 */
function lockState(stateDir: string): { tell: (dashboard: string) => void } {
  mkdirSync(stateDir, { recursive: true, mode: 0o700 });
  const path = join(stateDir, 'lock');
  const fd = openSync(path, 'a+');
  if (spawnSync('flock', ['-n', '3'], { stdio: ['ignore', 'ignore', 'inherit', fd] }).status !== 0) {
    const [pid = '', dashboard = ''] = readFileSync(path, 'utf8').trim().split(' ');
    const kill = `${process.env['SUDO_UID'] === undefined ? '' : 'sudo '}kill ${pid}`;
    throw new Refusal(
      `another npm start ${pid === '' ? '' : `(process ${pid}) `}uses ${relative(rootDir, stateDir)}: ` +
        `end it with Ctrl-C in its terminal${pid === '' ? '' : ` or "${kill}"`}, or look at its dashboard${dashboard === '' ? '' : ` at ${dashboard}`}`,
    );
  }
  const tell = (dashboard: string) => {
    ftruncateSync(fd);
    writeSync(fd, `${process.pid} ${dashboard}\n`);
  };
  tell('');
  return { tell };
}

async function main(args: string[]): Promise<void> {
  const options = parseOptions(args);
  if (options === undefined) {
    process.stdout.write(help);
    return;
  }
  checkMachine();
  const { stateDir } = options;
  const lock = lockState(stateDir);
  const stop = new AbortController();
  // A Ctrl-C comes twice, from the terminal and from npm; the second finds nothing more to abort.
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(name, () => stop.abort());

  const startedAt = performance.now();
  const say = (text: string) => {
    const seconds = ((performance.now() - startedAt) / 1000).toFixed(1).padStart(6);
    process.stdout.write(`${seconds} s  ${text}\n`);
  };
  await using rack = await virtualRack({
    name: stateDir === defaultStateDir ? 'start' : `start-${basename(stateDir)}`,
    uboot: Math.ceil(options.boards / 2),
    uefi: Math.floor(options.boards / 2),
    port: options.port,
    stateDir,
  });
  lock.tell(rack.controller.url);
  await greet(rack, stateDir);
  say(`controller serves (${Math.round(rack.controller.startedInMs)} ms after its start), boards are on`);
  const follow = new AbortController();
  const watching = watchStages(rack.controller.url, {
    token: await rack.controller.token(),
    signal: AbortSignal.any([stop.signal, follow.signal]),
    tell: (node) => {
      const number = rack.nodes.findIndex(({ mac }) => mac === node.mac) + 1;
      if (number > 0) say(`${title(number, rack.node(number))}  ${node.text}`);
    },
  });
  // A board that has heard no controller for 3 s stops its customers: one that ends is started again at once.
  const supervised = rack.controller.supervise({
    signal: stop.signal,
    restarted: (how, awayMs) => say(`the controller ended (${how}) and was started again: ${Math.round(awayMs)} ms`),
  });
  const ended = supervised.then(
    () => undefined,
    (error: unknown) => ({ error }),
  );
  const ready = rack.allReady({ timeoutMs: 600_000 }).then(() => 'ready' as const);
  ready.catch(() => undefined); // looked at below, unless a Ctrl-C came first
  if ((await Promise.race([ready, ended])) === 'ready') {
    say(rack.nodes.length === 1 ? 'the board is ready' : `all ${rack.nodes.length} boards are ready`);
    process.stdout.write(hints(rack, options));
  }
  const failed = await ended;
  follow.abort();
  await watching;
  if (failed !== undefined) {
    const where = `see ${relative(rootDir, rack.artefactsDir)}/`;
    throw new Refusal(`the controller ended and does not start again: ${where}`, { cause: failed.error });
  }
  say('switching off');
}

const title = (number: number, board: RackNode): string => `board ${number} (${firmwareNames[board.firmware]})`;

async function greet(rack: VirtualRack, stateDir: string): Promise<void> {
  const token = await rack.controller.token();
  const logs = relative(rootDir, rack.artefactsDir);
  process.stdout.write(`
Muster: a controller and ${rack.nodes.length} virtual boards in a private network

  dashboard  ${rack.controller.url}/#token=${token}
  token      ${token}
  log        ${relative(rootDir, stateDir)}/log/controller.log, kept between starts
  of boards  ${logs}/serial-<board>.log, br0.pcap

`);
}

function hints(rack: VirtualRack, { port, stateDir }: { port: number; stateDir: string }): string {
  const where = [
    ...(port === 8080 ? [] : [`MUSTER_URL=${rack.controller.url}`]),
    ...(stateDir === defaultStateDir ? [] : [`MUSTER_STATE=${stateDir}`]),
  ];
  return `
Try, in another terminal:

${where.length === 0 ? '' : `  export ${where.join(' ')}\n`}  ./cli/muster nodes
  ./cli/muster image import ${relative(rootDir, defaultCacheDir)}/samples/current/web.tar --name web
  ./cli/muster customer add acme
  ./cli/muster deploy acme/web --image web --replicas ${Math.min(2, rack.nodes.length)} --port 8080
  ./cli/muster ps
  ./cli/muster kill acme --reason "trying it out"

So that "muster" alone is enough, with completion in bash:

  export PATH="${join(rootDir, 'cli')}:$PATH"
  source <(muster completion bash)

Ctrl-C switches everything off and leaves nothing running; what the rack remembers stays in ${relative(rootDir, stateDir)}/.

`;
}

try {
  await main(process.argv.slice(2));
  process.exit(0);
} catch (error) {
  process.stderr.write(`\n${errorChain(error)}\n`);
  process.exit(1);
}
