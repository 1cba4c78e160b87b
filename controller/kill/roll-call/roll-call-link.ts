// The main thread's end of the roll call's thread: tells it what the inventory says, and the inventory what it heard.
//
// The process ends with the thread. One that has not spoken for some seconds, while this thread ran, has ended too: it sends no
// permits, so every node is stopping everybody, and whoever gave an order waits in vain. The supervisor starts us again.
import { Worker } from 'node:worker_threads';
import type { Inventory } from '../../../inventory/inventory.ts';
import { QuietWatch } from './quiet-watch.ts';
import type { FromThread, ToThread } from './roll-call-channel.ts';
import { RollCallFeed } from './roll-call-feed.ts';
import { clockOrigin, type Overdue, sinceGiven, type Told } from './roll-call-messages.ts';
import type { RollCall } from './roll-call.ts';

const watchIntervalMs = 500;
/** A thread that gets a processor now and then speaks ten times a second. */
const silenceLimitMs = 10_000;
/** Before its first word it is compiled, on a machine that may be busy with a whole rack's start. */
const startLimitMs = 60_000;

export interface RollCallThread extends AsyncDisposable {
  /** Begins to hear and to answer. */
  serve(options: ServeOptions): RollCall;
}

export interface ServeOptions {
  /** A bound UDP socket. */
  fd: number;
  inventory: Inventory;
  /** Monotonic ms. */
  now: () => number;
  /** Ms since 1970. */
  wallClock: () => number;
  /** `RollCall.heardUpTo` has moved on: ten times a second. */
  onHeard: () => void;
  /** A write that failed: the receipt stays unacknowledged and the node will repeat it. */
  onFailure: (error: unknown) => void;
}

/** Before there is anything to serve: the thread starts meanwhile. `ended`, with one sentence, never returns. */
export function startRollCallThread(ended: (why: string) => void): RollCallThread {
  const worker = new Worker(new URL('roll-call-thread.ts', import.meta.url), { name: 'roll-call' });
  let isClosing = false;
  let cause: Error | undefined;
  worker.on('error', (error: Error) => (cause = error));
  worker.on('exit', () => {
    if (!isClosing) ended(`the roll call's thread ended${cause === undefined ? '' : `: ${cause.message}`}`);
  });
  const stack = new AsyncDisposableStack();
  stack.defer(async () => {
    isClosing = true;
    await worker.terminate();
  });
  return {
    serve: (options) => {
      const watch = new QuietWatch({ now: options.now(), longestGapMs: 2 * watchIntervalMs });
      let limitMs = startLimitMs;
      worker.once('message', () => (limitMs = silenceLimitMs));
      const timer = setInterval(() => {
        const quietMs = watch.look(options.now());
        if (quietMs > limitMs && !isClosing)
          ended(`the roll call's thread has said nothing for ${Math.round(quietMs)} ms`);
      }, watchIntervalMs);
      stack.adopt(timer, clearInterval);
      return serve({ worker, watch }, options);
    },
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

function serve(
  { worker, watch }: { worker: Worker; watch: QuietWatch },
  { fd, inventory, now, wallClock, onHeard, onFailure }: ServeOptions,
): RollCall {
  const time = () => ({ now: now(), wall: wallClock() });
  const startedAt = now();
  // Each thread has its own start of `performance.now`, and all have one of this.
  const hrtime = () => process.hrtime.bigint();
  const counters = { beacons: 0, heartbeats: 0, permits: 0, refused: 0, sendErrors: 0 };
  let heard: Pick<FromThread, 'heardUpTo' | 'listeningSince'> = { heardUpTo: startedAt, listeningSince: startedAt };
  const overdue = new Map<string, Overdue>();
  let number = 0;
  let done = 0;
  let waiting: { number: number; resolve: () => void }[] = [];
  const send = (message: ToThread) => worker.postMessage(message);
  /** The first of all that is told is all that there is to tell. */
  const tell = (told: readonly Told[]) =>
    send(
      number++ === 0
        ? { type: 'start', fd, epoch: inventory.epoch, clockOrigin: clockOrigin({ now, hrtime }), told, number }
        : { type: 'told', told, number },
    );
  const feed = new RollCallFeed({ inventory, tell, onFailure });
  // A rack without nodes and orders.
  if (number === 0) tell([]);

  worker.on('message', (batch: FromThread) => {
    watch.spoke();
    Object.assign(counters, batch.counters);
    const isLater = batch.heardUpTo > heard.heardUpTo;
    heard = batch;
    overdue.clear();
    for (const each of batch.overdue) {
      overdue.set(`${each.mac} ${each.number}`, each);
      overdue.set(`${each.mac} ${each.scope}`, each);
    }
    for (const report of batch.reports) feed.heard(report);
    done = batch.done;
    for (const each of waiting) if (each.number <= done) each.resolve();
    waiting = waiting.filter((each) => each.number > done);
    feed.look();
    send({ type: 'next' });
    if (isLater) onHeard();
  });

  return {
    counters,
    orderGiven: (order) => feed.given(order, now()),
    sinceGiven: (order) => sinceGiven({ at: order.at, since: feed.givenAt(order.number) }, { startedAt, time: time() }),
    heardUpTo: () => heard.heardUpTo,
    listeningForMs: () => heard.heardUpTo - heard.listeningSince,
    // What the thread does not name is no matter of the escalation yet.
    askedForMs: (mac, order) => heard.heardUpTo - (overdue.get(`${mac} ${order}`)?.askedSince ?? heard.heardUpTo),
    mayHold: (mac, scope) => overdue.get(`${mac} ${scope}`)?.mayHold ?? false,
    enforce: (macs) => {
      feed.look();
      send({ type: 'enforce', macs: [...macs], number: ++number });
    },
    taken: () => {
      if (done >= number) return Promise.resolve();
      const { promise, resolve } = Promise.withResolvers<void>();
      waiting.push({ number, resolve });
      return promise;
    },
  };
}
