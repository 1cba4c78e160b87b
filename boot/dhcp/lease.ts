// Which address a machine gets: the pool, the leases in memory, and the choice of a free address. Pure.
import type { Lease } from '../../inventory/nodes/leases.ts';
import type { Mac } from '../../protocol/mac.ts';
import { type Ipv4, formatIpv4, ipv4Number } from '../../protocol/ipv4.ts';

export interface Pool {
  from: Ipv4;
  to: Ipv4;
  /** Addresses that are a board's own, inside or outside the range. */
  reservations: ReadonlyMap<Mac, Ipv4>;
  /** The same, by address. */
  reserved: ReadonlySet<Ipv4>;
  /** Addresses that are nobody's: the server's, the gateway's. */
  excluded: ReadonlySet<Ipv4>;
}

/** A pool is looked through one address at a time, so its size is bounded: a rack has 684 boards, a row of them 4,000. */
export const maximumPoolAddresses = 4096;

/** Throws where the range is none, or too large. */
export function createPool(wanted: {
  range: { from: Ipv4; to: Ipv4 };
  reservations: ReadonlyMap<Mac, Ipv4>;
  excluded: Iterable<Ipv4>;
}): Pool {
  const { range, reservations } = wanted;
  const count = ipv4Number(range.to) - ipv4Number(range.from) + 1;
  if (count < 1 || count > maximumPoolAddresses)
    throw new Error(`cannot lease ${range.from} to ${range.to}: ${count} addresses, want 1 to ${maximumPoolAddresses}`);
  const reserved = new Set(reservations.values());
  if (reserved.size !== reservations.size) throw new Error('cannot reserve addresses: two boards have the same one');
  return { ...range, reservations, reserved, excluded: new Set(wanted.excluded) };
}

/** The table of leases: by address and, newest first, by board. It only remembers; who gets what is decided below. */
export class LeaseTable {
  readonly #byIp = new Map<Ipv4, Lease>();
  readonly #byMac = new Map<Mac, Ipv4>();

  constructor(leases: Iterable<Lease> = []) {
    for (const lease of [...leases].toSorted((a, b) => a.expiresAtMs - b.expiresAtMs)) this.put(lease);
  }

  at(ip: Ipv4): Lease | undefined {
    return this.#byIp.get(ip);
  }

  /** The lease that this board got last, whether or not it still runs. */
  of(mac: Mac): Lease | undefined {
    const ip = this.#byMac.get(mac);
    return ip === undefined ? undefined : this.#byIp.get(ip);
  }

  put(lease: Lease): void {
    const former = this.#byIp.get(lease.ip);
    if (former !== undefined && this.#byMac.get(former.mac) === lease.ip) this.#byMac.delete(former.mac);
    this.#byIp.set(lease.ip, lease);
    if (lease.state !== 'declined') this.#byMac.set(lease.mac, lease.ip);
  }

  delete(ip: Ipv4): void {
    const former = this.#byIp.get(ip);
    if (former === undefined) return;
    this.#byIp.delete(ip);
    if (this.#byMac.get(former.mac) === ip) this.#byMac.delete(former.mac);
  }

  all(): Iterable<Lease> {
    return this.#byIp.values();
  }
}

/**
 * Whether the address is taken, as far as this MAC is concerned. What a board had stays its own, however long it is off,
 * as long as only machines ask that never were boards: anybody can make up any number of those.
 */
export function isTaken(
  lease: Lease | undefined,
  { mac, nowMs, isBoard }: Pick<Allocation, 'mac' | 'nowMs' | 'isBoard'>,
): boolean {
  if (lease === undefined) return false;
  const isRunning = lease.expiresAtMs > nowMs && lease.state !== 'released';
  if (lease.state === 'declined') return isRunning;
  if (lease.mac === mac) return false;
  return isRunning || (lease.state !== 'offered' && isBoard(lease.mac) && !isBoard(mac));
}

/** Whether the board may have exactly this address. */
export function mayHave(ip: Ipv4, allocation: Allocation): boolean {
  const { table, pool, mac } = allocation;
  if (pool.excluded.has(ip) || isTaken(table.at(ip), allocation)) return false;
  const reserved = pool.reservations.get(mac);
  if (reserved !== undefined && reserved !== ip) return isTaken(table.at(reserved), allocation) && inRange(ip, pool);
  if (reserved === ip) return true;
  return inRange(ip, pool) && !pool.reserved.has(ip);
}

export interface Allocation {
  table: LeaseTable;
  pool: Pool;
  mac: Mac;
  nowMs: number;
  /** Whether this MAC has joined before, or has a reservation. */
  isBoard: (mac: Mac) => boolean;
}

/** A client answers an offer within a second or two. */
const youngOfferMs = 5_000;
/** How long an address is kept for a board that was offered it: U-Boot asks three times before it decides. */
export const offerMs = 60_000;

/**
 * The address to offer: the board's reserved one, the one it had, the one it asks for, a free one, the one that
 * expired longest ago; then the oldest that was offered to a machine which never was a board, and for a board also the
 * one that such a machine has had longest. `undefined` when the pool is exhausted.
 */
export function chooseAddress(allocation: Allocation, requested: Ipv4 | undefined): Ipv4 | undefined {
  const { table, pool, mac, nowMs, isBoard } = allocation;
  const asksAsBoard = isBoard(mac);
  const preferred = [pool.reservations.get(mac), table.of(mac)?.ip, requested];
  for (const ip of preferred) if (ip !== undefined && mayHave(ip, allocation)) return ip;

  const first = ipv4Number(pool.from);
  const count = ipv4Number(pool.to) - first + 1;
  // From a place that the MAC decides, so that a board finds its old address even where the leases were lost.
  const start = hash(mac) % count;
  let oldest: Lease | undefined;
  let oldestOffer: Lease | undefined;
  let oldestStranger: Lease | undefined;
  for (let step = 0; step < count; step++) {
    const ip = formatIpv4(first + ((start + step) % count));
    if (pool.excluded.has(ip) || pool.reserved.has(ip)) continue;
    const lease = table.at(ip);
    if (lease === undefined) return ip;
    if (!isTaken(lease, allocation)) oldest = older(lease, oldest);
    else if (lease.state === 'declined' || isBoard(lease.mac)) continue;
    else if (lease.state === 'offered') {
      if (asksAsBoard || lease.expiresAtMs - offerMs + youngOfferMs <= nowMs) oldestOffer = older(lease, oldestOffer);
    } else if (asksAsBoard) oldestStranger = older(lease, oldestStranger);
  }
  return (oldest ?? oldestOffer ?? oldestStranger)?.ip;
}

function older(lease: Lease, than: Lease | undefined): Lease {
  return than === undefined || lease.expiresAtMs < than.expiresAtMs ? lease : than;
}

function inRange(ip: Ipv4, pool: Pool): boolean {
  const number = ipv4Number(ip);
  return number >= ipv4Number(pool.from) && number <= ipv4Number(pool.to);
}

/** FNV-1a: spread, not secrecy. */
function hash(text: string): number {
  let value = 0x811c9dc5;
  for (let at = 0; at < text.length; at++) value = Math.imul(value ^ text.charCodeAt(at), 0x01000193);
  return value >>> 0;
}
