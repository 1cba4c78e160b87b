// The observer that believes neither controller nor agent: customers' processes say every 20 ms that they run, by a counter
// and their board's uptime, to a listener on the host. The last thing that a process said is the last that it did.
import type { ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { RackNetwork } from '../qemu/rack-network.ts';
import { endProcess, startTied } from '../qemu/tied-process.ts';

const program = fileURLToPath(new URL('tick-listener.ts', import.meta.url));

/** Where customers send their ticks: outside the rack's own network, which their boards do not let them reach. */
export const tickAddress = '10.78.0.1';
export const tickPort = 9000;

/** `/proc/uptime` has two decimals: what was said at 12.34 was said before 12.35. */
const uptimeStepMs = 10;

/** One process that says that it runs. */
export interface Source {
  /** The board's address: what its customers send leaves it under its own. */
  ip: string;
  /** From its environment, and which of the instance's processes. */
  customer: string;
  instance: string;
  label: string;
  /** How often it began from zero since `forget()`. */
  starts: number;
  ticks: number;
  /** When the last tick was said, on the clock of `performance.now()`: the board's uptime, carried over. */
  lastMs: number;
  /** When the last tick came in. */
  heardMs: number;
  /** The longest time between two ticks that came in one after the other since `forget()`. */
  longestPauseMs: number;
}

export class Ticks implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #sources = new Map<string, Source>();
  /** By board: what to add to its uptime. The quickest tick tells it best; a restart of the board begins anew. */
  readonly #offsetsMs = new Map<string, number>();

  private constructor(child: ChildProcess) {
    this.#child = child;
  }

  static async listen(network: RackNetwork): Promise<Ticks> {
    await network.exec(['ip', 'address', 'add', `${tickAddress}/32`, 'dev', 'lo']);
    const command = [process.execPath, '--disable-warning=ExperimentalWarning', program];
    const child = await startTied(network.inside(command), { stdio: ['ignore', 'pipe', 'inherit'] });
    const ticks = new Ticks(child);
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    child.once('exit', () => reject(new Error('the listener for ticks ended')));
    const skewMs = Number(process.hrtime.bigint()) / 1e6 - performance.now();
    if (child.stdout !== null)
      createInterface({ input: child.stdout }).on('line', (line) => {
        if (line === 'listening') resolve();
        else ticks.#take(line, skewMs);
      });
    await promise;
    return ticks;
  }

  /** Of that board and customer, what was heard since the last `forget()`. */
  of(ip: string, customer: string): Source[] {
    return [...this.#sources.values()].filter((source) => source.ip === ip && source.customer === customer);
  }

  /** The last moment in which one of the customer's processes there said something; -Infinity where none did. */
  lastMs(ip: string, customer: string): number {
    return Math.max(...this.of(ip, customer).map(({ lastMs }) => lastMs));
  }

  forget(): void {
    this.#sources.clear();
  }

  /** The board's clock stood still or began anew. */
  forgetClock(ip: string): void {
    this.#offsetsMs.delete(ip);
  }

  #take(line: string, skewMs: number): void {
    const [at, ip, customer, instance, label, count, uptime] = line.split(' ');
    if (ip === undefined || customer === undefined || instance === undefined || label === undefined) return;
    const heardMs = Number(at) - skewMs;
    const uptimeMs = Number(uptime) * 1000 + uptimeStepMs;
    if (!Number.isFinite(heardMs + uptimeMs)) return;
    const offsetMs = Math.min(this.#offsetsMs.get(ip) ?? Infinity, heardMs - uptimeMs);
    this.#offsetsMs.set(ip, offsetMs);
    const key = `${ip} ${instance} ${label}`;
    const fresh = { ip, customer, instance, label, starts: 0, ticks: 0, lastMs: -Infinity, heardMs, longestPauseMs: 0 };
    const source: Source = this.#sources.get(key) ?? fresh;
    this.#sources.set(key, source);
    if (count === '0') source.starts++;
    source.ticks++;
    source.longestPauseMs = Math.max(source.longestPauseMs, heardMs - source.heardMs);
    source.heardMs = heardMs;
    source.lastMs = Math.max(source.lastMs, Math.min(heardMs, uptimeMs + offsetMs));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.removeAllListeners('exit');
    await endProcess(this.#child, 'SIGKILL');
  }
}
