import type { Mac } from '../../protocol/mac.ts';
import type { Answer, World } from './answer.ts';
import type { Lease } from '../../inventory/nodes/leases.ts';
import { LeaseTable, createPool } from './lease.ts';
import { type MessageType, option } from './option.ts';
import type { Packet } from './packet.ts';

/** The rack that the tests of this room play on: 10.77.0.1, leasing 10.77.0.50 to 10.77.0.59 for an hour. */
export function testWorld(
  wanted: {
    leases?: Lease[];
    reservations?: [Mac, string][];
    range?: { from: string; to: string };
    /** Nothing is on disk when left out. */
    stored?: (ip: string) => Lease | undefined;
    alive?: Mac[];
    /** Never joined: all are boards when left out. */
    isBoard?: (mac: Mac) => boolean;
    admitNewcomer?: () => boolean;
  } = {},
): World {
  return {
    table: new LeaseTable(wanted.leases),
    pool: createPool({
      range: wanted.range ?? { from: '10.77.0.50', to: '10.77.0.59' },
      reservations: new Map(wanted.reservations),
      excluded: ['10.77.0.1'],
    }),
    stored: wanted.stored ?? (() => undefined),
    address: '10.77.0.1',
    netmask: '255.255.255.0',
    gateway: undefined,
    leaseSeconds: 3600,
    http: 'http://10.77.0.1:8480',
    isBoard: wanted.isBoard ?? (() => true),
    admitNewcomer: wanted.admitNewcomer ?? (() => true),
    placeHolder: (mac) => (wanted.alive?.includes(mac) ? 'it is alive' : undefined),
  };
}

/** A packet of a board, with nothing in it but what a test is about. */
export function boardPacket(
  type: MessageType,
  wanted: Partial<Omit<Packet, 'options'>> & { options?: [number, Uint8Array][] } = {},
): Packet {
  return {
    hops: 0,
    xid: 0x4d757374,
    secs: 0,
    broadcast: false,
    ciaddr: '0.0.0.0',
    yiaddr: '0.0.0.0',
    siaddr: '0.0.0.0',
    giaddr: '0.0.0.0',
    mac: '02:00:00:c2:00:01',
    sname: '',
    file: '',
    ...wanted,
    options: new Map(wanted.options),
    type,
  };
}

export function addressBytes(ip: string): Uint8Array {
  return Uint8Array.from(ip.split('.').map(Number));
}

/** One line that a person can compare: what was said, to whom, and what it changes. */
export function describeAnswer(answer: Answer): string {
  const leases = answer.leases.map(({ ip, mac, state }) => `${state} ${ip} ${mac}`).join(', ');
  const change = leases === '' ? '' : ` [${leases}]`;
  if ('silent' in answer) return `${answer.class}: silent: ${answer.silent}${change}`;
  const { reply, to } = answer;
  const words = [`${answer.class}: ${reply.type} ${reply.yiaddr} to ${to.address}:${to.port}`];
  if (reply.file !== '') words.push(`file ${reply.file} from ${reply.siaddr}`);
  const vendorClass = reply.options.get(option.vendorClass);
  if (vendorClass !== undefined) words.push(`as ${Buffer.from(vendorClass).toString()}`);
  return words.join(', ') + change;
}
