// What to say to one DHCP packet: pure, so that every packet a machine ever sent us can be a test. The loop in
// server.ts stores the leases that an answer changes before it sends the answer.

import type { Mac } from '../../protocol/mac.ts';
import { type Ipv4, anyAddress, broadcastAddress, broadcastOf, inNetwork, ipv4Number } from '../../protocol/ipv4.ts';
import { bootFile } from './boot-file.ts';
import { type ClientClass, classify, controllerVendorClass } from './client-class.ts';
import type { Lease } from '../../inventory/nodes/leases.ts';
import { type Allocation, type LeaseTable, type Pool, chooseAddress, mayHave, offerMs } from './lease.ts';
import { type MessageType, isReply, option } from './option.ts';
import { type Packet, addressOption } from './packet.ts';

/** Everything an answer depends on but the packet and the time. */
export interface World {
  table: LeaseTable;
  pool: Pool;
  /** The lease of this address that is on disk: `table` also has what is on its way there. */
  stored(ip: Ipv4): Lease | undefined;
  /** Our own address on the rack: server identifier, TFTP server, and where HTTP is. */
  address: Ipv4;
  netmask: Ipv4;
  gateway: Ipv4 | undefined;
  leaseSeconds: number;
  /** Our own URL: `http://10.77.0.1:8480`. */
  http: string;
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
  /** It was not even considered. */
  isTurnedAway?: true;
};

/** The longest lease of a machine that never joined: more than any board needs from its firmware to its join. */
const firstLeaseSeconds = 300;
/** How long an address at which somebody else answered is left alone. */
const quarantineMs = 600_000;
/** A board that declines one address after the other must not use up the pool: above this share they are forgotten. */
const quarantineShareLimit = 1 / 4;

/** A board asks three or four times in one boot: it is given what is on disk while so much of its time is left. */
const storedShare = 3 / 4;

const ports = { server: 67, client: 68 };

/** Everything that the answer to one packet is decided from. */
interface Question {
  packet: Packet;
  world: World;
  nowMs: number;
  class: ClientClass;
  /** What this board got last, whether or not it still runs. */
  held: Lease | undefined;
  /** Who has the place of its MAC. */
  holder: string | undefined;
  leaseSeconds: number;
  allocation: Allocation;
}

export function answer(packet: Packet, { world, nowMs }: { world: World; nowMs: number }): Answer {
  const { isBoard, table, pool } = world;
  const { mac } = packet;
  const question: Question = {
    packet,
    world,
    nowMs,
    class: classify(packet),
    held: table.of(mac),
    holder: world.placeHolder(mac),
    leaseSeconds: isBoard(mac) ? world.leaseSeconds : Math.min(firstLeaseSeconds, world.leaseSeconds),
    allocation: { table, pool, mac, nowMs, isBoard },
  };
  const stranger = notOurs(packet, world);
  if (stranger !== undefined) return silent(question, stranger);
  if (question.class === 'controller') return answerController(question);
  const rival = rivalOf(question);
  if (rival !== undefined) return silent(question, rival);
  switch (packet.type) {
    case 'discover':
      return answerDiscover(question);
    case 'request':
      return answerRequest(question);
    case 'inform':
      return answerInform(question);
    case 'decline':
      return answerDecline(question);
    case 'release':
      return answerRelease(question);
    case 'offer':
    case 'ack':
    case 'nak':
      return silent(question, 'an answer of another server');
  }
}

/** Why a packet is nothing that we answer, whatever it asks. */
function notOurs({ type, mac, giaddr }: Packet, world: World): string | undefined {
  if (isReply(type)) return 'an answer of another server';
  if (mac === '00:00:00:00:00:00' || (Number.parseInt(mac.slice(0, 2), 16) & 1) !== 0)
    return 'not a board: its MAC address is nobody’s or a group’s';
  if (giaddr !== anyAddress && !inNetwork(giaddr, world)) return `comes by a relay of another network, ${giaddr}`;
  return undefined;
}

/** Another controller asks whether it is alone; it gets no address. */
function answerController(question: Question): Answer {
  const { type, giaddr } = question.packet;
  if (type !== 'discover' || giaddr === anyAddress || giaddr === question.world.address)
    return silent(question, 'our own question whether we are alone');
  return reply(question, { type: 'offer' });
}

/**
 * Whoever else asks, gives back or declines in the name of a board that is alive is another machine, or the board was
 * reset this moment: then it asks again, and by that time is known to be silent.
 */
function rivalOf({ packet, class: client, holder }: Question): string | undefined {
  if (holder === undefined) return undefined;
  if (client !== 'node') return `another machine with its MAC: ${holder}`;
  if (packet.type === 'decline' || packet.type === 'release') return `it uses its address: ${holder}`;
  return undefined;
}

function answerDiscover(question: Question): Answer {
  const { packet, world, nowMs, allocation } = question;
  if (isTurnedAway(question)) return tooMany(question);
  const ip = chooseAddress(allocation, addressOption(packet, option.requestedAddress));
  if (ip === undefined) return { ...silent(question, 'the pool is exhausted'), isShort: true };
  const lease = world.table.at(ip);
  const isBound = lease?.state === 'bound' && lease.mac === packet.mac && lease.expiresAtMs > nowMs;
  return reply(question, {
    type: 'offer',
    ip,
    leases: isBound ? [] : [{ ip, mac: packet.mac, state: 'offered', expiresAtMs: nowMs + offerMs }],
  });
}

function answerRequest(question: Question): Answer {
  const { packet, world, nowMs, held, holder, leaseSeconds, allocation } = question;
  const server = addressOption(packet, option.serverId);
  if (server !== undefined && server !== world.address) {
    const offer = held?.state === 'offered' ? [{ ...held, state: 'released', expiresAtMs: nowMs } as const] : [];
    return { ...silent(question, `chose another server, ${server}`), leases: offer };
  }
  const ip = wantedAddress(packet, held);
  if (ip === undefined) return silent(question, 'a request that names no address, and no offer stands');
  const isFree = inNetwork(ip, world) && mayHave(ip, allocation);
  // It renews what another server gave it (RFC 2131, 4.3.2: who has no record of a client stays silent).
  if (!isFree && held === undefined && server === undefined && isOthers(ip, question))
    return silent(question, `has ${ip} from another server`);
  if (!isFree) return reply(question, { type: 'nak' });
  if (holder !== undefined && held?.state === 'bound' && held.ip !== ip)
    return silent(question, `it has ${held.ip}, and asks for ${ip}: ${holder}`);
  if (isTurnedAway(question)) return tooMany(question);
  const leftMs = timeLeft(ip, question);
  if (leftMs >= leaseSeconds * 1000 * storedShare)
    return reply({ ...question, leaseSeconds: Math.min(leaseSeconds, leftMs / 1000) }, { type: 'ack', ip });
  const leases: Lease[] = [{ ip, mac: packet.mac, state: 'bound', expiresAtMs: nowMs + leaseSeconds * 1000 }];
  // One address a board: what it had before is free again.
  if (held !== undefined && held.ip !== ip) leases.unshift({ ...held, state: 'released', expiresAtMs: nowMs });
  return reply(question, { type: 'ack', ip, leases });
}

/** Of the lease on disk, where that is this board's and nothing else is decided about it. */
function timeLeft(ip: Ipv4, { packet: { mac }, world, nowMs, held }: Question): number {
  const stored = world.stored(ip);
  if (held?.ip !== ip || held.state !== 'bound' || stored?.mac !== mac || stored.state !== 'bound') return 0;
  return stored.expiresAtMs - nowMs;
}

function answerInform(question: Question): Answer {
  const { packet, world } = question;
  if (packet.ciaddr === anyAddress || !inNetwork(packet.ciaddr, world))
    return silent(question, `informs from ${packet.ciaddr}, which is not on our network`);
  return reply(question, { type: 'ack' });
}

function answerDecline(question: Question): Answer {
  const { packet, world, nowMs } = question;
  const ip = addressOption(packet, option.requestedAddress);
  const lease = ip === undefined ? undefined : world.table.at(ip);
  const isOurs = addressOption(packet, option.serverId) === world.address;
  if (!isOurs || lease?.mac !== packet.mac || lease.state === 'declined')
    return silent(question, 'declines what is not its own');
  const state = quarantineIsFull(world, nowMs) ? 'released' : 'declined';
  const expiresAtMs = state === 'declined' ? nowMs + quarantineMs : nowMs;
  return { ...silent(question, `declined ${lease.ip}`), leases: [{ ...lease, state, expiresAtMs }] };
}

function answerRelease(question: Question): Answer {
  const { packet, world, nowMs } = question;
  const lease = world.table.at(packet.ciaddr);
  if (lease?.mac !== packet.mac || lease.state !== 'bound') return silent(question, 'releases what is not its own');
  return {
    ...silent(question, `released ${lease.ip}`),
    leases: [{ ...lease, state: 'released', expiresAtMs: nowMs }],
  };
}

function isTurnedAway({ packet, world, held }: Question): boolean {
  return held === undefined && !world.isBoard(packet.mac) && !world.admitNewcomer();
}

function tooMany(question: Question): Answer {
  return { ...silent(question, 'too many new machines at once'), isShort: true, isTurnedAway: true };
}

function silent({ class: client }: Question, reason: string): Answer {
  return { silent: reason, class: client, leases: [] };
}

/** `ip` is the address that it gives. */
function reply(
  question: Question,
  { type, ip = anyAddress, leases = [] }: { type: MessageType; ip?: Ipv4; leases?: Lease[] },
): Answer {
  const { packet, world, class: client } = question;
  const file = type === 'nak' ? undefined : bootFile(client, { mac: packet.mac, http: world.http });
  const isRelayed = packet.giaddr !== anyAddress;
  return {
    class: client,
    leases,
    reply: {
      type,
      hops: 0,
      xid: packet.xid,
      secs: 0,
      // RFC 2131, 4.3.2: the relay must broadcast a NAK, since the board may not have the address it thinks it has.
      broadcast: packet.broadcast || (type === 'nak' && isRelayed),
      ciaddr: type === 'ack' ? packet.ciaddr : anyAddress,
      yiaddr: ip,
      siaddr: file === undefined ? anyAddress : world.address,
      giaddr: packet.giaddr,
      mac: packet.mac,
      sname: '',
      // U-Boot reads the name here and not in option 67; UEFI reads either.
      file: file ?? '',
      options: replyOptions(question, { type, file }),
    },
    to: destination(packet, type === 'ack' && (packet.type === 'inform' || packet.ciaddr === ip)),
  };
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
function isOthers(ip: Ipv4, { packet, world: { table, pool, address, netmask } }: Question): boolean {
  if (packet.ciaddr === ip) return table.at(ip) === undefined;
  return inNetwork(ip, { address, netmask }) && table.at(ip) === undefined && !pool.excluded.has(ip);
}

function replyOptions(
  { packet, world, class: client, leaseSeconds }: Question,
  { type, file }: { type: MessageType; file: string | undefined },
): Map<number, Uint8Array> {
  const options = new Map<number, Uint8Array>([[option.serverId, addressBytes(world.address)]]);
  if (type !== 'nak') {
    if (packet.type !== 'inform') {
      options.set(option.leaseSeconds, seconds(leaseSeconds));
      options.set(option.renewalSeconds, seconds(leaseSeconds / 2));
      options.set(option.rebindingSeconds, seconds((leaseSeconds * 7) / 8));
    }
    options.set(option.netmask, addressBytes(world.netmask));
    options.set(option.broadcast, addressBytes(broadcastOf(world.address, world.netmask)));
    if (world.gateway !== undefined) options.set(option.router, addressBytes(world.gateway));
    // EDK2 takes an offer for an HTTP boot only when it says so itself.
    if (client === 'controller') options.set(option.vendorClass, Buffer.from(controllerVendorClass));
    if (client === 'uefi-http') options.set(option.vendorClass, Buffer.from('HTTPClient'));
    if (file !== undefined) {
      options.set(option.tftpServer, Buffer.from(world.address));
      options.set(option.bootFile, Buffer.from(file, 'latin1'));
    }
    // iPXE waits two seconds for a proxy DHCP server unless told that there is none: no-pxedhcp = 1.
    if (client === 'ipxe') options.set(option.ipxe, Uint8Array.of(0xb0, 1, 1));
  } else options.set(option.message, Buffer.from('this address is not yours: ask again'));
  const clientId = packet.options.get(option.clientId);
  if (clientId !== undefined && clientId.length <= echoBytesLimit) options.set(option.clientId, clientId); // RFC 6842
  const relayAgent = packet.options.get(option.relayAgent);
  // RFC 3046, 2.2: as it came, and last.
  if (relayAgent !== undefined && packet.giaddr !== anyAddress && relayAgent.length <= echoBytesLimit)
    options.set(option.relayAgent, relayAgent);
  return options;
}

/** RFC 3396 lets an option grow beyond 255 bytes; ours must leave room in one frame. */
const echoBytesLimit = 255;

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
  return quarantined >= Math.floor((ipv4Number(to) - ipv4Number(from) + 1) * quarantineShareLimit);
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
