// Looks at this machine for `muster doctor`. Changes nothing, and asks the segment one question: who else gives addresses.
import { execFile } from 'node:child_process';
import { accessSync, constants, readFileSync } from 'node:fs';
import { readdir, stat, statfs } from 'node:fs/promises';
import { release } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { errorChain } from '../../protocol/error-chain.ts';
import { loadBootArtefacts } from '../../boot/artefacts.ts';
import { withDeviceSockets } from '../../boot/device-sockets.ts';
import { ipv4Number } from '../../protocol/ipv4.ts';
import { rollCallPort } from '../../protocol/timing.ts';
import {
  type Configuration,
  type ConfigurationFile,
  ConfigurationError,
  readInterfaces,
  resolveConfiguration,
} from '../configuration.ts';
import { version } from '../version.ts';
import { isMuster, type InterfaceState, type Machine, type PortHolder } from './diagnosis.ts';

const run = promisify(execFile);
const programMs = 10_000;
/** Of linux/capability.h. */
const capabilities: Readonly<Record<string, number>> = { CAP_NET_BIND_SERVICE: 10, CAP_NET_ADMIN: 12, CAP_NET_RAW: 13 };
const fixedPorts: readonly Pick<PortHolder, 'protocol' | 'port'>[] = [
  { protocol: 'udp', port: 67 },
  { protocol: 'udp', port: 69 },
  { protocol: 'udp', port: rollCallPort },
  { protocol: 'tcp', port: 8443 },
  { protocol: 'tcp', port: 8480 },
];

/** `file`: what the operator wrote, checked already; `wrong`: why it could not be read. */
export async function lookAtMachine({
  file,
  wrong,
  now,
}: {
  file: ConfigurationFile;
  wrong?: string | undefined;
  now: number;
}): Promise<Machine> {
  const resolved = resolve(file);
  const configuration = typeof resolved === 'string' ? undefined : resolved;
  const state = file.state ?? '/var/lib/muster';
  const cache = file.cache ?? fileURLToPath(new URL('../../.cache', import.meta.url));
  const holders = await portHolders(file.interface, configuration?.operator.port ?? 8080);
  const known = typeof resolved === 'string' ? resolved : undefined;
  return {
    versions: { muster: version, node: process.version, kernel: release(), system: systemName() },
    configuration: wrong ?? known,
    interface: file.interface === undefined ? undefined : interfaceState(file.interface),
    holders,
    otherServers: await askSegment(configuration, holders),
    addresses: configuration && ipv4Number(configuration.range.to) - ipv4Number(configuration.range.from) + 1,
    neighbourLimit: numberIn('/proc/sys/net/ipv4/neigh/default/gc_thresh3'),
    openFiles: openFiles(),
    directories: [await room('state', state), await room('cache', cache)],
    bootFiles: await bootFilesProblem(cache),
    clock: { now, newestFile: await newestFile(state), synchronized: await isSynchronized() },
    lacking: lackingCapabilities(),
    missingPrograms: ['perl', 'ip', 'ss', 'mksquashfs'].filter((name) => !isProgram(name)),
    isStateOpen: await isOpen(state),
  };
}

function resolve(file: ConfigurationFile): Configuration | string {
  try {
    return resolveConfiguration(file, readInterfaces());
  } catch (error) {
    if (error instanceof ConfigurationError) return errorChain(error);
    throw error;
  }
}

function systemName(): string {
  return /^PRETTY_NAME="?([^"\n]*)/m.exec(textOf('/etc/os-release'))?.[1] ?? 'an unknown system';
}

function interfaceState(name: string): InterfaceState | undefined {
  const at = (what: string) => textOf(`/sys/class/net/${name}/${what}`).trim();
  if (at('ifindex') === '') return undefined;
  const speed = Number(at('speed') || Number.NaN);
  return { name, carrier: at('carrier') === '1', speedMbps: speed > 0 ? speed : undefined };
}

/** Of the ports that a controller needs, those that are held, and by whom. */
async function portHolders(device: string | undefined, operatorPort: number): Promise<PortHolder[]> {
  const wanted = [...fixedPorts, { protocol: 'tcp' as const, port: operatorPort }];
  const { stdout } = await run('ss', ['-H', '-l', '-n', '-p', '-t', '-u'], { timeout: programMs });
  return stdout.split('\n').flatMap((line) => {
    const [protocol, , , , local = ''] = line.trim().split(/\s+/);
    const port = Number(/:(\d+)$/.exec(local)?.[1]);
    // Bound to another interface it is not in our way.
    const bound = /%([^\]:]+)/.exec(local)?.[1];
    if (bound !== undefined && device !== undefined && bound !== device) return [];
    const held = wanted.find((each) => each.protocol === protocol && each.port === port);
    const [, program = '', pid] = /users:\(\("([^"]*)",pid=(\d+)/.exec(line) ?? [];
    return held === undefined ? [] : [{ ...held, program, pid: pid === undefined ? undefined : Number(pid) }];
  });
}

/** By a program of its own, which has the socket: port 67 of that interface alone. */
async function askSegment(
  configuration: Configuration | undefined,
  holders: readonly PortHolder[],
): Promise<Machine['otherServers']> {
  if (configuration === undefined) return 'not looked for: no interface can be used';
  const holder = holders.find(({ protocol, port }) => protocol === 'udp' && port === 67);
  if (holder !== undefined && isMuster(holder.program)) return 'not looked for: a controller runs, and looks itself';
  if (holder !== undefined) return `not looked for: port 67 is in use by ${holder.program}`;
  const [program = '', ...args] = withDeviceSockets({
    interface: configuration.interface,
    sockets: [{ name: 'dhcp', address: '0.0.0.0', port: 67 }],
    command: [
      process.execPath,
      '--disable-warning=ExperimentalWarning',
      fileURLToPath(new URL('main.ts', import.meta.url)),
      'ask-segment',
      configuration.address,
    ],
  });
  try {
    const { stdout } = await run(program, args, { timeout: programMs * 3 });
    const found: Machine['otherServers'] = JSON.parse(stdout);
    return found;
  } catch (error) {
    const said = error instanceof Error && 'stderr' in error ? String(error.stderr).trim().split('\n').at(-1) : '';
    return `not looked for: ${said || errorChain(error)}`;
  }
}

function openFiles(): number {
  const said = /^Max open files\s+\S+\s+(\d+|unlimited)/m.exec(textOf('/proc/self/limits'))?.[1];
  return said === 'unlimited' ? Infinity : Number(said);
}

async function room(name: string, path: string): Promise<Machine['directories'][number]> {
  for (let at = path; ; at = dirname(at)) {
    // Where it is not made yet, its parent has the room.
    const found = await statfs(at).catch(() => undefined);
    if (found !== undefined)
      return { name, path, freeBytes: found.bavail * found.bsize, totalBytes: found.blocks * found.bsize };
    if (at === dirname(at)) throw new Error(`cannot look at the disk of ${path}: not even / can be looked at`);
  }
}

async function bootFilesProblem(cacheDir: string): Promise<string | undefined> {
  try {
    await using _files = await loadBootArtefacts({ cacheDir });
    return undefined;
  } catch (error) {
    return errorChain(error);
  }
}

async function newestFile(directory: string): Promise<number | undefined> {
  const names = await readdir(directory).catch(() => []);
  const times = await Promise.all(names.map((name) => stat(join(directory, name)).then(({ mtimeMs }) => mtimeMs)));
  return times.length === 0 ? undefined : Math.max(...times);
}

async function isSynchronized(): Promise<boolean | undefined> {
  // Not there, or no systemd to ask: nobody knows.
  const answer = await run('timedatectl', ['show', '--property=NTPSynchronized', '--value'], {
    timeout: programMs,
  }).catch(() => undefined);
  const said = answer?.stdout.trim();
  return said === 'yes' ? true : said === 'no' ? false : undefined;
}

function lackingCapabilities(): string[] {
  const effective = BigInt(`0x${/^CapEff:\s*([0-9a-f]+)/m.exec(textOf('/proc/self/status'))?.[1] ?? '0'}`);
  return Object.keys(capabilities).filter((name) => ((effective >> BigInt(capabilities[name] ?? 0)) & 1n) === 0n);
}

function isProgram(name: string): boolean {
  return ['/usr/sbin', '/usr/bin', '/sbin', '/bin'].some((directory) => {
    try {
      accessSync(join(directory, name), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

async function isOpen(directory: string): Promise<boolean> {
  const found = await stat(directory).catch(() => undefined);
  return found !== undefined && (found.mode & 0o077) !== 0;
}

function numberIn(path: string): number | undefined {
  const text = textOf(path).trim();
  return text === '' ? undefined : Number(text);
}

/** Empty where it cannot be read. */
function textOf(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
