// What a board talks to before it has an operating system: DHCP, TFTP and HTTP on the rack's interface. In wire order:
//
//   U-Boot   DHCP ─ TFTP pxelinux.cfg/01-<mac> ┬ method `pxelinux`: TFTP kernel, initramfs
//                                              └ method `ipxe`: DHCP ─ TFTP boot.scr.uimg, ipxe-uboot.efi ─ iPXE
//            (without the script, its EFI step: DHCP as a PXE client ─ TFTP ipxe-uboot.efi ─ iPXE)
//   UEFI     DHCP ─ TFTP ipxe.efi ─ iPXE        UEFI HTTP boot   DHCP ─ HTTP /ipxe.efi ─ iPXE
//   iPXE     DHCP ─ HTTP /boot.ipxe, /kernel/…, /initrd/…        initramfs   DHCP ─ HTTP /image/…
//
// This room decides nothing about nodes: it asks its host for a join token, and tells it every sign of life. All of it
// but the host's end of `process/` runs in a process of its own (docs/decisions/0010).

import { type Socket, createSocket } from 'node:dgram';
import { type NodeCmdline, encodeCmdline } from '../protocol/boot/cmdline.ts';
import { Newcomers } from '../inventory/nodes/strangers.ts';
import type { Mac } from '../protocol/mac.ts';
import type { BootArtefacts } from './artefacts.ts';
import { BoardFiles, type UbootMethod } from './board-files.ts';
import type { World } from './dhcp/answer.ts';
import type { Lease } from '../inventory/nodes/leases.ts';
import { LeaseTable, createPool } from './dhcp/lease.ts';
import type { Neighbour } from './dhcp/neighbours.ts';
import { type DhcpCounters, type DhcpEvent, serveDhcp } from './dhcp/server.ts';
import type { BootEvent, BootHost } from './host.ts';
import { type HttpCounters, serveHttp } from './http.ts';
import { type Ipv4, inNetwork } from '../protocol/ipv4.ts';
import { type TftpCounters, serveTftp } from './tftp/server.ts';

export interface BootOptions {
  /** Our own address on the rack. */
  address: Ipv4;
  netmask: Ipv4;
  range: { from: Ipv4; to: Ipv4 };
  gateway?: Ipv4;
  leaseSeconds: number;
  reservations: ReadonlyMap<Mac, Ipv4>;
  httpPort: number;
  /** How many connections the HTTP server may hold; enough for a rack where left out. */
  httpConnections?: number | undefined;
  /** Bound to the rack's interface by the launcher (device-sockets.ts). Left out, the server binds them itself. */
  sockets: { dhcpFd?: number; tftpFd?: number };
  artefacts: BootArtefacts;
  cmdline: Pick<NodeCmdline, 'console' | 'api' | 'udp' | 'fingerprint' | 'ssh'>;
  uboot: UbootMethod;
  /** Boards that differ. */
  ubootOf?: ReadonlyMap<Mac, UbootMethod>;
  /** Milliseconds since 1970. */
  now(): number;
}

export interface BootServer extends AsyncDisposable {
  /** For /metrics. */
  readonly counters: {
    dhcp: Readonly<DhcpCounters>;
    tftp: Readonly<TftpCounters>;
    http: Readonly<HttpCounters>;
  };
  readonly http: string;
  /** Other DHCP servers and controllers on this segment, heard within the last minutes. */
  neighbours(): Neighbour[];
  /** The board that has this address now. */
  macOf(ip: Ipv4): Mac | undefined;
}

/** Resolves once all three protocols are served. Throws one sentence where a port, an address or an option is wrong. */
export async function startBoot(options: BootOptions, host: BootHost): Promise<BootServer> {
  const { artefacts, address } = options;
  const http = `http://${address}:${options.httpPort}`;
  const cmdline = (token: string): string =>
    encodeCmdline({ ...options.cmdline, http, token, root: artefacts.root.sha256 });
  // Every value but the token is known now: a wrong one is found at the start and not when the first board boots.
  cmdline('0'.repeat(64));

  const leases = await host.leases.load();
  const stored = new Map(leases.map((lease) => [lease.ip, lease]));
  const world = createWorld(options, { host, http, leases, stored });
  const macOf = (ip: Ipv4): Mac | undefined => {
    const lease = world.table.at(ip);
    return lease?.state === 'bound' && lease.expiresAtMs > options.now() ? lease.mac : undefined;
  };
  // iPXE 1.21 cannot close the network before it starts Linux, which under U-Boot costs one boot in five (ipxe/script.ts).
  const ipxeSuitsUboot = artefacts.ipxe.hashCheck;
  if (!ipxeSuitsUboot)
    host.log(() => `iPXE ${artefacts.ipxe.version} is too old for U-Boot: its boards load by pxelinux`);
  const methodOf = (mac: Mac): UbootMethod =>
    ipxeSuitsUboot ? (options.ubootOf?.get(mac) ?? options.uboot) : 'pxelinux';

  await using stack = new AsyncDisposableStack();
  const dhcp = stack.use(
    serveDhcp({
      socket: await udpSocket({ fd: options.sockets.dhcpFd, address: '0.0.0.0', port: 67 }),
      world,
      store: host.leases,
      stored,
      now: () => options.now(),
      heard: (event) => host.stage(dhcpStage(event)),
      trouble: (message) => host.trouble(message),
      log: (line) => host.log(() => `dhcp: ${line()}`),
    }),
  );

  const files = new BoardFiles({ artefacts, http, cmdline, methodOf, macOf, host });
  const tftp = stack.use(
    serveTftp({
      socket: await udpSocket({ fd: options.sockets.tftpFd, address, port: 69 }),
      address,
      file: (path, { ip }) => files.byTftp(path, ip),
      ended: ({ path, ip, outcome, detail }) => {
        host.log(() => `tftp: ${path} to ${ip}: ${outcome}${detail === '' ? '' : `, ${detail}`}`);
        const mac = macOf(ip);
        if (mac === undefined || outcome !== 'done') return;
        const stage = path.startsWith('kernel/') ? 'kernel' : path.startsWith('initrd/') ? 'initrd' : 'tftp';
        host.stage({ mac, ip, stage, detail: path });
      },
      log: (line) => host.log(() => `tftp: ${line}`),
    }),
  );

  const httpServer = stack.use(
    await serveHttp({
      address,
      port: options.httpPort,
      connections: options.httpConnections,
      artefacts: files.byHttp(),
      macOf,
      refusal: (mac) => host.refusal(mac),
      script: (mac, ip) => files.script(mac, ip),
      stage: (event) => host.stage(event),
      log: (line) => host.log(() => `http: ${line}`),
    }),
  );

  const running = stack.move();
  return {
    counters: { dhcp: dhcp.counters, tftp: tftp.counters, http: httpServer.counters },
    http,
    neighbours: () => dhcp.neighbours(),
    macOf,
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}

/** Throws one sentence where an address is outside of the network. */
function createWorld(
  options: BootOptions,
  { host, http, leases, stored }: { host: BootHost; http: string; leases: Lease[]; stored: ReadonlyMap<Ipv4, Lease> },
): World {
  const { address, netmask, range, reservations, gateway, leaseSeconds } = options;
  for (const ip of [range.from, range.to, ...reservations.values()])
    if (!inNetwork(ip, options))
      throw new Error(`cannot lease ${ip}: it is not in the network of ${address}, netmask ${netmask}`);
  const newcomers = new Newcomers(() => options.now());
  return {
    table: new LeaseTable(leases),
    pool: createPool({ range, reservations, excluded: gateway === undefined ? [address] : [address, gateway] }),
    stored: (ip) => stored.get(ip),
    address,
    netmask,
    gateway,
    leaseSeconds,
    http,
    placeHolder: (mac) => host.placeHolder(mac),
    isBoard: (mac) => reservations.has(mac) || host.isBoard(mac),
    admitNewcomer: () => newcomers.admit(),
  };
}

const firmwareOf = {
  ipxe: 'ipxe',
  uboot: 'uboot',
  'uboot-efi': 'uboot',
  uefi: 'uefi',
  'uefi-http': 'uefi-http',
  node: 'linux',
  controller: undefined,
  other: undefined,
} as const;

function dhcpStage(event: DhcpEvent): BootEvent {
  const firmware = firmwareOf[event.class];
  return {
    mac: event.mac,
    stage: event.type === 'ack' ? 'dhcp-ack' : 'dhcp-discover',
    ...(event.type === 'nak' ? { detail: 'refused an address' } : {}),
    ...(event.ip === undefined ? {} : { ip: event.ip }),
    ...(firmware === undefined ? {} : { firmware }),
  };
}

/** An inherited socket, or one bound here, which hears every interface of this machine. */
async function udpSocket(wanted: { fd: number | undefined; address: Ipv4; port: number }): Promise<Socket> {
  // Nobody is sent to by name, and Node's own look-up of an address waits a turn and makes some objects for each datagram.
  // oxlint-disable-next-line max-params -- as Node calls it
  const socket = createSocket({ type: 'udp4', lookup: (address, _options, found) => found(null, address, 4) });
  await new Promise<void>((resolve, reject) => {
    socket.once('error', (error: NodeJS.ErrnoException) => {
      const why = error.code === 'EADDRINUSE' ? 'another program has this port' : error.message;
      reject(new Error(`cannot serve ${wanted.address}:${wanted.port}/udp: ${why}`, { cause: error }));
    });
    const bound = () => {
      socket.removeAllListeners('error');
      resolve();
    };
    if (wanted.fd !== undefined) socket.bind({ fd: wanted.fd }, bound);
    else socket.bind({ address: wanted.address, port: wanted.port }, bound);
  });
  socket.setBroadcast(true);
  return socket;
}
