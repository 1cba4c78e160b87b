// What a controller does besides the roll call: escalation, scheduler, the two APIs, drills, and the boot process. A controller that
// starts again after a crash loads this file when permits are given again.
import { join } from 'node:path';
import { startBootProcess, type BootProcess } from '../boot/process/boot-process.ts';
import { dashboard } from '../dashboard/plugin.ts';
import type { Inventory } from '../inventory/inventory.ts';
import type { Status } from '../protocol/api/status.ts';
import { rollCallPort } from '../protocol/timing.ts';
import { startScheduler } from '../scheduler/loop.ts';
import { registerAgentApi } from './api/agent-api.ts';
import { registerBackupApi } from './api/backup-api.ts';
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
import { createServer, type Server } from './api/serving/http.ts';
import { renderMetrics } from './api/metrics/metrics.ts';
import { registerOperatorApi, type OperatorApiOptions } from './api/operator-api.ts';
import { startStream } from './api/stream/stream.ts';
import { statusCounts } from './api/views.ts';
import { bootHost } from './boot-host.ts';
import type { Configuration } from './configuration.ts';
import type { ControllerOptions } from './controller.ts';
import { loadCredentials, type Credentials } from './credentials.ts';
import { connectionBudget, openFilesLimit } from './descriptors.ts';
import { startDrills, type DrillRunner } from './drill/drill.ts';
import { watchEventLoop } from './event-loop.ts';
import { openImageStore } from './images/image-store.ts';
import { registerRegistryApi } from './images/registry/registry-api.ts';
import { startRegistry, type Registry } from './images/registry/registry.ts';
import { startEscalation } from './kill/escalation.ts';
import { createNodeShell } from './kill/node-shell.ts';
import type { RollCall } from './kill/roll-call/roll-call.ts';
import { startPower } from './power/power.ts';
import { version } from './version.ts';

const bootHttpPort = 8480;
const agentApiPort = 8443;
const drillIntervalMs = 100;
/** Of requests that no second operator approved: an expired one is refused at once, and leaves the screens this late. */
const expiryIntervalMs = 1_000;

export interface ServicesOptions extends ControllerOptions {
  /** Ms since 1970. */
  startedAt: number;
  inventory: Inventory;
  rollCall: RollCall;
  onFailure: (error: unknown) => void;
  /** Takes what is to be done whenever the roll call has been heard. */
  onEscalation: (escalate: () => void) => void;
}

export interface Services extends AsyncDisposable {
  operatorUrl: string;
  status(): Status;
}

/** Resolves when boards, agents and operators are served. */
export async function startServices(options: ServicesOptions): Promise<Services> {
  const { configuration, inventory, rollCall, onFailure, random, monotonic, wallClock, startedAt } = options;
  const { log } = options.log;
  await using stack = new AsyncDisposableStack();
  // Its process reads and checks the boot files while everything else starts.
  const boot = stack.use(startBootProcess({ cacheDirectory: configuration.cacheDirectory, sockets: options.sockets }));
  const credentials = await loadCredentials(configuration.stateDirectory, { random, address: configuration.address });
  const budget = connectionBudget(openFilesLimit());
  const shell = createNodeShell(credentials.sshPrivateKey);
  const power =
    configuration.power === undefined
      ? undefined
      : startPower(configuration.power, { boards: () => inventory.nodes.all() });
  const escalation = stack.use(startEscalation({ inventory, rollCall, shell, power, now: monotonic, onFailure }));
  options.onEscalation(() => escalation.pursue());
  repeat(stack, { everyMs: expiryIntervalMs, step: () => inventory.approvals.expire().catch(onFailure) });
  stack.use(startScheduler({ inventory, onFailure }));

  const images = await openImageStore({ directory: squashfsOf(configuration), inventory, random, wallClock });
  const registry = startRegistry({
    directory: join(configuration.stateDirectory, 'registry'),
    inventory,
    images,
    random,
    now: wallClock,
  });
  const agents = await serveAgents(stack, { ...options, credentials, connections: budget.agents, registry });

  const samplePath = join(configuration.cacheDirectory, 'samples/current/worker.tar');
  const drills = stack.use(startDrills({ inventory, rollCall, images, samplePath, random, now: monotonic, wallClock }));
  repeat(stack, { everyMs: drillIntervalMs, step: () => drills.step().catch(onFailure) });

  let startupMs = 0;
  // Not before the end: a start loads its code in turns as long as they take.
  let longestTurnMs = () => 0;
  const status = () => statusOf({ configuration, inventory, boot, startedAt, startupMs });
  await serveOperators(stack, {
    options,
    agents,
    boot,
    credentials,
    drills,
    images,
    power,
    registry,
    shell,
    status,
    connections: budget.operators,
    longestTurnMs: () => longestTurnMs(),
  });
  if (configuration.twoPersonRule && inventory.operators.all().length < 2) log(lonelyOperator);

  // Before the inventory, which stores for it; on the way of a start that fails it ends as it was made.
  stack.defer(() => boot[Symbol.asyncDispose]());
  await boot.serve(
    bootSettings({ configuration, credentials, connections: budget.boot }),
    bootHost({ inventory, log, onFailure }),
  );
  startupMs = Math.round(monotonic());
  const eventLoop = stack.use(
    watchEventLoop((ms) =>
      log({ level: 'warn', subject: 'event loop', message: `stood still for ${ms} ms: orders and boots waited` }),
    ),
  );
  longestTurnMs = () => eventLoop.longestMs();
  // A PDU that is away now may be there when it is needed: known, but no reason not to start.
  void power?.check().then((problems) => {
    for (const problem of problems) inventory.events.add({ kind: 'controller', subject: 'power', message: problem });
  });
  const running = stack.move();
  const { host, port } = configuration.operator;
  return {
    operatorUrl: `http://${host}:${port}`,
    status,
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}

const squashfsOf = ({ stateDirectory }: Configuration): string => join(stateDirectory, 'images');

function onFault({ log }: ServicesOptions): (message: string) => void {
  return (message) => log.log({ level: 'error', subject: 'api', message });
}

interface AgentServices {
  credentials: Credentials;
  connections: number;
  registry: () => Promise<Registry>;
}

async function serveAgents(
  stack: AsyncDisposableStack,
  { credentials, connections, registry, ...options }: AgentServices & ServicesOptions,
): Promise<Server> {
  const { configuration, inventory, wallClock } = options;
  const agents = createServer({
    onFault: onFault(options),
    https: { key: credentials.key, cert: credentials.certificate },
    // An agent keeps four connections at most.
    connections: { total: connections, perAddress: 16, handshakes: 32 },
    // A pushed layer takes as long as it takes.
    bodyMs: 30_000,
  });
  registerRegistryApi(agents, { inventory, registry });
  registerAgentApi(agents, { inventory, squashfsDirectory: squashfsOf(configuration), now: wallClock });
  stack.defer(() => agents.close());
  await listen(agents, { host: configuration.address, port: agentApiPort });
  return agents;
}

interface OperatorServices extends Pick<OperatorApiOptions, 'images' | 'power' | 'registry' | 'shell' | 'status'> {
  agents: Server;
  boot: BootProcess;
  connections: number;
  credentials: Credentials;
  drills: DrillRunner;
  longestTurnMs: () => number;
}

async function serveOperators(
  stack: AsyncDisposableStack,
  { options, ...services }: OperatorServices & { options: ServicesOptions },
): Promise<void> {
  const { configuration, inventory, rollCall, wallClock, startedAt } = options;
  const { agents, boot, connections, credentials, drills, longestTurnMs, ...own } = services;
  const histories = new Histories(inventory, startedAt);
  const stream = startStream({ inventory, status: own.status });
  // An upload takes as long as it takes.
  const operators = createServer({
    onFault: onFault(options),
    requestTimeout: 0,
    connections: { total: connections, perAddress: connections },
  });
  stack.defer(() => operators.close());
  // Before the server: it waits for its open answers, and a dashboard's never ends.
  stack.defer(() => stream.close());
  const metrics = () =>
    renderMetrics([
      ...controllerMetrics({ status: own.status(), rollCall: { ...rollCall.counters }, listeners: stream.listeners }),
      ...connectionMetrics({ operators: operators.connections, agents: agents.connections }),
      ...inventoryMetrics(inventory),
      ...drillMetrics(inventory),
      ...histories.metrics(),
      ...bootMetrics({ ...boot.counters }),
      ...processMetrics({ startedAt, longestTurnMs: longestTurnMs(), lostLines: options.log.lost() }),
    ]);
  const token = credentials.operatorToken;
  const twoPersonWaitMs = configuration.twoPersonRule ? configuration.approvalSeconds * 1_000 : undefined;
  registerOperatorApi(operators, {
    ...own,
    inventory,
    metrics,
    rollCall,
    stream,
    token,
    twoPersonWaitMs,
    wallClock,
  });
  registerDrillApi(operators, { inventory, drills });
  registerBackupApi(operators, { inventory, stateDirectory: configuration.stateDirectory });
  await operators.register(dashboard);
  if (options.operatorFd === undefined) await listen(operators, configuration.operator);
  else await listenOn(operators, options.operatorFd);
}

const lonelyOperator = {
  level: 'warn',
  subject: 'controller',
  message:
    'the two-person rule is on and there is one operator only: nothing can be lifted, and everything cannot be ' +
    'stopped at once, until there is another (muster operator add NAME)',
} as const;

function repeat(
  stack: AsyncDisposableStack,
  { everyMs, step }: { everyMs: number; step: () => Promise<unknown> },
): void {
  stack.adopt(
    setInterval(() => void step(), everyMs),
    clearInterval,
  );
}

function statusOf({
  configuration,
  inventory,
  boot,
  startedAt,
  startupMs,
}: Pick<ServicesOptions, 'configuration' | 'inventory' | 'startedAt'> & {
  boot: BootProcess;
  startupMs: number;
}): Status {
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
}

function bootSettings({
  configuration,
  credentials,
  connections,
}: {
  configuration: Configuration;
  credentials: Credentials;
  connections: number;
}): Parameters<BootProcess['serve']>[0] {
  return {
    address: configuration.address,
    netmask: configuration.netmask,
    range: configuration.range,
    ...(configuration.gateway === undefined ? {} : { gateway: configuration.gateway }),
    leaseSeconds: configuration.leaseSeconds,
    reservations: [...configuration.reservations],
    httpPort: bootHttpPort,
    httpConnections: connections,
    uboot: configuration.uboot,
    cmdline: {
      api: `${configuration.address}:${agentApiPort}`,
      udp: `${configuration.address}:${rollCallPort}`,
      fingerprint: credentials.fingerprint,
      ssh: credentials.sshPublicKey,
      console: configuration.console,
    },
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
