// Other servers on our segment. Two of them boot boards by chance: whoever answers first. So we ask, once a minute, as a
// relay would, whether anybody else gives addresses here: a DHCP server sends its offer to the relay, port 67, which is
// our own. Another Muster controller takes no address out of its pool for that, says what it is, and hears of us by it.
// And a board that takes its address from somebody else says from whom, to everybody.
import type { Mac } from '../../protocol/mac.ts';
import { type Ipv4, anyAddress, ipv4Number } from '../../protocol/ipv4.ts';
import { classify, controllerVendorClass } from './client-class.ts';
import { isReply, option } from './option.ts';
import { type Packet, addressOption, textOption } from './packet.ts';

export interface Neighbour {
  address: Ipv4;
  kind: 'muster' | 'dhcp';
}

/** So often we ask. */
export const askIntervalMs = 60_000;
/** Not heard for three questions, it is gone. */
const goneAfterMs = 3 * askIntervalMs + 10_000;
/** Anybody can make up addresses. */
const neighbourLimit = 16;

/** What this packet says of another server; undefined where it says nothing. */
export function neighbourIn(packet: Packet, own: Ipv4): Neighbour | undefined {
  const server = addressOption(packet, option.serverId);
  const isController = textOption(packet, option.vendorClass) === controllerVendorClass;
  const heard: Neighbour | undefined = isReply(packet.type)
    ? { address: server ?? packet.siaddr, kind: isController ? 'muster' : 'dhcp' }
    : classify(packet) === 'controller'
      ? { address: packet.giaddr, kind: 'muster' }
      : packet.type === 'request' && server !== undefined
        ? { address: server, kind: 'dhcp' }
        : undefined;
  return heard === undefined || heard.address === own || heard.address === anyAddress ? undefined : heard;
}

/** What we ask everybody. */
export function question(own: Ipv4): Packet {
  return {
    hops: 1,
    xid: ipv4Number(own),
    secs: 0,
    broadcast: false,
    ciaddr: anyAddress,
    yiaddr: anyAddress,
    siaddr: anyAddress,
    giaddr: own,
    mac: questionMac(own),
    sname: '',
    file: '',
    options: new Map([[option.vendorClass, Buffer.from(controllerVendorClass)]]),
    type: 'discover',
  };
}

/** A local address that no board has: a foreign server may note it. */
function questionMac(own: Ipv4): Mac {
  const digits = ipv4Number(own).toString(16).padStart(8, '0');
  return `02:4d:${digits.match(/../g)?.join(':') ?? ''}`;
}

export class Neighbours {
  readonly #now: () => number;
  readonly #known = new Map<Ipv4, { kind: Neighbour['kind']; at: number }>();

  constructor(now: () => number) {
    this.#now = now;
  }

  /** Returns what an operator should be told, when it is news. */
  heard({ address, kind }: Neighbour): string | undefined {
    const now = this.#now();
    for (const [known, { at }] of this.#known) if (now - at > goneAfterMs || now < at) this.#known.delete(known);
    const former = this.#known.get(address);
    if (former === undefined && this.#known.size >= neighbourLimit) return undefined;
    // A board that names a server does not know what it is.
    const sort = former?.kind === 'muster' ? 'muster' : kind;
    this.#known.set(address, { kind: sort, at: now });
    if (sort === former?.kind) return undefined;
    return sort === 'muster'
      ? `another Muster controller, ${address}, answers boards on this segment: a board that starts belongs to whoever ` +
          'answers it first, and stays there until it starts anew. Stop one of the two, or part their segments'
      : `another DHCP server, ${address}, answers on this segment: a board that it answers first does not boot from here. ` +
          'Turn it off, or part the segments';
  }

  all(): Neighbour[] {
    const now = this.#now();
    return [...this.#known].flatMap(([address, { kind, at }]) => (now - at > goneAfterMs ? [] : [{ address, kind }]));
  }
}
