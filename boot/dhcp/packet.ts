// The DHCP packet (RFC 2131, figure 1), as bytes and as a value. Pure; it must survive whatever a wire can carry.
//
//    0 op  1 htype  2 hlen  3 hops  4 xid  8 secs  10 flags  12 ciaddr  16 yiaddr  20 siaddr  24 giaddr
//   28 chaddr (16)  44 sname (64)  108 file (128)  236 cookie 63 82 53 63  240 options … 255
//
// An option may continue in a second one of the same number (RFC 3396), and `file` and `sname` may hold options
// themselves (52, overload). What we write is at least 300 bytes long: BOOTP relays and old firmware drop less.

import { type Mac, macFromBytes, parseMac } from '../../protocol/mac.ts';
import { type Ipv4, formatIpv4, ipv4Number } from '../../protocol/ipv4.ts';
import { type MessageType, isReply, messageTypeName, messageTypeNumber, option } from './option.ts';

/** Its `op` follows from its type. */
export interface Packet {
  hops: number;
  xid: number;
  secs: number;
  /** The client asks for its answer by broadcast (RFC 2131, 4.1). */
  broadcast: boolean;
  ciaddr: Ipv4;
  yiaddr: Ipv4;
  siaddr: Ipv4;
  giaddr: Ipv4;
  mac: Mac;
  sname: string;
  file: string;
  /** In the order they were first seen, or are to be written; without 52, 53 and 255. */
  options: ReadonlyMap<number, Uint8Array>;
  type: MessageType;
}

const cookie = 0x63825363;
const optionsAt = 240;
const field = {
  op: { at: 0 },
  xid: { at: 4 },
  secs: { at: 8 },
  flags: { at: 10 },
  ciaddr: { at: 12 },
  yiaddr: { at: 16 },
  siaddr: { at: 20 },
  giaddr: { at: 24 },
  chaddr: { at: 28 },
  sname: { at: 44, bytes: 64 },
  file: { at: 108, bytes: 128 },
  cookie: { at: 236 },
} as const;
const ethernet = { htype: 1, hlen: 6 };
const broadcastFlag = 0x8000;
const minimumBytes = 300;
/** What one Ethernet frame carries: 1500 less the IP and UDP headers. */
const maximumBytes = 1472;

/** The packet in these bytes, or why they are none. Never throws. */
export function decodePacket(datagram: Uint8Array): Packet | { refused: string } {
  const bytes = Buffer.from(datagram.buffer, datagram.byteOffset, datagram.byteLength);
  if (bytes.length < optionsAt) return { refused: `${bytes.length} bytes, want at least ${optionsAt}` };
  const op = bytes.readUInt8(field.op.at);
  const [htype, hlen] = [bytes.readUInt8(1), bytes.readUInt8(2)];
  if (htype !== ethernet.htype || hlen !== ethernet.hlen)
    return { refused: `hardware address of type ${htype} and ${hlen} bytes, want Ethernet` };
  if (bytes.readUInt32BE(field.cookie.at) !== cookie) return { refused: 'no DHCP cookie: plain BOOTP' };

  const found = new Map<number, Buffer[]>();
  const sname = bytes.subarray(field.sname.at, field.sname.at + field.sname.bytes);
  const file = bytes.subarray(field.file.at, field.file.at + field.file.bytes);
  const refusal = readOptions(bytes.subarray(optionsAt), found);
  if (refusal !== undefined) return { refused: refusal };
  const overload = found.get(option.overload)?.[0]?.[0] ?? 0;
  if (overload > 3) return { refused: `option overload ${overload}, want 1, 2 or 3` };
  const overloaded = { file: (overload & 1) !== 0, sname: (overload & 2) !== 0 };
  // RFC 3396, section 5: first the options field, then file, then sname.
  for (const [used, area] of [
    [overloaded.file, file],
    [overloaded.sname, sname],
  ] as const) {
    const areaRefusal = used ? readOptions(area, found) : undefined;
    if (areaRefusal !== undefined) return { refused: areaRefusal };
  }

  const typeBytes = found.get(option.messageType)?.[0];
  const type = typeBytes?.length === 1 ? messageTypeName(typeBytes.readUInt8(0)) : undefined;
  if (type === undefined)
    return { refused: `message type ${typeBytes?.toString('hex') ?? 'missing'}, want one byte from 1 to 8` };
  if (op !== opOf(type)) return { refused: `op ${op} for ${type}, want ${opOf(type)}` };
  const options = new Map<number, Uint8Array>();
  for (const [number, parts] of found)
    if (number !== option.overload && number !== option.messageType) options.set(number, Buffer.concat(parts));

  const flags = bytes.readUInt16BE(field.flags.at);
  return {
    hops: bytes.readUInt8(3),
    xid: bytes.readUInt32BE(field.xid.at),
    secs: bytes.readUInt16BE(field.secs.at),
    broadcast: (flags & broadcastFlag) !== 0,
    ciaddr: formatIpv4(bytes.readUInt32BE(field.ciaddr.at)),
    yiaddr: formatIpv4(bytes.readUInt32BE(field.yiaddr.at)),
    siaddr: formatIpv4(bytes.readUInt32BE(field.siaddr.at)),
    giaddr: formatIpv4(bytes.readUInt32BE(field.giaddr.at)),
    mac: macFromBytes(bytes.subarray(field.chaddr.at, field.chaddr.at + ethernet.hlen)),
    sname: overloaded.sname ? '' : zeroTerminated(sname),
    file: overloaded.file ? '' : zeroTerminated(file),
    options,
    type,
  };
}

/** Appends the options of one area to `found`; a sentence where one runs past the end. A missing 255 is forgiven. */
function readOptions(area: Buffer, found: Map<number, Buffer[]>): string | undefined {
  let at = 0;
  while (at < area.length) {
    const number = area.readUInt8(at++);
    if (number === option.pad) continue;
    if (number === option.end) return undefined;
    if (at >= area.length) return `option ${number} has no length`;
    const length = area.readUInt8(at++);
    if (at + length > area.length)
      return `option ${number} of ${length} bytes, want at most the ${area.length - at} that are left`;
    const value = area.subarray(at, at + length);
    const parts = found.get(number);
    if (parts === undefined) found.set(number, [value]);
    else parts.push(value);
    at += length;
  }
  return undefined;
}

/** BOOTREQUEST, BOOTREPLY. */
function opOf(type: MessageType): number {
  return isReply(type) ? 2 : 1;
}

function zeroTerminated(bytes: Buffer): string {
  const end = bytes.indexOf(0);
  return bytes.subarray(0, end === -1 ? bytes.length : end).toString('latin1');
}

/** Throws where a value does not fit: what we send is of our own making. */
export function encodePacket(packet: Packet): Buffer {
  const bytes = Buffer.alloc(maximumBytes);
  bytes.writeUInt8(opOf(packet.type), field.op.at);
  bytes.writeUInt8(ethernet.htype, 1);
  bytes.writeUInt8(ethernet.hlen, 2);
  bytes.writeUInt8(packet.hops, 3);
  bytes.writeUInt32BE(packet.xid, field.xid.at);
  bytes.writeUInt16BE(packet.secs, field.secs.at);
  bytes.writeUInt16BE(packet.broadcast ? broadcastFlag : 0, field.flags.at);
  for (const name of ['ciaddr', 'yiaddr', 'siaddr', 'giaddr'] as const)
    bytes.writeUInt32BE(ipv4Number(packet[name]), field[name].at);
  writeMac(bytes, packet.mac);
  for (const name of ['sname', 'file'] as const) {
    const text = Buffer.from(packet[name], 'latin1');
    const { at, bytes: room } = field[name];
    if (text.length > room) throw new Error(`cannot write ${name}: ${text.length} bytes, want at most ${room}`);
    bytes.set(text, at);
  }
  bytes.writeUInt32BE(cookie, field.cookie.at);
  let at = writeOption(bytes, optionsAt, { number: option.messageType, value: [messageTypeNumber(packet.type)] });
  for (const [number, value] of packet.options) at = writeOption(bytes, at, { number, value });
  if (at >= bytes.length) throw new Error(`cannot write DHCP packet: no room for its end in ${maximumBytes} bytes`);
  bytes.writeUInt8(option.end, at++);
  return bytes.subarray(0, Math.max(at, minimumBytes));
}

function writeMac(bytes: Buffer, mac: Mac): void {
  if (parseMac(mac) === undefined) throw new Error(`cannot write MAC: '${mac}', want six bytes`);
  bytes.write(mac.replaceAll(':', ''), field.chaddr.at, 'hex');
}

// oxlint-disable-next-line max-params -- as Buffer's own: what into, where, what
function writeOption(
  bytes: Buffer,
  start: number,
  { number, value }: { number: number; value: ArrayLike<number> },
): number {
  let at = start;
  const all = Uint8Array.from(value);
  // RFC 3396: what does not fit in 255 bytes goes on in another option of the same number.
  for (let from = 0; from === 0 || from < all.length; from += 255) {
    const part = all.subarray(from, from + 255);
    if (at + 2 + part.length >= bytes.length)
      throw new Error(`cannot write DHCP option ${number}: the packet has ${maximumBytes} bytes`);
    bytes.writeUInt8(number, at);
    bytes.writeUInt8(part.length, at + 1);
    bytes.set(part, at + 2);
    at += 2 + part.length;
  }
  return at;
}

/** The option's value as text, up to its first NUL; empty where the packet has none. */
export function textOption(packet: Packet, number: number): string {
  const value = packet.options.get(number);
  return value === undefined ? '' : zeroTerminated(Buffer.from(value));
}

/** The option's value as an address; `undefined` where the packet has none, or not one of four bytes. */
export function addressOption(packet: Packet, number: number): Ipv4 | undefined {
  const value = packet.options.get(number);
  return value?.length === 4 ? formatIpv4(Buffer.from(value).readUInt32BE(0)) : undefined;
}
