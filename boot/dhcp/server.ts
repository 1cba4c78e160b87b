// The DHCP loop: receive, wait for a turn (backlog.ts), decide (answer.ts), store, send. Answers that come close together
// share one write to the store, so that a rack that powers on at once does not wait for 684 commits; an answer that changes
// nothing on disk waits for none.

import type { Socket } from 'node:dgram';
import type { Mac } from '../../protocol/mac.ts';
import { type Ipv4, broadcastAddress, ipv4Number } from '../../protocol/ipv4.ts';
import { type Answer, type World, answer } from './answer.ts';
import { Backlog, headerBytes } from './backlog.ts';
import type { ClientClass } from './client-class.ts';
import type { Lease, LeaseStore } from '../../inventory/nodes/leases.ts';
import { type Neighbour, Neighbours, askIntervalMs, neighbourIn, question } from './neighbours.ts';
import { optionName } from './option.ts';
import { type Packet, decodePacket, encodePacket } from './packet.ts';

export interface DhcpCounters {
  received: number;
  /** Datagrams that were no DHCP packets. */
  refused: number;
  /** Packets that we rightly did not answer. */
  silent: number;
  /** Packets dropped because there were more than could be decided or stored, or whose sender has given up. */
  dropped: number;
  /** Answers lost because their lease could not be stored, or the network would not take them. */
  failed: number;
  offers: number;
  acks: number;
  naks: number;
}

export interface DhcpEvent {
  mac: Mac;
  ip?: string;
  type: 'discover' | 'ack' | 'nak';
  class: ClientClass;
}

export interface DhcpOptions {
  /** Bound, on one interface, with broadcast allowed. The server closes it. */
  socket: Socket;
  world: World;
  store: LeaseStore;
  /** The leases that are on disk, by address. The server adds what it stores. */
  stored: Map<Ipv4, Lease>;
  now: () => number;
  heard: (event: DhcpEvent) => void;
  /** What an operator should know, in one sentence: that addresses run short, or that another server is here. Seldom. */
  trouble: (message: string) => void;
  /** A line is made only where somebody reads it. */
  log: (line: () => string) => void;
}

export interface DhcpServer extends AsyncDisposable {
  readonly counters: Readonly<DhcpCounters>;
  /** Other servers on this segment, heard within the last minutes. */
  neighbours(): Neighbour[];
}

/** Answers that wait for their lease to be stored. Beyond it packets are dropped: the boards ask again. */
const unstoredLimit = 4096;
/** Decided about before the socket is read again, which gives up to 32: what waits is known before it is old. */
const turnLength = 8;

const shortageIntervalMs = 60_000;

/** Serves from now on. */
export function serveDhcp(options: DhcpOptions): DhcpServer {
  return new Loop(options);
}

class Loop implements DhcpServer {
  readonly counters: DhcpCounters = {
    received: 0,
    refused: 0,
    silent: 0,
    dropped: 0,
    failed: 0,
    offers: 0,
    acks: 0,
    naks: 0,
  };
  readonly #options: DhcpOptions;
  readonly #backlog: Backlog;
  readonly #neighbours: Neighbours;
  readonly #asking: NodeJS.Timeout;
  #unstored: { packet: Packet; answer: Answer }[] = [];
  #flushing: Promise<void> | undefined;
  #isWorking = false;
  #isClosed = false;
  #troubledAt = -Infinity;

  constructor(options: DhcpOptions) {
    this.#options = options;
    const { socket, world } = options;
    this.#backlog = new Backlog((mac) => world.isBoard(mac) || world.table.of(mac) !== undefined);
    this.#neighbours = new Neighbours(() => options.now());
    const ask = () => socket.send(encodePacket(question(world.address)), 67, broadcastAddress, () => undefined);
    this.#asking = setInterval(ask, askIntervalMs);
    ask();
    socket.on('message', (datagram) => this.#hear(datagram));
    // Nothing that a board sends may end the server: an ICMP error or a full buffer is the network's, not ours.
    socket.on('error', (error) => {
      this.counters.failed++;
      options.log(() => `DHCP socket: ${error.message}`);
    });
  }

  neighbours(): Neighbour[] {
    return this.#neighbours.all();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true;
    clearInterval(this.#asking);
    await this.#flushing;
    await new Promise<void>((resolve) => this.#options.socket.close(resolve));
  }

  #hear(datagram: Buffer): void {
    this.counters.received++;
    if (datagram.length < headerBytes) this.counters.refused++;
    else if (!this.#backlog.put(datagram, this.#options.now())) this.counters.dropped++;
    else if (!this.#isWorking) {
      this.#isWorking = true;
      setImmediate(() => this.#work());
    }
  }

  #work(): void {
    if (this.#isClosed) return;
    for (let count = 0; count < turnLength; count++) {
      const datagram = this.#backlog.take(this.#options.now(), () => this.counters.dropped++);
      if (datagram === undefined) break;
      this.#decide(datagram);
    }
    this.#isWorking = this.#backlog.length > 0;
    if (this.#isWorking) setImmediate(() => this.#work());
  }

  #decide(datagram: Buffer): void {
    const { world, heard, trouble, now } = this.#options;
    const packet = decodePacket(datagram);
    if ('refused' in packet) {
      this.counters.refused++;
      return;
    }
    if (this.#unstored.length >= unstoredLimit) {
      this.counters.dropped++;
      return;
    }
    const neighbour = neighbourIn(packet, world.address);
    const news = neighbour === undefined ? undefined : this.#neighbours.heard(neighbour);
    if (news !== undefined) trouble(news);
    const decided = answer(packet, { world, nowMs: now() });
    for (const lease of decided.leases) world.table.put(lease);
    if (packet.type === 'discover' && decided.class !== 'controller' && decided.isTurnedAway !== true)
      heard({ mac: packet.mac, type: 'discover', class: decided.class });
    if (decided.isShort === true) this.#tellShortage(packet.mac);
    if (decided.leases.every(({ state }) => state === 'offered')) {
      if ('silent' in decided) this.counters.silent++;
      else this.#send(packet, decided);
      return;
    }
    this.#unstored.push({ packet, answer: decided });
    this.#flushing ??= this.#flush();
  }

  #tellShortage(mac: Mac): void {
    const now = this.#options.now();
    // A clock that was set back must not silence us for as long.
    if (now - this.#troubledAt < shortageIntervalMs && now >= this.#troubledAt) return;
    this.#troubledAt = now;
    this.#options.trouble(shortage(mac, { world: this.#options.world, nowMs: now }));
  }

  async #flush(): Promise<void> {
    const { store, stored, log } = this.#options;
    // Let the datagrams that the kernel already holds join the first batch.
    await new Promise(setImmediate);
    while (this.#unstored.length > 0) {
      const batch = this.#unstored;
      this.#unstored = [];
      const leases = latestOf(batch.flatMap((entry) => entry.answer.leases.filter(({ state }) => state !== 'offered')));
      try {
        await store.save(leases);
      } catch (error) {
        this.counters.failed += batch.length;
        log(() => `cannot store ${leases.length} leases, so their boards get no answer: ${String(error)}`);
        // Not stored is not given. The board's claim on its address stays in memory; it asks again.
        continue;
      }
      for (const lease of leases) stored.set(lease.ip, lease);
      for (const entry of batch) if (!this.#isClosed) this.#send(entry.packet, entry.answer);
    }
    this.#flushing = undefined;
  }

  #send(packet: Packet, decided: Answer): void {
    const { socket, heard, log } = this.#options;
    const { counters } = this;
    if ('silent' in decided) {
      counters.silent++;
      log(() => `${packet.mac} ${decided.silent}`);
      return;
    }
    const { reply, to } = decided;
    socket.send(encodePacket(reply), to.port, to.address, (error) => {
      if (error === null) return;
      counters.failed++;
      log(() => `cannot send ${reply.type} for ${reply.mac} to ${to.address}: ${error.message}`);
    });
    if (reply.type === 'offer') counters.offers++;
    if (reply.type === 'ack') counters.acks++;
    if (reply.type === 'nak') counters.naks++;
    log(() => summary(packet, { client: decided.class, reply }));
    if (reply.type === 'ack' && reply.yiaddr !== '0.0.0.0')
      heard({ mac: reply.mac, ip: reply.yiaddr, type: 'ack', class: decided.class });
    if (reply.type === 'nak') heard({ mac: reply.mac, type: 'nak', class: decided.class });
  }
}

/** One line for a person: who asked as what, and what it was told. */
function summary(packet: Packet, { client, reply }: { client: ClientClass; reply: Packet }): string {
  const asked = [...packet.options.keys()].map(optionName).join(', ');
  const file = reply.file === '' ? '' : ` file ${reply.file}`;
  return `${packet.mac} ${client} ${packet.type} -> ${reply.type} ${reply.yiaddr}${file} (sent: ${asked})`;
}

/** Who has the addresses, and what to do. */
function shortage(mac: Mac, { world, nowMs }: { world: World; nowMs: number }): string {
  const { pool, table, isBoard } = world;
  const leases = [...table.all()].filter(({ state }) => state !== 'declined');
  const kept = leases.filter((lease) => isBoard(lease.mac)).length;
  const others = leases.filter(
    (lease) => !isBoard(lease.mac) && lease.expiresAtMs > nowMs && lease.state !== 'released',
  );
  const latest = others.toSorted((a, b) => b.expiresAtMs - a.expiresAtMs).slice(0, 3);
  const names = latest.length === 0 ? '' : ` (the latest: ${latest.map((lease) => lease.mac).join(', ')})`;
  return (
    `no address for ${mac}: of ${pool.from} to ${pool.to}, ${kept} are kept for boards and ${others.length} given to ` +
    `machines that never joined${names}. Either somebody makes up MAC addresses, then find the switch port that shows ` +
    'many; or the range is too small, then start with a larger --range. Boards that joined keep theirs; a new one is ' +
    'sure of an address by a line in `reservations`'
  );
}

/** The last word on each address, in order of address. */
function latestOf(leases: Lease[]): Lease[] {
  const byIp = new Map(leases.map((lease) => [lease.ip, lease]));
  return [...byIp.values()].toSorted((a, b) => ipv4Number(a.ip) - ipv4Number(b.ip));
}
