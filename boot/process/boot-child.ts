// One boot process, from its start to its end, as its controller sees it.
import { spawn, type ChildProcess } from 'node:child_process';
import { getCompileCacheDir } from 'node:module';
import { dirname } from 'node:path';
import { Duplex } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { type Ipv4, ipv4Number } from '../../protocol/ipv4.ts';
import type { Mac } from '../../protocol/mac.ts';
import type { Lease } from '../../inventory/nodes/leases.ts';
import type { Neighbour } from '../dhcp/neighbours.ts';
import { type Channel, openChannel } from './channel.ts';
import type { BootProcessHost, BootProcessOptions } from './host.ts';
import { type BootIsTold, BootSays, type BootSettings, type NodeFacts } from './message.ts';

/**
 * Whom the process becomes where the controller is root: nobody else. Debian gives the numbers from 65,000 to 65,533 to
 * nobody, and systemd's own end at 65,519.
 */
const bootUid = 65_533;
const program = fileURLToPath(new URL('./main.ts', import.meta.url));
/** It reports each second once it serves; beside a busy machine's other work it may be late, and to start. */
const silentSecondsLimit = { starting: 120, serving: 30 };
/** After this long it is said: boards may wait. */
const quietSeconds = 5;
const endWithinMs = 2_000;
/** A rack that powers on says some 100 signs of life a second; each batch is 64 of them. */
const noteIntervalMs = 50;
const tokensLimit = 64;
const troublesPerMinute = 20;
const bytesLimit = { line: 2 * 2 ** 20, second: 4 * 2 ** 20 };

export interface ChildListener {
  /** Boards are served. */
  ready(): void;
  /** It serves, and has said nothing for so long. It is killed after so long, s. */
  quiet(seconds: number, limit: number): void;
  /** After `quiet`: it speaks again. */
  heard(): void;
  /** Told why, and how long it has served, ms. */
  ended(why: string, servedMs: number): void;
}

export class BootChild {
  counters: Readonly<Record<string, Readonly<Record<string, number>>>> = {};
  neighbours: Neighbour[] = [];
  readonly #on: ChildListener;
  readonly #process: ChildProcess;
  readonly #channel: Channel<BootIsTold>;
  readonly #gone = Promise.withResolvers<void>();
  readonly #watching: NodeJS.Timeout;
  /** What it knows of nodes. */
  readonly #told = new Map<Mac, NodeFacts>();
  readonly #troubles = { began: -Infinity, count: 0 };
  #serving: { host: BootProcessHost; mayLease: (ip: Ipv4) => boolean } | undefined;
  #readyAt: number | undefined;
  #failure: string | undefined;
  #silentSeconds = 0;
  #tokens = 0;

  /** Its process reads and checks the boot files from now on. */
  constructor(options: BootProcessOptions, on: ChildListener) {
    this.#on = on;
    this.#process = start(options);
    const stream = this.#process.stdio[3];
    if (!(stream instanceof Duplex)) throw new Error('the boot process was started without its channel');
    this.#channel = openChannel<typeof BootSays, BootIsTold>(stream, {
      schema: BootSays,
      bytesLimit,
      now: () => performance.now(),
      heard: (said) => this.#heard(said),
      ended: (why) => {
        if (why !== 'closed') return this.#kill(why);
        // It ends by itself, and says by how.
        setTimeout(() => this.#process.kill('SIGKILL'), endWithinMs).unref();
      },
    });
    this.#process.once('error', (error) => this.#ended(`the boot process cannot be started: ${error.message}`));
    this.#process.once('exit', (code, signal) => this.#ended(`the boot process ended with ${signal ?? code}`));
    this.#watching = setInterval(() => {
      const limit = this.#readyAt === undefined ? silentSecondsLimit.starting : silentSecondsLimit.serving;
      if (++this.#silentSeconds > limit) this.#kill(`said nothing for ${limit} s`);
      else if (this.#readyAt !== undefined && this.#silentSeconds === quietSeconds) on.quiet(quietSeconds, limit);
    }, 1_000).unref();
  }

  /** Tells it all that it has to know to serve. */
  async begin(settings: BootSettings, host: BootProcessHost): Promise<void> {
    const leases = await host.leases.load();
    const reserved = new Set(settings.reservations.map(([, ip]) => ip));
    const [from, to] = [ipv4Number(settings.range.from), ipv4Number(settings.range.to)];
    const mayLease = (ip: Ipv4) => reserved.has(ip) || (ipv4Number(ip) >= from && ipv4Number(ip) <= to);
    this.#serving = { host, mayLease };
    this.#channel.send({ type: 'start', settings, leases, nodes: this.#changed(host, host.macs()) });
  }

  /** Tells it what has changed of this node, or of any. */
  look(mac?: Mac): void {
    // Not lost: the next look at all finds it.
    if (this.#serving === undefined || this.#channel.isFull) return;
    const { host } = this.#serving;
    const nodes = this.#changed(host, mac === undefined ? new Set([...host.macs(), ...this.#told.keys()]) : [mac]);
    if (nodes.length > 0) this.#channel.send({ type: 'nodes', nodes });
  }

  /** It keeps nothing that would have to be saved. */
  end(): Promise<void> {
    this.#channel.close();
    this.#process.kill('SIGKILL');
    return this.#gone.promise;
  }

  #ended(why: string): void {
    clearInterval(this.#watching);
    this.#channel.close();
    this.#gone.resolve();
    this.#on.ended(this.#failure ?? why, this.#readyAt === undefined ? 0 : performance.now() - this.#readyAt);
  }

  #kill(why: string): void {
    this.#failure ??= `the boot process was killed, because it ${why}`;
    this.#process.kill('SIGKILL');
  }

  #heard(said: BootSays): void {
    switch (said.type) {
      case 'ready':
        this.#readyAt ??= performance.now();
        this.#silentSeconds = 0;
        this.#on.ready();
        break;
      case 'failed':
        this.#failure ??= said.message;
        this.#process.kill('SIGKILL');
        break;
      case 'report':
        if (this.#readyAt !== undefined && this.#silentSeconds >= quietSeconds) this.#on.heard();
        this.#silentSeconds = 0;
        this.counters = said.counters;
        this.neighbours = said.neighbours;
        break;
      case 'save':
        void this.#save(said.id, said.leases);
        break;
      case 'join-token':
        void this.#giveToken(said.id, said);
        break;
      case 'note':
        void this.#note(said);
        break;
    }
  }

  async #save(id: number, leases: Lease[]): Promise<void> {
    const strange = leases.find(({ ip }) => this.#serving?.mayLease(ip) !== true);
    if (this.#serving === undefined || strange !== undefined)
      return this.#kill(`leases ${strange?.ip}, which is not in its range`);
    try {
      await this.#serving.host.leases.save(leases);
      this.#channel.send({ type: 'saved', id });
    } catch (error) {
      this.#channel.send({ type: 'saved', id, failed: error instanceof Error ? error.message : String(error) });
    }
  }

  async #giveToken(id: number, { mac, ip }: { mac: Mac; ip: Ipv4 }): Promise<void> {
    const host = this.#serving?.host;
    // It may be over in a second, in which the board asks again.
    const later = (refused: string) => this.#channel.send({ type: 'token', id, answer: { refused, held: true } });
    if (host === undefined || this.#tokens >= tokensLimit) return later('the controller is busy');
    this.#tokens++;
    try {
      this.#channel.send({ type: 'token', id, answer: await host.joinToken(mac, ip) });
    } catch (error) {
      host.log(`cannot give ${mac} a join token: ${String(error)}`);
      later('its token cannot be stored');
    } finally {
      this.#tokens--;
    }
  }

  async #note({ events, lines, troubles }: Extract<BootSays, { type: 'note' }>): Promise<void> {
    const host = this.#serving?.host;
    for (const line of lines) host?.log(line);
    for (const trouble of troubles) if (this.#isDue()) host?.trouble(trouble);
    await Promise.all([delay(noteIntervalMs), ...events.map((event) => host?.stage(event))]);
    this.#channel.send({ type: 'noted' });
  }

  #isDue(): boolean {
    const now = performance.now();
    if (now - this.#troubles.began >= 60_000) Object.assign(this.#troubles, { began: now, count: 0 });
    return this.#troubles.count++ < troublesPerMinute;
  }

  /** What is not as it was told; it is told now. */
  #changed(host: BootProcessHost, macs: Iterable<Mac>): [Mac, NodeFacts][] {
    const changed: [Mac, NodeFacts][] = [];
    for (const mac of macs) {
      const facts = host.facts(mac);
      const former = this.#told.get(mac);
      const isSame =
        former?.isBoard === facts?.isBoard && former?.refused === facts?.refused && former?.holder === facts?.holder;
      if (isSame) continue;
      if (facts === undefined) this.#told.delete(mac);
      else this.#told.set(mac, facts);
      changed.push([mac, facts ?? { isBoard: false }]);
    }
    return changed;
  }
}

function start({ cacheDirectory, sockets }: BootProcessOptions): ChildProcess {
  const compileCache = getCompileCacheDir();
  // Until it is nobody it ends with us by the signal, and later by the end of its channel.
  const confined = ['--no-new-privs', '--pdeathsig', 'KILL', '--', process.execPath, ...process.execArgv];
  return spawn('setpriv', [...confined, program, cacheDirectory, String(bootUid)], {
    stdio: ['ignore', 'ignore', 'inherit', 'pipe', sockets.dhcpFd, sockets.tftpFd],
    env: {
      PATH: process.env['PATH'],
      MALLOC_ARENA_MAX: '1',
      ...(compileCache === undefined ? {} : { NODE_COMPILE_CACHE: dirname(compileCache) }),
    },
  });
}
