// The controller's end of the boot process (main.ts): tells it what it must know of nodes before boards ask, stores leases
// and gives join tokens for it, and starts another one when it ends. What it says is checked and counted: whoever took it
// over could do no more than it may do anyway.
import type { Ipv4 } from '../../protocol/ipv4.ts';
import type { Mac } from '../../protocol/mac.ts';
import type { LeaseStore } from '../../inventory/nodes/leases.ts';
import type { Neighbour } from '../dhcp/neighbours.ts';
import type { BootEvent, TokenAnswer } from '../server.ts';
import { BootChild, type ChildListener } from './boot-child.ts';
import type { BootSettings, NodeFacts } from './message.ts';

export type { NodeFacts } from './message.ts';

/** What the controller provides. */
export interface BootProcessHost {
  leases: LeaseStore;
  joinToken(mac: Mac, ip: Ipv4): Promise<TokenAnswer>;
  /** Of every node. */
  macs(): Iterable<Mac>;
  /** A node as it is now; undefined where there is none. */
  facts(mac: Mac): NodeFacts | undefined;
  /** Told of each node that has changed, which need not wait for the next look at all of them. Returns what ends it. */
  subscribe(changed: (mac: Mac) => void): () => void;
  /** A sign of life of a board. Resolves when it is stored, or cannot be. */
  stage(event: BootEvent): Promise<void>;
  /** What an operator should know, in one sentence; seldom. */
  trouble(message: string): void;
  log(line: string): void;
}

export interface BootProcess extends AsyncDisposable {
  /** Resolves once boards are served. Throws one sentence where a file, a port, an address or an option is wrong. */
  serve(settings: BootSettings, host: BootProcessHost): Promise<void>;
  /** For /metrics, a second old at most; since its process started. */
  readonly counters: BootChild['counters'];
  /** Other DHCP servers and controllers on this segment, heard within the last minutes. */
  neighbours(): Neighbour[];
  /** Why boards are not served at this moment. */
  problem(): string | undefined;
}

export interface BootProcessOptions {
  cacheDirectory: string;
  /** Of the rack's interface: they stay open here, and what boards say meanwhile waits in them. */
  sockets: { dhcpFd: number; tftpFd: number };
}

/** Places are held and freed as time passes, and that is no change of a document (inventory/nodes/places.ts). */
const lookIntervalMs = 250;
const backoffMs = { first: 100, most: 5_000 };
/** One that served for so long did not end for the reason that the one before it ended for. */
const steadyMs = 60_000;

/** Starts the process, which reads and checks the boot files until it is told whom to serve. */
export function startBootProcess(options: BootProcessOptions): BootProcess {
  const first = Promise.withResolvers<void>();
  first.promise.catch(() => undefined);
  let serving: { settings: BootSettings; host: BootProcessHost } | undefined;
  let isServed = false;
  let isClosed = false;
  let problem: string | undefined;
  let restarts = 0;
  let delayMs = backoffMs.first;
  let timer: NodeJS.Timeout | undefined;
  const listener: ChildListener = {
    ready: () => {
      isServed = true;
      problem = undefined;
      first.resolve();
    },
    ended: (why, servedMs) => {
      if (isClosed) return;
      if (!isServed) return first.reject(new Error(why));
      if (servedMs >= steadyMs) delayMs = backoffMs.first;
      restarts++;
      problem = `boards are not served: ${why}; it is started again`;
      serving?.host.trouble(problem);
      timer = setTimeout(restart, delayMs);
      delayMs = Math.min(delayMs * 2, backoffMs.most);
    },
  };
  let child = new BootChild(options, listener);

  function restart(): void {
    child = new BootChild(options, listener);
    if (serving !== undefined) void child.begin(serving.settings, serving.host);
  }

  const stack = new AsyncDisposableStack();
  stack.defer(() => child.end());
  return {
    async serve(settings, host) {
      serving = { settings, host };
      await child.begin(settings, host);
      await first.promise;
      stack.adopt(
        setInterval(() => child.look(), lookIntervalMs),
        clearInterval,
      );
      stack.defer(host.subscribe((mac) => child.look(mac)));
    },
    get counters() {
      return { ...child.counters, process: { restarts } };
    },
    neighbours: () => child.neighbours,
    problem: () => problem,
    [Symbol.asyncDispose]: () => {
      isClosed = true;
      clearTimeout(timer);
      first.reject(new Error('the controller stops'));
      return stack.disposeAsync();
    },
  };
}
