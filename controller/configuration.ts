// What an operator may set, validated whole before anything starts: every bad key is reported at once, with the value wanted.
import { readFileSync } from 'node:fs';
import { execFileSync } from 'node:child_process';
import type { DeviceSocket } from '../boot/device-sockets.ts';
import { broadcastOf, formatIpv4, ipv4Number, netmaskOf, networkOf } from '../protocol/ipv4.ts';
import { rollCallPort } from '../protocol/timing.ts';
import { Type, type Static } from 'typebox';
import { Check, Errors } from 'typebox/value';
import { powerProblems, resolvePower, type PowerConfiguration, type PowerFile } from './power/configuration.ts';

const address = '((25[0-5]|2[0-4][0-9]|1?[0-9]{1,2})\\.){3}(25[0-5]|2[0-4][0-9]|1?[0-9]{1,2})';

/** The configuration file (JSON) and, under the same names, the flags of `muster up`. */
export const ConfigurationFile = Type.Object(
  {
    rack: Type.Optional(Type.String({ minLength: 1, maxLength: 60, description: "the rack's name on every screen" })),
    interface: Type.Optional(
      Type.String({
        pattern: '^[A-Za-z0-9_.-]{1,15}$',
        description: 'the network interface that the boards are connected to',
      }),
    ),
    address: Type.Optional(
      Type.String({
        pattern: `^${address}/([89]|[12][0-9]|30)$`,
        description: 'our address on it, as 10.77.0.1/24; read from the interface when left out',
      }),
    ),
    range: Type.Optional(
      Type.String({
        pattern: `^${address}-${address}$`,
        description:
          'addresses to lease, as 10.77.0.50-10.77.0.250; the upper three quarters of the network when left out',
      }),
    ),
    gateway: Type.Optional(
      Type.String({
        pattern: `^${address}$`,
        description: 'the default route that boards are given; none when left out',
      }),
    ),
    leaseSeconds: Type.Optional(
      Type.Integer({ minimum: 60, maximum: 604_800, description: 'how long an address is leased, 60 to 604800 s' }),
    ),
    uboot: Type.Optional(
      Type.Union([Type.Literal('ipxe'), Type.Literal('pxelinux')], {
        description: 'ipxe or pxelinux: the boot method of U-Boot boards',
      }),
    ),
    operator: Type.Optional(
      Type.String({
        pattern: '^[^\\s:]+:[0-9]{1,5}$',
        description: 'host:port of the dashboard and the operators\u2019 API',
      }),
    ),
    reservations: Type.Optional(
      Type.Record(
        Type.String({ pattern: '^([0-9a-f]{2}:){5}[0-9a-f]{2}$' }),
        Type.String({ pattern: `^${address}$` }),
        {
          description: 'a fixed address for each MAC address, {"02:00:00:c2:00:01": "10.77.0.60"}',
        },
      ),
    ),
    twoPersonRule: Type.Optional(
      Type.Boolean({
        description:
          'true or false: lifting, and stopping everything, need two different operators; false when left out',
      }),
    ),
    approvalSeconds: Type.Optional(
      Type.Integer({
        minimum: 30,
        maximum: 86_400,
        description: 'how long a request waits for the second operator, 30 to 86400 s; 600 when left out',
      }),
    ),
    console: Type.Optional(
      Type.String({
        pattern: '^[A-Za-z0-9,]{1,40}$',
        description: 'the kernel\u2019s serial console, as ttyAMA0 or ttyAML0,115200',
      }),
    ),
    state: Type.Optional(Type.String({ minLength: 1, description: 'the directory of everything that must survive' })),
    cache: Type.Optional(Type.String({ minLength: 1, description: 'the directory of downloads and built images' })),
    /** Checked by `powerProblems`. */
    power: Type.Optional(Type.Unsafe<PowerFile>(Type.Unknown())),
  },
  { additionalProperties: false },
);
export type ConfigurationFile = Static<typeof ConfigurationFile>;

export interface Configuration {
  rack: string;
  interface: string;
  address: string;
  netmask: string;
  range: { from: string; to: string };
  gateway: string | undefined;
  leaseSeconds: number;
  uboot: 'ipxe' | 'pxelinux';
  operator: { host: string; port: number };
  reservations: ReadonlyMap<string, string>;
  twoPersonRule: boolean;
  approvalSeconds: number;
  console: string[];
  stateDirectory: string;
  cacheDirectory: string;
  /** Undefined where no PDU is configured. */
  power: PowerConfiguration | undefined;
}

/** One sentence for an operator: what is wrong and what was wanted. */
export class ConfigurationError extends Error {}

export function readConfigurationFile(path: string): ConfigurationFile {
  let parsed: unknown;
  try {
    parsed = JSON.parse(readFileSync(path, 'utf8'));
  } catch (cause) {
    throw new ConfigurationError(`cannot read configuration ${path}, want a JSON object`, { cause });
  }
  return checkConfiguration(parsed, path);
}

/** Reports every bad key at once, with its path and what was wanted there. */
export function checkConfiguration(value: unknown, source: string): ConfigurationFile {
  const problems = new Set<string>(powerProblems(valueAt(value, 'power')));
  if (problems.size === 0 && Check(ConfigurationFile, value)) return value;
  for (const error of Errors(ConfigurationFile, value)) {
    if (error.keyword === 'additionalProperties') {
      for (const key of error.params.additionalProperties)
        problems.add(`unknown key "${key}", want one of ${Object.keys(ConfigurationFile.properties).join(', ')}`);
      continue;
    }
    const key = error.instancePath.split('/')[1] ?? '';
    if (key !== '' && !(key in ConfigurationFile.properties)) continue; // told as unknown
    const property = Object.entries(ConfigurationFile.properties).find(([name]) => name === key)?.[1];
    const wanted = property && 'description' in property ? String(property.description) : error.message;
    problems.add(key === '' ? error.message : `"${key}" is ${JSON.stringify(valueAt(value, key))}, want ${wanted}`);
  }
  throw new ConfigurationError(`cannot use ${source}: ${[...problems].join('; ')}`);
}

function valueAt(value: unknown, key: string): unknown {
  return typeof value === 'object' && value !== null
    ? Object.entries(value).find(([name]) => name === key)?.[1]
    : undefined;
}

/** IPv4 addresses in CIDR form by interface: `{ eth1: ['10.77.0.1/24'] }`. */
export type Interfaces = Readonly<Record<string, readonly string[]>>;

const IpOutput = Type.Array(
  Type.Object({
    ifname: Type.String(),
    addr_info: Type.Array(Type.Object({ local: Type.String(), prefixlen: Type.Integer() })),
  }),
);

/** As `ip` knows them: Node leaves out an interface whose switch is still off. */
export function readInterfaces(): Interfaces {
  const found: unknown = JSON.parse(execFileSync('ip', ['-json', '-4', 'address'], { encoding: 'utf8' }));
  if (!Check(IpOutput, found)) throw new Error('cannot read the interfaces: ip -json -4 address says something else');
  const all: unknown = JSON.parse(execFileSync('ip', ['-json', 'link'], { encoding: 'utf8' }));
  const names = Check(Type.Array(Type.Object({ ifname: Type.String() })), all) ? all.map(({ ifname }) => ifname) : [];
  const addresses = new Map(found.map((each) => [each.ifname, each.addr_info]));
  return Object.fromEntries(
    names.map((name) => [name, (addresses.get(name) ?? []).map(({ local, prefixlen }) => `${local}/${prefixlen}`)]),
  );
}

/** Fills in what was left out, from the interface itself where it can. Throws ConfigurationError. */
export function resolveConfiguration(file: ConfigurationFile, interfaces: Interfaces): Configuration {
  if (file.interface === undefined)
    throw new ConfigurationError(
      'cannot start: no interface given, want --interface with the network that the boards are connected to',
    );
  const found = interfaces[file.interface];
  if (found === undefined)
    throw new ConfigurationError(
      `cannot start on ${file.interface}: there is no such interface, want one of ${Object.keys(interfaces).join(', ')}`,
    );
  const [own] = found;
  if (own === undefined)
    throw new ConfigurationError(
      `cannot start on ${file.interface}: it has no IPv4 address, want one (ip addr add 10.77.0.1/24 dev ${file.interface})`,
    );
  const cidr = file.address ?? own;
  const [ip = '', prefix = '24'] = cidr.split('/');
  if (!found.some((each) => each.startsWith(`${ip}/`)))
    throw new ConfigurationError(`cannot start on ${file.interface}: it does not have the address ${ip}, want ${own}`);
  const netmask = netmaskOf(Number(prefix));
  const network = ipv4Number(networkOf(ip, netmask));
  const last = ipv4Number(broadcastOf(ip, netmask));
  const [from, to] = file.range?.split('-') ?? [
    formatIpv4(network + Math.max(2, Math.ceil((last - network) / 4))),
    formatIpv4(last - 1),
  ];
  if (
    from === undefined ||
    to === undefined ||
    ipv4Number(from) > ipv4Number(to) ||
    ipv4Number(from) <= network ||
    ipv4Number(to) >= last
  )
    throw new ConfigurationError(
      `cannot lease ${from}-${to}: want a range inside ${formatIpv4(network + 1)}-${formatIpv4(last - 1)}`,
    );
  const [host = '127.0.0.1', port = '8080'] = (file.operator ?? '127.0.0.1:8080').split(':');
  if (Number(port) > 65_535) throw new ConfigurationError(`cannot listen on ${host}:${port}: want a port up to 65535`);
  for (const [mac, reserved] of Object.entries(file.reservations ?? {}))
    if (ipv4Number(reserved) <= network || ipv4Number(reserved) >= last || reserved === ip)
      throw new ConfigurationError(
        `cannot reserve ${reserved} for ${mac}: want an address inside ${formatIpv4(network + 1)}-${formatIpv4(last - 1)} other than ours`,
      );
  return {
    rack: file.rack ?? 'rack-1',
    interface: file.interface,
    address: ip,
    netmask,
    range: { from, to },
    gateway: file.gateway,
    leaseSeconds: file.leaseSeconds ?? 3_600,
    uboot: file.uboot ?? 'ipxe',
    operator: { host, port: Number(port) },
    reservations: new Map(Object.entries(file.reservations ?? {})),
    twoPersonRule: file.twoPersonRule ?? false,
    approvalSeconds: file.approvalSeconds ?? 600,
    // A C2's serial port and QEMU's: the kernel takes the one that the board has.
    console: file.console === undefined ? ['ttyAML0,115200', 'ttyAMA0'] : [file.console],
    stateDirectory: file.state ?? '/var/lib/muster',
    cacheDirectory: file.cache ?? new URL('../.cache', import.meta.url).pathname,
    power: file.power === undefined ? undefined : powerOf(file.power),
  };
}

/**
 * The command line that runs the controller in little memory (measured: docs/decisions/0006): a small young generation,
 * since what a heartbeat leaves behind is garbage at once, and an old one that grows in small steps; a way to give back
 * boot files that nobody loads any more; no helpers for collections so small, which would wait for each of them; one heap
 * for all threads of the C library; and Node's compile cache from the first file on, without which Node loads and keeps
 * its 18 MB of TypeScript parser for that file alone.
 */
export function controllerCommand({
  node,
  flags,
  compileCache,
  args,
}: {
  node: string;
  flags: readonly string[];
  /** A directory that may be made. */
  compileCache: string;
  /** The program and its arguments. */
  args: readonly string[];
}): string[] {
  const variables = ['MALLOC_ARENA_MAX=1', `NODE_COMPILE_CACHE=${compileCache}`];
  return [
    '/usr/bin/env',
    ...variables,
    node,
    ...flags,
    '--max-semi-space-size=2',
    '--optimize-for-size',
    '--expose-gc',
    '--single-threaded-gc',
    ...args,
  ];
}

function powerOf(file: PowerFile): PowerConfiguration {
  try {
    return resolvePower(file);
  } catch (cause) {
    throw new ConfigurationError('cannot use the configured power', { cause });
  }
}

/** The UDP sockets that a launcher must open for us on the rack's interface. */
export function controllerSockets(address: string): DeviceSocket[] {
  return [
    { name: 'dhcp', address: '0.0.0.0', port: 67 },
    { name: 'tftp', address, port: 69 },
    // Broadcast beacons reach no socket that is bound to one address.
    { name: 'udp', address: '0.0.0.0', port: rollCallPort },
  ];
}
