// Running what a customer wants, and changing it: only what is named changes.
import type { Customer } from '../../protocol/api/customers.ts';
import type { Instance } from '../../protocol/api/instances.ts';
import type { Workload, WorkloadSpec, WorkloadPatch } from '../../protocol/api/workloads.ts';
import { containerCapabilities } from '../../protocol/container/capabilities.ts';
import { printable } from '../../protocol/printable.ts';
import { stopSignalNumber } from '../../protocol/container/stop-signal.ts';
import { ApiError } from '../api/api.ts';
import { checkedName, checkedWorkload, workloadPath } from '../arguments/argument.ts';
import { FailedError, UsageError, type Call, type Command, type Context } from '../command.ts';
import { durationText, sizeText } from '../print/figures.ts';
import { coresOption, countOption, durationOption, sizeOption } from '../arguments/limits.ts';
import { liveLine, printDone, printJson } from '../print/print.ts';

export const deployCommands: Command[] = [
  {
    words: ['deploy'],
    usage: 'CUSTOMER/NAME --image IMAGE',
    summary: 'run a workload, or change one, and wait until it runs',
    details: `A command of its own goes to the end: muster deploy acme/job --image worker -- /bin/sleep 60
Deploying what is there already changes it: what no option names stays as it is, the image too. Its instances are
replaced one after the other; another number of replicas replaces none.`,
    takes: [1, 1],
    takesRest: true,
    options: {
      image: { type: 'string', value: 'IMAGE', help: 'what to run (see muster images)' },
      replicas: { type: 'string', value: 'N', help: 'how many (a new one: 1)' },
      port: {
        type: 'string',
        value: 'PORT',
        help: 'the port that it serves; each instance gets one of its node for it',
      },
      'no-port': { type: 'boolean', help: 'it serves no port any more' },
      memory: { type: 'string', value: 'SIZE', help: 'most memory of one instance (a new one: 64M)' },
      cpu: { type: 'string', value: 'CORES', help: 'most processor time of one instance (a new one: 1)' },
      processes: { type: 'string', value: 'N', help: 'most processes of one instance (a new one: 128)' },
      user: {
        type: 'string',
        value: 'USER[:GROUP]',
        help: "whom it runs as, by number or by name of the image's /etc/passwd (a new one: the image's user)",
      },
      'no-user': { type: 'boolean', help: "the image's user again" },
      capabilities: {
        type: 'string',
        value: 'LIST',
        help: 'what its root may do: names with commas between, or none (a new one: all that there are)',
      },
      'no-capabilities': { type: 'boolean', help: 'all capabilities again' },
      'stop-signal': {
        type: 'string',
        value: 'SIGNAL',
        help: "what asks it to end (a new one: the image's, or SIGTERM)",
      },
      'no-stop-signal': { type: 'boolean', help: "the image's signal again" },
      'stop-grace': {
        type: 'string',
        value: 'DURATION',
        help: 'how long it then has; a kill never waits (a new one: 10s)',
      },
      env: {
        type: 'string',
        multiple: true,
        value: 'NAME=VALUE',
        help: 'an environment variable; as often as you like',
      },
      'no-env': { type: 'string', multiple: true, value: 'NAME', help: 'a variable that it has no more' },
      command: { type: 'string', value: 'LINE', help: "a line for the image's /bin/sh, instead of its own command" },
      'no-command': { type: 'boolean', help: "the image's own command again" },
      wait: { type: 'boolean', help: 'wait until all of it runs (the default); --no-wait does not' },
      timeout: { type: 'string', value: 'DURATION', help: 'how long to wait (default 5m)' },
    },
    run: deploy,
  },
];

async function deploy(context: Context, call: Call): Promise<number> {
  const name = checkedWorkload(call.positionals[0]);
  const patch = workloadPatch(call);
  const waitMs = durationOption(call, 'timeout') ?? 300_000;
  const path = workloadPath(name);
  const id = `${name.customer}/${name.name}`;
  const before = await context.api.ask<Workload>({ path }).catch((error: unknown) => {
    if (error instanceof ApiError && error.status === 404) return undefined;
    throw error;
  });
  const stored =
    before === undefined
      ? await context.api.ask<Workload>({ method: 'PUT', path, body: newSpec(id, patch) })
      : Object.keys(patch).length === 0
        ? before
        : await context.api.ask<Workload>({ method: 'PATCH', path, body: patch });
  if (before !== undefined && !context.json) {
    const changes = changesText({ before, after: stored, env: patch.env });
    context.output.out(
      changes === '' ? `${id} is wanted like that already\n` : `${id}: ${printable(changes)}; the rest stays\n`,
    );
  }
  if (call.flag('wait', true)) return waitUntilRunning(context, { stored, waitMs });
  const text = `${id} is stored: ${stored.replicas} of ${stored.image} wanted (muster ps ${stored.customer})`;
  printDone(context, { json: stored, text });
  return 0;
}

interface Wait {
  stored: Workload;
  waitMs: number;
}

const pollMs = 300;

async function waitUntilRunning(context: Context, { stored, waitMs }: Wait): Promise<number> {
  const { customer, name, replicas } = stored;
  const id = `${customer}/${name}`;
  const line = liveLine(context);
  const startedMs = context.monotonic();
  for (;;) {
    const workload = await context.api.ask<Workload>({ path: workloadPath(stored) });
    const { instances } = await context.api.ask<{ instances: Instance[] }>({
      path: '/v1/instances',
      query: { customer },
    });
    const own = instances.filter((instance) => instance.workload === name);
    const now = context.monotonic();
    line.show(progressText({ id, workload, instances: own }));
    const allRun = own.length === replicas && own.every(({ state }) => state === 'running');
    if (workload.problem === '' && workload.updated === replicas && allRun) {
      line.end();
      if (context.json) printJson(context, { ...workload, instances: own });
      else {
        context.output.out(`${id} runs: ${replicas} of ${workload.image} after ${durationText(now - startedMs)}\n`);
        for (const { nodeName, endpoint } of own)
          context.output.out(`  ${nodeName}${endpoint === null ? '' : `  ${endpoint}`}\n`);
      }
      return 0;
    }
    const { customers } = await context.api.ask<{ customers: Customer[] }>({ path: '/v1/customers' });
    const killedBy = customers.find((each) => each.name === customer)?.killedBy ?? null;
    if (killedBy !== null) {
      line.end();
      throw new FailedError(
        `${id} is stored, but kill order ${killedBy} stands: it runs when that is lifted (muster kill show ${killedBy})`,
        { code: 'stopped-by-order' },
      );
    }
    if (now - startedMs >= waitMs) {
      line.end();
      throw new FailedError(
        `${id} does not run as wanted after ${durationText(waitMs)}: ${progressText({ id, workload, instances: own })}`,
        { code: 'not-running' },
      );
    }
    await context.sleep(pollMs);
  }
}

/** `acme/web: 1/2 running, fetching on node-2`, and what is in the way. */
function progressText(options: { id: string; workload: Workload; instances: readonly Instance[] }): string {
  const { id, workload, instances } = options;
  const running = instances.filter(({ state }) => state === 'running').length;
  const others = instances
    .filter(({ state }) => state !== 'running')
    .map(
      ({ state, nodeName, reason }) =>
        `${state} on ${nodeName}${state === 'failed' && reason !== '' ? ` (${reason})` : ''}`,
    );
  const more = others.length > 3 ? [...others.slice(0, 3), `${others.length - 3} more`] : others;
  const problem = workload.problem === '' ? [] : [workload.problem];
  return printable([`${id}: ${running}/${workload.replicas} running`, ...more, ...problem].join(', '));
}

/** What the options name; what they do not name stays as it is. Throws a UsageError. */
function workloadPatch(call: Call): WorkloadPatch {
  const patch: WorkloadPatch = {};
  const image = call.text('image');
  const replicas = countOption(call, { name: 'replicas', from: 0, to: 10_000 });
  const command = commandOf(call);
  const env = envOf(call);
  const port = call.removes('port') ? null : countOption(call, { name: 'port', from: 1, to: 65_535 });
  const memoryBytes = sizeOption(call, { name: 'memory', from: 4 * 2 ** 20, to: 2 ** 40 });
  const cpu = coresOption(call, { name: 'cpu', from: 0.05, to: 256 });
  const processes = countOption(call, { name: 'processes', from: 1, to: 32_768 });
  const user = call.removes('user') ? null : call.text('user');
  const capabilities = capabilitiesOf(call);
  const stopSignal = call.removes('stop-signal') ? null : stopSignalOf(call);
  const stopGraceMs = durationOption(call, 'stop-grace');
  if (image !== undefined) patch.image = checkedName('image', image);
  if (replicas !== undefined) patch.replicas = replicas;
  if (command !== undefined) patch.command = command;
  if (env !== undefined) patch.env = env;
  if (port !== undefined) patch.port = port;
  if (memoryBytes !== undefined) patch.memoryBytes = memoryBytes;
  if (cpu !== undefined) patch.cpu = cpu;
  if (processes !== undefined) patch.processes = processes;
  if (user !== undefined) patch.user = user;
  if (capabilities !== undefined) patch.capabilities = capabilities;
  if (stopSignal !== undefined) patch.stopSignal = stopSignal;
  if (stopGraceMs !== undefined) patch.stopGraceMs = stopGraceMs;
  return patch;
}

function capabilitiesOf(call: Call): WorkloadPatch['capabilities'] {
  if (call.removes('capabilities')) return null;
  const list = call.text('capabilities');
  if (list === undefined || list === 'none') return list === undefined ? undefined : [];
  return list.split(',').map((given) => {
    const wanted = given.trim().toUpperCase().replace(/^CAP_/, '');
    const name = containerCapabilities.find((each) => each === wanted);
    if (name === undefined)
      throw new UsageError(
        `--capabilities has ${JSON.stringify(given)}, want none or some of ${containerCapabilities.join(',')}`,
      );
    return name;
  });
}

function stopSignalOf(call: Call): string | undefined {
  const given = call.text('stop-signal')?.toUpperCase();
  if (given !== undefined && (given === '' || stopSignalNumber(given) === undefined))
    throw new UsageError(`--stop-signal is ${JSON.stringify(given)}, want one like SIGTERM, SIGINT or SIGRTMIN+3`);
  return given;
}

function commandOf(call: Call): string[] | null | undefined {
  const line = call.text('command');
  const given = [line !== undefined, call.rest.length > 0, call.removes('command')].filter(Boolean).length;
  if (given > 1) throw new UsageError('want one of --command, --no-command and a command after --');
  if (call.removes('command')) return null;
  if (call.rest.length > 0) return call.rest;
  return line === undefined ? undefined : ['/bin/sh', '-c', line];
}

function envOf(call: Call): Record<string, string | null> | undefined {
  const env: Record<string, string | null> = {};
  for (const pair of call.list('env')) {
    const [, key, value] = /^([A-Za-z_][A-Za-z0-9_]*)=(.*)$/s.exec(pair) ?? [];
    if (key === undefined || value === undefined)
      throw new UsageError(`--env is ${JSON.stringify(pair)}, want NAME=VALUE, like PORT=8080`);
    env[key] = value;
  }
  for (const key of call.list('no-env')) {
    if (typeof env[key] === 'string') throw new UsageError(`want one of --env ${key}=… and --no-env ${key}`);
    if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(key))
      throw new UsageError(`--no-env is ${JSON.stringify(key)}, want the NAME of a variable`);
    env[key] = null;
  }
  return Object.keys(env).length === 0 ? undefined : env;
}

/** The same for a workload that is not there yet. Throws a UsageError. */
function newSpec(id: string, patch: WorkloadPatch): WorkloadSpec {
  const { image, replicas = 1, command, env, port, memoryBytes, cpu, processes } = patch;
  const { user, capabilities, stopSignal, stopGraceMs } = patch;
  if (image === undefined)
    throw new UsageError(`${id} is not there yet: want --image NAME for a new one (muster images lists them)`);
  const spec: WorkloadSpec = { image, replicas };
  const variables = Object.entries(env ?? {}).filter((entry): entry is [string, string] => entry[1] !== null);
  if (command != null) spec.command = command;
  if (variables.length > 0) spec.env = Object.fromEntries(variables);
  if (port != null) spec.port = port;
  if (memoryBytes != null) spec.memoryBytes = memoryBytes;
  if (cpu != null) spec.cpu = cpu;
  if (processes != null) spec.processes = processes;
  if (user != null) spec.user = user;
  if (capabilities != null) spec.capabilities = capabilities;
  if (stopSignal != null) spec.stopSignal = stopSignal;
  if (stopGraceMs != null) spec.stopGraceMs = stopGraceMs;
  return spec;
}

/** `replicas 1 → 3, port 8080 removed`; empty where nothing is another than before. */
function changesText({ before, after, env }: { before: Workload; after: Workload; env: WorkloadPatch['env'] }): string {
  const facts = ({
    image,
    replicas,
    command,
    port,
    memoryBytes,
    cpu,
    processes,
    user,
    capabilities,
    stopSignal,
    stopGraceMs,
  }: Workload): [string, string | null][] => [
    ['image', image],
    ['replicas', String(replicas)],
    ['command', command === null ? null : command.join(' ')],
    ['port', port === null ? null : String(port)],
    ['memory', sizeText(memoryBytes)],
    ['cpu', String(cpu)],
    ['processes', String(processes)],
    ['user', user],
    ['capabilities', capabilities.join(',') || 'none'],
    ['stop signal', stopSignal],
    ['stop grace', durationText(stopGraceMs)],
  ];
  const now = new Map(facts(after));
  const changes = facts(before).flatMap(([what, was]) => {
    const is = now.get(what) ?? null;
    if (is === was) return [];
    return [is === null ? `${what} ${was} removed` : `${what} ${was === null ? '' : `${was} → `}${is}`];
  });
  // Values are not told: a variable that is set again may have had the same.
  const variables = Object.entries(env ?? {}).map(([name, value]) => {
    if (value !== null) return `variable ${name} set`;
    return before.env.includes(name) ? `variable ${name} removed` : `there is no variable ${name}`;
  });
  // The name says no more than before where another image was imported under it.
  const isNewImage = changes.length === 0 && variables.length === 0 && after.updated < before.updated;
  return [...changes, ...variables, ...(isNewImage ? [`image ${after.image} as it was imported last`] : [])].join(', ');
}
