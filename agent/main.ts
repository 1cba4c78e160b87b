// Entry point of the agent. On a node everything comes from the kernel's command line and the machine; flags, for a host
// under test, stand in for each of those.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { networkInterfaces, totalmem } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import packageJson from '../package.json' with { type: 'json' };
import { musterWords, parseControllerKeys } from '../protocol/boot/cmdline.ts';
import { subnetOf } from '../protocol/ipv4.ts';
import { parseMac } from '../protocol/mac.ts';
import { rollCallPort } from '../protocol/timing.ts';
import { runAgent } from './agent.ts';
import { ipv4Of } from './beacon.ts';
import { controllerClient, inWords } from './api/controller-client.ts';
import { output } from './facts.ts';
import type { Identity } from './api/join.ts';
import { readOptional } from './sample.ts';
import { serialConsole } from './serial-console.ts';
import { createRuntime } from './containers/runtime.ts';

const console = serialConsole(1);
const stopping = new AbortController();
for (const name of ['SIGTERM', 'SIGINT'] as const) process.once(name, () => stopping.abort());
// Whatever nobody handled: PID 1 starts a new agent, containers run on until their permits run out.
process.on('uncaughtException', (error) => die(error));
process.on('unhandledRejection', (error) => die(error));

try {
  await main(stopping.signal);
  process.exit(0);
} catch (error) {
  if (stopping.signal.aborted) process.exit(0);
  die(error);
}

async function main(signal: AbortSignal): Promise<void> {
  const { values: flags } = parseArgs({
    options: {
      api: { type: 'string' },
      udp: { type: 'string' },
      fp: { type: 'string' },
      token: { type: 'string' },
      mac: { type: 'string' },
      interface: { type: 'string' },
      'boot-id': { type: 'string' },
      'run-dir': { type: 'string', default: '/run/muster' },
      'cgroup-root': { type: 'string', default: '/sys/fs/cgroup' },
      'leash-fifo': { type: 'string' },
      'beacon-port': { type: 'string', default: String(rollCallPort) },
      seccomp: { type: 'string' },
      'no-limits': { type: 'boolean', default: false },
    },
  });
  const words = musterWords(readFileSync('/proc/cmdline', 'latin1'));
  for (const key of ['api', 'udp', 'fp', 'token'] as const) {
    const value = flags[key];
    if (value !== undefined) words.set(key, value);
  }
  const onNode = flags.api === undefined;
  const keys = parseControllerKeys(words);
  const runDir = flags['run-dir'];
  const leashFifo = flags['leash-fifo'] ?? (onNode ? '/run/leash/fifo' : undefined);
  // Containers' roots lie below, and their processes must pass; what is secret in it has a mode of its own.
  mkdirSync(runDir, { recursive: true, mode: 0o711 });

  const rackInterface = flags.interface ?? readOptional('/run/nic')?.trim() ?? firstInterface();
  const identity = await identify(rackInterface, flags);
  const { address, netmask } = await addressOf(rackInterface, signal);
  using client = controllerClient(keys);
  await runAgent({
    identity,
    udp: keys.udp,
    token: keys.token,
    client,
    runDir,
    leashFifo,
    interface: rackInterface,
    beaconPort: Number(flags['beacon-port']),
    createRuntime: (hooks) =>
      createRuntime({
        ...hooks,
        cgroupRoot: flags['cgroup-root'],
        stateDir: runDir,
        firstProcessDirectory: join(leashFifo === undefined ? runDir : dirname(leashFifo), 'first'),
        imageCacheBytes: Math.floor(totalmem() / 4),
        seccompFile: flags.seccomp ?? besideUs('seccomp.json'),
        requireLimits: !flags['no-limits'],
        network: {
          rackInterface,
          rackSubnet: subnetOf(address, netmask),
          nodeAddress: address,
          controllerAddress: keys.api.host,
        },
        log: (text) => console.say(text),
      }),
    log: (text) => console.say(text),
    reboot: onNode ? reboot : (why) => console.say(`would reboot: ${why}`),
    random: Math.random,
    signal,
  });
}

async function identify(
  rackInterface: string,
  flags: { mac?: string | undefined; 'boot-id'?: string | undefined },
): Promise<Identity> {
  const text = flags.mac ?? readFileSync(`/sys/class/net/${rackInterface}/address`, 'latin1').trim();
  const mac = parseMac(text);
  if (mac === undefined) throw new Error(`cannot read the MAC address of ${rackInterface}: ${JSON.stringify(text)}`);
  return {
    mac,
    bootId: flags['boot-id'] ?? readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim(),
    serial: serialNumber(),
    agentVersion: packageJson.version,
    sshHostKey: await sshHostKey('/run/ssh/host_key'),
  };
}

/** Boards have it in the device tree (with a zero byte at its end), others in DMI, some nowhere. */
function serialNumber(): string | null {
  const files = ['/sys/firmware/devicetree/base/serial-number', '/sys/class/dmi/id/product_serial'];
  const serials = files.map((file) => readOptional(file)?.replaceAll('\0', '').trim() ?? '');
  return serials.find((serial) => serial !== '' && !/^(not specified|none|0)$/i.test(serial))?.slice(0, 100) ?? null;
}

/** dropbear keeps the private key in its own form; null where there is no remote shell. */
async function sshHostKey(file: string): Promise<string | null> {
  if (readOptional(file) === undefined) return null;
  return /^(ssh-ed25519 \S+)/m.exec(await output('dropbearkey', ['-y', '-f', file]))?.[1] ?? null;
}

function firstInterface(): string {
  for (const [name, addresses] of Object.entries(networkInterfaces()))
    if (addresses?.some(({ family, internal }) => family === 'IPv4' && !internal) === true) return name;
  throw new Error('cannot find the rack network: no interface has an IPv4 address');
}

/** The DHCP client may still be at work. */
async function addressOf(name: string, signal: AbortSignal): Promise<{ address: string; netmask: string }> {
  for (let tries = 0; tries < 150; tries += 1) {
    const address = ipv4Of(name);
    if (address !== undefined) return address;
    await wait(200, undefined, { signal });
  }
  throw new Error(`cannot find the rack network: ${name} has no IPv4 address after 30 s`);
}

/** Beside the bundle on a node, in its room in the source tree. */
function besideUs(file: string): string {
  return fileURLToPath(
    new URL(import.meta.url.endsWith('.ts') ? `./containers/${file}` : `./${file}`, import.meta.url),
  );
}

/** At once and without a process: nothing on this board is worth an orderly end. */
function reboot(why: string): void {
  console.sayNow(`reboot: ${why}`);
  writeFileSync('/proc/sysrq-trigger', 'b');
}

function die(error: unknown): never {
  console.sayNow(
    `ends: ${inWords(error)}${error instanceof Error ? ` (${(error.stack ?? '').split('\n')[1]?.trim()})` : ''}`,
  );
  process.exit(1);
}
