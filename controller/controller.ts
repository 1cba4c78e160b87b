// The composition root. Order matters at a start: permits are running out, so the store and the roll call come first, and only
// then is loaded, and started, what everything else needs (services.ts).
import { mkdirSync } from 'node:fs';
import { errorChain } from '../protocol/error-chain.ts';
import { openInventory } from '../inventory/inventory.ts';
import { StorageError } from '../inventory/store/store.ts';
import type { Status } from '../protocol/api/status.ts';
import type { Configuration } from './configuration.ts';
import { logLineOf } from './log/event-log.ts';
import { startRollCallThread } from './kill/roll-call/roll-call-link.ts';
import type { ControllerLog } from './log/log.ts';

const sweepIntervalMs = 250;
/** EX_SOFTWARE, when the roll call's thread has ended. */
const threadEndedCode = 70;

export interface ControllerOptions {
  configuration: Configuration;
  /** Sockets that were bound to the interface by the launcher: Node cannot set SO_BINDTODEVICE. */
  sockets: { dhcpFd: number; tftpFd: number; rollCallFd: number };
  /** A listening TCP socket for operators, made by a launcher in another network namespace; else `configuration.operator`. */
  operatorFd: number | undefined;
  random: (bytes: number) => Buffer;
  /** Monotonic, ms since the process started. */
  monotonic: () => number;
  wallClock: () => number;
  log: Pick<ControllerLog, 'log' | 'lost' | 'keepRoom' | 'lastWords'>;
}

export interface Controller extends AsyncDisposable {
  operatorUrl: string;
  status(): Status;
}

export async function startController(options: ControllerOptions): Promise<Controller> {
  const { configuration, sockets, random, monotonic, wallClock } = options;
  const { log } = options.log;
  await using stack = new AsyncDisposableStack();
  mkdirSync(configuration.stateDirectory, { recursive: true, mode: 0o700 });
  const startedAt = wallClock();

  // Without it no node would get a permit: its end is the process's, and the supervisor starts another.
  const rollCallThread = startRollCallThread((why) => {
    options.log.lastWords({ level: 'error', subject: 'roll call', message: `${why}: the controller ends` });
    process.stderr.write(`muster: ${why}: the controller ends\n`);
    process.exit(threadEndedCode);
  });
  stack.defer(() => rollCallThread[Symbol.asyncDispose]());
  const inventory = stack.use(
    await openInventory({
      directory: configuration.stateDirectory,
      now: wallClock,
      random,
      log: (message) => log({ level: 'warn', subject: 'controller', message }),
      eventLog: (event) => log(logLineOf(event)),
    }),
  );
  options.log.keepRoom(() => inventory.diskFull() !== undefined);
  /** A write that could not be kept is said once, loudly; the state in memory is what it was before. */
  const onFailure = (error: unknown) => {
    // Said once for all of them, and on the screens until there is room.
    if (error instanceof StorageError && error.kind === 'full' && inventory.diskFull() !== undefined) return;
    log({ level: 'error', subject: 'controller', message: `cannot keep a change: ${errorChain(error)}` });
  };

  // Once more: it ends before the inventory does.
  stack.use(rollCallThread);
  let sweptAt = -Infinity;
  let pursue = () => {};
  const rollCall = rollCallThread.serve({
    fd: sockets.rollCallFd,
    inventory,
    now: monotonic,
    wallClock,
    onFailure,
    onHeard: () => {
      pursue();
      // By the time up to which all is known that was heard: a pause of this thread is no node's silence.
      const heardUpTo = rollCall.heardUpTo();
      if (heardUpTo - sweptAt < sweepIntervalMs) return;
      sweptAt = heardUpTo;
      void inventory.nodes.sweep(heardUpTo).catch(onFailure);
    },
  });
  // Its code is loaded in a turn as long as that takes: the first permits are not behind it.
  await rollCall.taken();

  const { startServices } = await import('./services.ts');
  const services = stack.use(
    await startServices({
      ...options,
      startedAt,
      inventory,
      rollCall,
      onFailure,
      onEscalation: (escalate) => (pursue = escalate),
    }),
  );
  const running = stack.move();
  return {
    operatorUrl: services.operatorUrl,
    status: () => services.status(),
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}
