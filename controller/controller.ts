// The composition root: opens the store, the sockets and the servers, and runs the loops between them.
// Order matters at start: the store first, then the roll call (permits are running out), then everything else.
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { errorChain } from '../protocol/error-chain.ts';
import { dashboard } from '../dashboard/plugin.ts';
import { startBootProcess } from '../boot/process/boot-process.ts';
import { openInventory } from '../inventory/inventory.ts';
import { statusCounts } from './api/views.ts';
import { StorageError } from '../inventory/store/store.ts';
import type { Status } from '../protocol/api/status.ts';
import { rollCallPort } from '../protocol/timing.ts';
import { startScheduler } from '../scheduler/loop.ts';
import { registerAgentApi } from './api/agent-api.ts';
import type { Configuration } from './configuration.ts';
import { bootHost } from './boot-host.ts';
import { loadCredentials } from './credentials.ts';
import { connectionBudget, openFilesLimit } from './descriptors.ts';
import { startEscalation } from './kill/escalation.ts';
import { registerBackupApi } from './api/backup-api.ts';
import { createServer, type Server } from './api/serving/http.ts';
import { openImageStore } from './images/image-store.ts';
import {
  bootMetrics,
  connectionMetrics,
  controllerMetrics,
  drillMetrics,
  Histories,
  inventoryMetrics,
  processMetrics,
} from './api/metrics/controller-metrics.ts';
import { registerDrillApi } from './api/drill-api.ts';
import { renderMetrics } from './api/metrics/metrics.ts';
import { startDrills } from './drill/drill.ts';
import { watchEventLoop, type EventLoopWatch } from './event-loop.ts';
import { logLineOf } from './event-log.ts';
import type { ControllerLog } from './log.ts';
import { createNodeShell } from './kill/node-shell.ts';
import { registerOperatorApi } from './api/operator-api.ts';
import { startPower } from './power/power.ts';
import { startRollCallThread } from './kill/roll-call/roll-call-link.ts';
import { startStream } from './api/stream/stream.ts';
import { version } from './version.ts';

export const bootHttpPort = 8480;
export const agentApiPort = 8443;
const sweepIntervalMs = 250;
const drillIntervalMs = 100;
/** Of requests that no second operator approved: an expired one is refused at once, and leaves the screens this late. */
const expiryIntervalMs = 1_000;

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
  const budget = connectionBudget(openFilesLimit());

  // Without it no node would get a permit: its end is the process's, and the supervisor starts another.
  const rollCallThread = startRollCallThread((why) => {
    options.log.lastWords({ level: 'error', subject: 'roll call', message: `${why}: the controller ends` });
    process.stderr.write(`muster: ${why}: the controller ends\n`);
    process.exit(threadEndedCode);
  });
  stack.defer(() => rollCallThread[Symbol.asyncDispose]());
  // Its process reads and checks the boot files while everything else starts.
  const boot = stack.use(startBootProcess({ cacheDirectory: configuration.cacheDirectory, sockets }));
  const credentials = await loadCredentials(configuration.stateDirectory, random);
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
  const rollCall = rollCallThread.serve({
    fd: sockets.rollCallFd,
    inventory,
    now: monotonic,
    wallClock,
    onFailure,
    onHeard: () => {
      // By the time up to which all is known that was heard: a pause of this thread is no node's silence.
      const heardUpTo = rollCall.heardUpTo();
      escalation.pursue();
      if (heardUpTo - sweptAt < sweepIntervalMs) return;
      sweptAt = heardUpTo;
      void inventory.nodes.sweep(heardUpTo).catch(onFailure);
    },
  });
  const shell = createNodeShell(credentials.sshPrivateKey);
  const power =
    configuration.power === undefined
      ? undefined
      : startPower(configuration.power, { boards: () => inventory.nodes.all() });
  const escalation = stack.use(startEscalation({ inventory, rollCall, shell, power, now: monotonic, onFailure }));
  stack.adopt(
    setInterval(() => void inventory.approvals.expire().catch(onFailure), expiryIntervalMs),
    clearInterval,
  );
  stack.use(startScheduler({ inventory, onFailure }));

  const squashfsDirectory = join(configuration.stateDirectory, 'images');
  const images = await openImageStore({ directory: squashfsDirectory, inventory, random, wallClock });
  const onFault = (message: string) => log({ level: 'error', subject: 'api', message });
  const agents = createServer({
    onFault,
    https: { key: credentials.key, cert: credentials.certificate },
    // An agent keeps four connections at most.
    connections: { total: budget.agents, perAddress: 16, handshakes: 32 },
  });
  registerAgentApi(agents, { inventory, squashfsDirectory, now: wallClock });
  stack.defer(() => agents.close());
  await listen(agents, { host: configuration.address, port: agentApiPort });

  const samplePath = join(configuration.cacheDirectory, 'samples/current/worker.tar');
  const drills = stack.use(startDrills({ inventory, rollCall, images, samplePath, random, now: monotonic, wallClock }));
  stack.adopt(
    setInterval(() => void drills.step().catch(onFailure), drillIntervalMs),
    clearInterval,
  );

  const histories = new Histories(inventory, startedAt);
  let startupMs = 0;
  let eventLoop: EventLoopWatch | undefined;
  const status = (): Status => {
    const counts = statusCounts(inventory);
    const [otherServers, problem] = [boot.neighbours(), boot.problem()];
    return {
      version,
      startedAt,
      startupMs,
      rack: configuration.rack,
      twoPersonRule: configuration.twoPersonRule,
      ...counts,
      problems: problem === undefined ? counts.problems : [...counts.problems, problem],
      ...(otherServers.length === 0 ? {} : { otherServers }),
    };
  };
  const stream = startStream({ inventory, status });
  // An upload takes as long as it takes.
  const operators = createServer({
    onFault,
    requestTimeout: 0,
    connections: { total: budget.operators, perAddress: budget.operators },
  });
  stack.defer(() => operators.close());
  // Before the server: it waits for its open answers, and a dashboard's never ends.
  stack.defer(() => stream.close());
  registerOperatorApi(operators, {
    inventory,
    rollCall,
    images,
    shell,
    power,
    stream,
    status,
    wallClock,
    metrics: () =>
      renderMetrics([
        ...controllerMetrics({ status: status(), rollCall: { ...rollCall.counters }, listeners: stream.listeners }),
        ...connectionMetrics({ operators: operators.connections, agents: agents.connections }),
        ...inventoryMetrics(inventory),
        ...drillMetrics(inventory),
        ...histories.metrics(),
        ...bootMetrics({ ...boot.counters }),
        ...processMetrics({ startedAt, longestTurnMs: eventLoop?.longestMs() ?? 0, lostLines: options.log.lost() }),
      ]),
    token: credentials.operatorToken,
    twoPersonWaitMs: configuration.twoPersonRule ? configuration.approvalSeconds * 1_000 : undefined,
  });
  registerDrillApi(operators, { inventory, drills });
  registerBackupApi(operators, { inventory, stateDirectory: configuration.stateDirectory });
  await operators.register(dashboard);
  const { host, port } = configuration.operator;
  if (options.operatorFd === undefined) await listen(operators, { host, port });
  else await listenOn(operators, options.operatorFd);
  if (configuration.twoPersonRule && inventory.operators.all().length < 2)
    log({
      level: 'warn',
      subject: 'controller',
      message:
        'the two-person rule is on and there is one operator only: nothing can be lifted, and everything cannot be ' +
        'stopped at once, until there is another (muster operator add NAME)',
    });

  // Before the inventory, which stores for it; on the way of a start that fails it ends as it was made.
  stack.defer(() => boot[Symbol.asyncDispose]());
  await boot.serve(
    {
      address: configuration.address,
      netmask: configuration.netmask,
      range: configuration.range,
      ...(configuration.gateway === undefined ? {} : { gateway: configuration.gateway }),
      leaseSeconds: configuration.leaseSeconds,
      reservations: [...configuration.reservations],
      httpPort: bootHttpPort,
      httpConnections: budget.boot,
      uboot: configuration.uboot,
      cmdline: {
        api: `${configuration.address}:${agentApiPort}`,
        udp: `${configuration.address}:${rollCallPort}`,
        fingerprint: credentials.fingerprint,
        ssh: credentials.sshPublicKey,
        console: configuration.console,
      },
    },
    bootHost({ inventory, log, onFailure }),
  );
  startupMs = Math.round(monotonic());
  // Not before: a start loads its code in turns as long as they take.
  eventLoop = stack.use(
    watchEventLoop((ms) =>
      log({ level: 'warn', subject: 'event loop', message: `stood still for ${ms} ms: orders and boots waited` }),
    ),
  );
  // A PDU that is away now may be there when it is needed: known, but no reason not to start.
  void power?.check().then((problems) => {
    for (const problem of problems) inventory.events.add({ kind: 'controller', subject: 'power', message: problem });
  });
  const running = stack.move();
  return {
    operatorUrl: `http://${host}:${port}`,
    status,
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}

async function listen(app: Server, { host, port }: { host: string; port: number }): Promise<void> {
  await app.listen({ host, port }).catch((cause: unknown) => {
    const inUse = cause instanceof Error && 'code' in cause && cause.code === 'EADDRINUSE';
    throw inUse
      ? new Error(`cannot listen on ${host}:${port}: another program has this port (ss -ltnp tells which)`)
      : new Error(`cannot listen on ${host}:${port}`, { cause });
  });
}

async function listenOn(app: Server, fd: number): Promise<void> {
  await app.ready();
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  app.server.once('error', reject);
  app.server.listen({ fd }, resolve);
  await promise;
}
