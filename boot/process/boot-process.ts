// The controller's end of the boot process (main.ts): tells it what it must know of nodes before boards ask, stores leases
// and gives join tokens for it, and starts another one when it ends. What it says is checked and counted: whoever took it
// over could do no more than it may do anyway.
import type { Neighbour } from '../dhcp/neighbours.ts';
import { BootChild, type ChildListener } from './boot-child.ts';
import type { BootProcessHost, BootProcessOptions } from './host.ts';
import type { BootSettings } from './message.ts';

export interface BootProcess extends AsyncDisposable {
  /** Resolves once boards are served. Throws one sentence where a file, a port, an address or an option is wrong. */
  serve(settings: BootSettings, host: BootProcessHost): Promise<void>;
  /** For /metrics, a second old at most; since its process started. */
  readonly counters: BootChild['counters'];
  /** Other DHCP servers and controllers on this segment, heard within the last minutes. */
  neighbours(): Neighbour[];
  /** Why boards are not served at this moment, or may not be. */
  problem(): string | undefined;
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
      recovered();
      first.resolve();
    },
    quiet: (seconds, limit) =>
      trouble(
        `boards may wait: the boot process has said nothing for ${seconds} s; after ${limit} s it is killed and started again`,
      ),
    heard: recovered,
    ended: (why, servedMs) => {
      if (isClosed) return;
      if (!isServed) return first.reject(new Error(why));
      if (servedMs >= steadyMs) delayMs = backoffMs.first;
      restarts++;
      trouble(`boards are not served: ${why}; it is started again`);
      timer = setTimeout(restart, delayMs);
      delayMs = Math.min(delayMs * 2, backoffMs.most);
    },
  };
  let child = new BootChild(options, listener);

  function trouble(message: string): void {
    problem = message;
    serving?.host.trouble(message);
  }

  /** Whoever reads the events alone sees the end of it. */
  function recovered(): void {
    if (problem !== undefined) serving?.host.trouble('boards are served again');
    problem = undefined;
  }

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
