// What to say to one DHCP packet: pure, so that every packet a machine ever sent us can be a test. The loop in
// server.ts stores the leases that an answer changes before it sends the answer.

import type { Mac } from '../../protocol/mac.ts';
import { type Ipv4, anyAddress, broadcastAddress, formatIpv4, ipv4Number, sameNetwork } from '../ipv4.ts';
import { type ClientClass, classify, controllerVendorClass } from './client-class.ts';
import { type Allocation, type Lease, type LeaseTable, type Pool, chooseAddress, mayHave, offerMs } from './lease.ts';
import { type MessageType, option } from './option.ts';
import { type Packet, addressOption } from './packet.ts';

/** Everything an answer depends on but the packet and the time. */
export interface World {
  table: LeaseTable;
  pool: Pool;
  /** Our own address on the rack: server identifier, TFTP server, and where HTTP is. */
  address: Ipv4;
  netmask: Ipv4;
  gateway: Ipv4 | undefined;
  leaseSeconds: number;
  /** What each kind of client is told to load. */
  bootFile(client: { class: ClientClass; mac: Mac }): string | undefined;
  /** Who has the place of this MAC: a board that is alive, and asks as our own Linux only. */
  placeHolder(mac: Mac): string | undefined;
  /** Whether this MAC has joined before, or has a reservation. */
  isBoard: (mac: Mac) => boolean;
  /** Whether one more machine that never was a board may have an address now. */
  admitNewcomer(): boolean;
}

export type Answer = (
  | { reply: Packet; to: { address: Ipv4; port: number } }
  /** Why we do not answer: not an error, and written in the log's finest grain only. */
  | { silent: string }
) & {
  class: ClientClass;
  /** Leases to remember, and, but for offers, to store before the reply goes out. */
  leases: Lease[];
  /** There was no address for it: an operator should know. */
  isShort?: true;
};

/** The longest lease of a machine that never joined: more than any board needs from its firmware to its join. */
const firstLeaseSeconds = 300;
/** How long an address at which somebody else answered is left alone. */
const quarantineMs = 600_000;
/** A board that declines one address after the other must not use up the pool: above this share they are forgotten. */
const maximumQuarantine = 1 / 4;

const ports = { server: 67, client: 68 };

export function answer(packet: Packet, world: World, nowMs: number): Answer {
  const client = classify(packet);
  const silent = (reason: string, leases: Lease[] = []): Answer => ({ silent: reason, class: client, leases });

  if (packet.op !== 'request') return silent('an answer of another server');
  if (packet.mac === '00:00:00:00:00:00' || (Number.parseInt(packet.mac.slice(0, 2), 16) & 1) !== 0)
    return silent('not a board: its MAC address is nobody’s or a group’s');
  if (packet.giaddr !== anyAddress && !sameNetwork(packet.giaddr, world.address, world.netmask))
    return silent(`comes by a relay of another network, ${packet.giaddr}`);
  const { isBoard } = world;
  const leaseSeconds = isBoard(packet.mac) ? world.leaseSeconds : Math.min(firstLeaseSeconds, world.leaseSeconds);
  if (client === 'controller') {
    if (packet.type !== 'discover' || packet.giaddr === anyAddress || packet.giaddr === world.address)
      return silent('our own question whether we are alone');
    return { ...reply('offer', anyAddress), class: client, leases: [] };
  }
  const server = addressOption(packet, option.serverId);
  const allocation: Allocation = { table: world.table, pool: world.pool, mac: packet.mac, nowMs, isBoard };
  const held = world.table.of(packet.mac);
  const isTurnedAway = () => held === undefined && !isBoard(packet.mac) && !world.admitNewcomer();

  // Whoever else asks, gives back or declines in its name is another machine, or the board was reset this moment: then it
  // asks again, and by that time is known to be silent.
  const holder = world.placeHolder(packet.mac);
  if (holder !== undefined) {
    if (client !== 'node') return silent(`another machine with its MAC: ${holder}`);
    if (packet.type === 'decline' || packet.type === 'release') return silent(`it uses its address: ${holder}`);
  }

  switch (packet.type) {
    case 'discover': {
      if (isTurnedAway()) return { ...silent('too many new machines at once'), isShort: true };
      const ip = chooseAddress(allocation, addressOption(packet, option.requestedAddress));
      if (ip === undefined) return { ...silent('the pool is exhausted'), isShort: true };
      const lease = world.table.at(ip);
      const bound = lease?.state === 'bound' && lease.mac === packet.mac && lease.expiresAtMs > nowMs;
      const leases: Lease[] = bound ? [] : [{ ip, mac: packet.mac, state: 'offered', expiresAtMs: nowMs + offerMs }];
      return { ...reply('offer', ip), class: client, leases };
    }
    case 'request': {
      if (server !== undefined && server !== world.address) {
        const offer = held?.state === 'offered' ? [{ ...held, state: 'released', expiresAtMs: nowMs } as const] : [];
        return silent(`chose another server, ${server}`, offer);
      }
      const ip = wantedAddress(packet, held);
      if (ip === undefined) return silent('a request that names no address, and no offer stands');
      const isFree = sameNetwork(ip, world.address, world.netmask) && mayHave(ip, allocation);
      // It renews what another server gave it (RFC 2131, 4.3.2: who has no record of a client stays silent).
      if (!isFree && held === undefined && server === undefined && isOthers(ip, packet, world))
        return silent(`has ${ip} from another server`);
      if (!isFree) return { ...reply('nak', anyAddress), class: client, leases: [] };
      if (holder !== undefined && held?.state === 'bound' && held.ip !== ip)
        return silent(`it has ${held.ip}, and asks for ${ip}: ${holder}`);
      if (isTurnedAway()) return { ...silent('too many new machines at once'), isShort: true };
      const leases: Lease[] = [{ ip, mac: packet.mac, state: 'bound', expiresAtMs: nowMs + leaseSeconds * 1000 }];
      // One address a board: what it had before is free again.
      if (held !== undefined && held.ip !== ip) leases.unshift({ ...held, state: 'released', expiresAtMs: nowMs });
      return { ...reply('ack', ip), class: client, leases };
    }
    case 'inform':
      if (packet.ciaddr === anyAddress || !sameNetwork(packet.ciaddr, world.address, world.netmask))
        return silent(`informs from ${packet.ciaddr}, which is not on our network`);
      return { ...reply('ack', anyAddress), class: client, leases: [] };
    case 'decline': {
      const ip = addressOption(packet, option.requestedAddress);
      const lease = ip === undefined ? undefined : world.table.at(ip);
      if (server !== world.address || lease?.mac !== packet.mac || lease.state === 'declined')
        return silent('declines what is not its own');
      const state = quarantineIsFull(world, nowMs) ? 'released' : 'declined';
      const expiresAtMs = state === 'declined' ? nowMs + quarantineMs : nowMs;
      return silent(`declined ${lease.ip}`, [{ ...lease, state, expiresAtMs }]);
    }
    case 'release': {
      const lease = world.table.at(packet.ciaddr);
      if (lease?.mac !== packet.mac || lease.state !== 'bound') return silent('releases what is not its own');
      return silent(`released ${lease.ip}`, [{ ...lease, state: 'released', expiresAtMs: nowMs }]);
    }
    case 'offer':
    case 'ack':
    case 'nak':
      return silent(`a board must not say ${packet.type}`);
  }

  function reply(type: MessageType, ip: Ipv4): { reply: Packet; to: { address: Ipv4; port: number } } {
    const file = type === 'nak' ? undefined : world.bootFile({ class: client, mac: packet.mac });
    const relayed = packet.giaddr !== anyAddress;
    return {
      reply: {
        op: 'reply',
        hops: 0,
        xid: packet.xid,
        secs: 0,
        // RFC 2131, 4.3.2: the relay must broadcast a NAK, since the board may not have the address it thinks it has.
        broadcast: packet.broadcast || (type === 'nak' && relayed),
        ciaddr: type === 'ack' ? packet.ciaddr : anyAddress,
        yiaddr: ip,
        siaddr: file === undefined ? anyAddress : world.address,
        giaddr: packet.giaddr,
        mac: packet.mac,
        sname: '',
        // U-Boot reads the name here and not in option 67; UEFI reads either.
        file: file ?? '',
        options: replyOptions(packet, world, { type, class: client, file, leaseSeconds }),
        type,
      },
      to: destination(packet, type === 'ack' && (packet.type === 'inform' || packet.ciaddr === ip)),
    };
  }
}

/**
 * The address that a REQUEST is about (RFC 2131, 4.3.2): option 50 when it selects our offer or reboots, `ciaddr` when
 * it renews or rebinds. The client of the `dhcp` package names neither; it can only mean the offer that stands.
 */
function wantedAddress(packet: Packet, held: Lease | undefined): Ipv4 | undefined {
  const requested = addressOption(packet, option.requestedAddress);
  if (requested !== undefined) return requested;
  if (packet.ciaddr !== anyAddress) return packet.ciaddr;
  return held?.state === 'offered' || held?.state === 'bound' ? held.ip : undefined;
}

/** Whether an address may be one that another server on our segment gave: not of our range, or in use by renewal. */
function isOthers(ip: Ipv4, packet: Packet, { table, pool, address, netmask }: World): boolean {
  if (packet.ciaddr === ip) return table.at(ip) === undefined;
  return sameNetwork(ip, address, netmask) && table.at(ip) === undefined && !pool.excluded.has(ip);
}

function replyOptions(
  packet: Packet,
  world: World,
  about: { type: MessageType; class: ClientClass; file: string | undefined; leaseSeconds: number },
): Map<number, Uint8Array> {
  const options = new Map<number, Uint8Array>([[option.serverId, addressBytes(world.address)]]);
  if (about.type !== 'nak') {
    if (packet.type !== 'inform') {
      options.set(option.leaseSeconds, seconds(about.leaseSeconds));
      options.set(option.renewalSeconds, seconds(about.leaseSeconds / 2));
      options.set(option.rebindingSeconds, seconds((about.leaseSeconds * 7) / 8));
    }
    options.set(option.netmask, addressBytes(world.netmask));
    const mask = ipv4Number(world.netmask);
    options.set(option.broadcast, addressBytes(formatIpv4((ipv4Number(world.address) | ~mask) >>> 0)));
    if (world.gateway !== undefined) options.set(option.router, addressBytes(world.gateway));
    // EDK2 takes an offer for an HTTP boot only when it says so itself.
    if (about.class === 'controller') options.set(option.vendorClass, Buffer.from(controllerVendorClass));
    if (about.class === 'uefi-http') options.set(option.vendorClass, Buffer.from('HTTPClient'));
    if (about.file !== undefined) {
      options.set(option.tftpServer, Buffer.from(world.address));
      options.set(option.bootFile, Buffer.from(about.file, 'latin1'));
    }
    // iPXE waits two seconds for a proxy DHCP server unless told that there is none: no-pxedhcp = 1.
    if (about.class === 'ipxe') options.set(option.ipxe, Uint8Array.of(0xb0, 1, 1));
  } else options.set(option.message, Buffer.from('this address is not yours: ask again'));
  const clientId = packet.options.get(option.clientId);
  if (clientId !== undefined && clientId.length <= maximumEchoBytes) options.set(option.clientId, clientId); // RFC 6842
  const relayAgent = packet.options.get(option.relayAgent);
  // RFC 3046, 2.2: as it came, and last.
  if (relayAgent !== undefined && packet.giaddr !== anyAddress && relayAgent.length <= maximumEchoBytes)
    options.set(option.relayAgent, relayAgent);
  return options;
}

/** RFC 3396 lets an option grow beyond 255 bytes; ours must leave room in one frame. */
const maximumEchoBytes = 255;

/**
 * To the relay; to the board, where it is known to have the address that it writes; else to everybody: U-Boot and iPXE
 * have no address to be asked for by ARP, and do not set the broadcast flag either.
 */
function destination(packet: Packet, hasAddress: boolean): { address: Ipv4; port: number } {
  if (packet.giaddr !== anyAddress) return { address: packet.giaddr, port: ports.server };
  if (hasAddress) return { address: packet.ciaddr, port: ports.client };
  return { address: broadcastAddress, port: ports.client };
}

function quarantineIsFull(world: World, nowMs: number): boolean {
  let quarantined = 0;
  for (const lease of world.table.all()) if (lease.state === 'declined' && lease.expiresAtMs > nowMs) quarantined++;
  const { from, to } = world.pool;
  return quarantined >= Math.floor((ipv4Number(to) - ipv4Number(from) + 1) * maximumQuarantine);
}

function addressBytes(address: Ipv4): Uint8Array {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(ipv4Number(address));
  return bytes;
}

function seconds(count: number): Uint8Array {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(Math.floor(count));
  return bytes;
}
