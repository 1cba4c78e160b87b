import type { Customer } from '../../protocol/api/customers.ts';
import type { Instance } from '../../protocol/api/instances.ts';
import type { LogLine, LogPage } from '../../protocol/api/logs.ts';
import type { Workload, WorkloadSpec, WorkloadPatch } from '../../protocol/api/workloads.ts';
import { ApiError } from '../api.ts';
import { checkedName, checkedWorkload, type WorkloadName } from '../argument.ts';
import { FailedError, UsageError, type Call, type Command, type Context } from '../command.ts';
import { durationText, sizeText, timeText } from '../figures.ts';
import { coresOption, countOption, durationOption, sizeOption } from '../limits.ts';
import { askPatiently } from '../patience.ts';
import { liveLine, printDone, printJson, printList, type Tone } from '../print.ts';
import { holdNote } from './silence.ts';
import { printable, printableJson } from '../../protocol/printable.ts';

interface Workloads {
  workloads: Workload[];
}
interface Instances {
  instances: Instance[];
}
interface Customers {
  customers: Customer[];
}

const workloadPath = ({ customer, name }: WorkloadName): string =>
  `/v1/workloads/${encodeURIComponent(customer)}/${encodeURIComponent(name)}`;

/** What the options name; what they do not name stays as it is. Throws a UsageError. */
export function workloadPatch(call: Call): WorkloadPatch {
  const patch: WorkloadPatch = {};
  const image = call.text('image');
  const replicas = countOption(call, 'replicas', { from: 0, to: 10_000 });
  const command = commandOf(call);
  const env = envOf(call);
  const port = call.removes('port') ? null : countOption(call, 'port', { from: 1, to: 65_535 });
  const memoryBytes = sizeOption(call, 'memory', { from: 4 * 2 ** 20, to: 2 ** 40 });
  const cpu = coresOption(call, 'cpu', { from: 0.05, to: 256 });
  const processes = countOption(call, 'processes', { from: 1, to: 32_768 });
  if (image !== undefined) patch.image = checkedName('image', image);
  if (replicas !== undefined) patch.replicas = replicas;
  if (command !== undefined) patch.command = command;
  if (env !== undefined) patch.env = env;
  if (port !== undefined) patch.port = port;
  if (memoryBytes !== undefined) patch.memoryBytes = memoryBytes;
  if (cpu !== undefined) patch.cpu = cpu;
  if (processes !== undefined) patch.processes = processes;
  return patch;
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
    if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(key))
      throw new UsageError(`--no-env is ${JSON.stringify(key)}, want the NAME of a variable`);
    env[key] = null;
  }
  return Object.keys(env).length === 0 ? undefined : env;
}

/** The same for a workload that is not there yet. Throws a UsageError. */
function newSpec(id: string, patch: WorkloadPatch): WorkloadSpec {
  const { image, replicas = 1, command, env, port, memoryBytes, cpu, processes } = patch;
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
  return spec;
}

/** `replicas 1 → 3, port 8080 removed`; empty where nothing is another than before. */
export function changesText(before: Workload, after: Workload, env: WorkloadPatch['env']): string {
  const facts = ({
    image,
    replicas,
    command,
    port,
    memoryBytes,
    cpu,
    processes,
  }: Workload): [string, string | null][] => [
    ['image', image],
    ['replicas', String(replicas)],
    ['command', command === null ? null : command.join(' ')],
    ['port', port === null ? null : String(port)],
    ['memory', sizeText(memoryBytes)],
    ['cpu', String(cpu)],
    ['processes', String(processes)],
  ];
  const now = new Map(facts(after));
  const changes = facts(before).flatMap(([what, was]) => {
    const is = now.get(what) ?? null;
    if (is === was) return [];
    return [is === null ? `${what} ${was} removed` : `${what} ${was === null ? '' : `${was} → `}${is}`];
  });
  // Values are not told: a variable that is set again may have had the same.
  const variables = Object.entries(env ?? {}).map(([name, value]) =>
    value === null ? `variable ${name} removed` : `variable ${name} set`,
  );
  // The name says no more than before where another image was imported under it.
  const isNewImage = changes.length === 0 && variables.length === 0 && after.updated < before.updated;
  return [...changes, ...variables, ...(isNewImage ? [`image ${after.image} as it was imported last`] : [])].join(', ');
}

export const workloadCommands: Command[] = [
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
  {
    words: ['ps'],
    usage: '[CUSTOMER]',
    summary: 'list what runs, and where',
    takes: [0, 1],
    run: async (context, call) => {
      const [given] = call.positionals;
      const customer = given === undefined ? undefined : checkedName('customer', given);
      const { instances } = await context.api.ask<Instances>({ path: '/v1/instances', query: { customer } });
      const all = (await context.api.ask<Workloads>({ path: '/v1/workloads' })).workloads;
      const workloads = all.filter((workload) => customer === undefined || workload.customer === customer);
      if (customer !== undefined && workloads.length === 0) await mustBeCustomer(context, customer);
      if (call.json) return printJson(context, { workloads, instances });
      const none = workloads.length === 0 ? 'nothing is deployed' : 'no instance is placed';
      printList(context, call, {
        name: 'instances',
        rows: instances,
        none: customer === undefined ? none : `${none} for ${customer}`,
        columns: [
          { heading: 'INSTANCE', value: ({ id }) => id, yields: 3 },
          { heading: 'WORKLOAD', value: (instance) => `${instance.customer}/${instance.workload}` },
          { heading: 'NODE', value: ({ nodeName }) => nodeName },
          { heading: 'STATE', value: ({ state }) => state, tone: ({ state }) => stateTones[state] },
          { heading: 'FOR', right: true, value: ({ since }) => durationText(context.now() - since), yields: 2 },
          { heading: 'RESTARTS', right: true, value: ({ restarts }) => String(restarts), yields: 1 },
          { heading: 'ENDPOINT', value: ({ endpoint }) => endpoint ?? '-', yields: 4 },
          { heading: 'REASON', value: ({ reason }) => reason.slice(0, 80), yields: 5, cut: true },
        ],
      });
      for (const { customer: owner, name, problem, running, replicas } of workloads) {
        if (problem !== '') context.output.out(`${owner}/${name} (${running}/${replicas}): ${printable(problem)}\n`);
      }
      const holding = workloads.flatMap(({ customer: owner, onSilence }) => (onSilence === 'hold' ? [owner] : []));
      context.output.out(holdNote([...new Set(holding)]));
      return undefined;
    },
  },
  {
    words: ['logs'],
    usage: 'CUSTOMER/NAME',
    summary: 'show what a workload said',
    takes: [1, 1],
    options: {
      tail: { type: 'string', value: 'N', help: 'the last N lines (default 100)' },
      follow: { type: 'boolean', help: 'go on with what it says from now, until Ctrl-C' },
      instance: { type: 'string', value: 'ID', help: 'of one instance only' },
    },
    run: logs,
  },
  {
    words: ['rm'],
    also: ['remove'],
    usage: 'CUSTOMER/NAME',
    summary: 'stop a workload and forget it',
    takes: [1, 1],
    run: async (context, call) => {
      const workload = checkedWorkload(call.positionals[0]);
      await context.api.ask({ method: 'DELETE', path: workloadPath(workload) });
      const id = `${workload.customer}/${workload.name}`;
      printDone(context, call, { json: { removed: id }, text: `${id} is removed; its instances are being stopped` });
    },
  },
];

async function mustBeCustomer({ api }: Context, name: string): Promise<void> {
  const { customers } = await api.ask<Customers>({ path: '/v1/customers' });
  if (customers.some((customer) => customer.name === name)) return;
  throw new FailedError(`there is no customer ${name} (muster customers lists them)`, { code: 'not-found' });
}

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
  if (before !== undefined && !call.json) {
    const changes = changesText(before, stored, patch.env);
    context.output.out(
      changes === '' ? `${id} is wanted like that already\n` : `${id}: ${printable(changes)}; the rest stays\n`,
    );
  }
  if (call.flag('wait', true)) return waitUntilRunning(context, call, { stored, waitMs });
  const text = `${id} is stored: ${stored.replicas} of ${stored.image} wanted (muster ps ${stored.customer})`;
  printDone(context, call, { json: stored, text });
  return 0;
}

interface Wait {
  stored: Workload;
  waitMs: number;
}

const pollMs = 300;

const stateTones: Partial<Record<Instance['state'], Tone>> = {
  running: 'good',
  failed: 'bad',
  exited: 'warning',
  stopped: 'warning',
};

async function waitUntilRunning(context: Context, call: Call, { stored, waitMs }: Wait): Promise<number> {
  const { customer, name, replicas } = stored;
  const id = `${customer}/${name}`;
  const line = liveLine(context, call);
  const startedMs = context.monotonic();
  for (;;) {
    const workload = await context.api.ask<Workload>({ path: workloadPath(stored) });
    const { instances } = await context.api.ask<Instances>({ path: '/v1/instances', query: { customer } });
    const own = instances.filter((instance) => instance.workload === name);
    const now = context.monotonic();
    line.show(progressText({ id, workload, instances: own }));
    const allRun = own.length === replicas && own.every(({ state }) => state === 'running');
    if (workload.problem === '' && workload.updated === replicas && allRun) {
      line.end();
      if (call.json) printJson(context, { ...workload, instances: own });
      else {
        context.output.out(`${id} runs: ${replicas} of ${workload.image} after ${durationText(now - startedMs)}\n`);
        for (const { nodeName, endpoint } of own)
          context.output.out(`  ${nodeName}${endpoint === null ? '' : `  ${endpoint}`}\n`);
      }
      return 0;
    }
    const { customers } = await context.api.ask<Customers>({ path: '/v1/customers' });
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
export function progressText(options: { id: string; workload: Workload; instances: readonly Instance[] }): string {
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

/** The controller answers with a megabyte at most: older lines are asked for until all that are wanted are there. */
async function lastLines({ api }: Context, path: string, wanted: { tail: number; instance: string | undefined }) {
  const pages: LogLine[][] = [];
  let left = wanted.tail;
  for (let before: string | undefined; left > 0;) {
    const query = { tail: String(left), instance: wanted.instance, before };
    const page = await api.ask<LogPage>({ path, query });
    pages.unshift(page.lines);
    left -= page.lines.length;
    if (page.before === null) break;
    before = String(page.before);
  }
  return pages.flat();
}

async function logs(context: Context, call: Call): Promise<void> {
  const workload = checkedWorkload(call.positionals[0]);
  const given = call.text('instance');
  const instance = given === undefined ? undefined : checkedName('instance', given);
  const path = `${workloadPath(workload)}/logs`;
  const lines = await lastLines(context, path, {
    tail: countOption(call, 'tail', { from: 1, to: 999_999_999 }) ?? 100,
    instance,
  });
  const follow = call.flag('follow');
  const show = (line: LogLine): void => {
    if (call.json) context.output.out(`${printableJson(JSON.stringify(line))}\n`);
    else
      context.output.out(
        `${timeText(line.at)} ${line.instance} ${line.stream === 'stdout' ? '' : `${line.stream}: `}${printable(line.text)}\n`,
      );
  };
  if (call.json && !follow) return printJson(context, { lines });
  lines.forEach(show);
  if (lines.length === 0 && !call.json) context.output.err(`${await silenceText(context, workload, instance)}\n`);
  if (!follow) return undefined;
  const fresh = newLines();
  fresh(lines);
  for (;;) {
    await context.sleep(500);
    const query = { tail: '1000', instance };
    const next = await askPatiently(context, {
      ask: () => context.api.ask<LogPage>({ path, query }),
      tell: (text) => context.output.err(`${text}\n`),
    });
    fresh(next.lines).forEach(show);
  }
}

/** Why there is no line: an instance that is gone, or never was, says nothing. */
async function silenceText(
  { api }: Context,
  { customer, name }: WorkloadName,
  id: string | undefined,
): Promise<string> {
  const { instances } = await api.ask<Instances>({ path: '/v1/instances', query: { customer } });
  const own = instances.filter(({ workload }) => workload === name);
  if (id !== undefined && !own.some((instance) => instance.id === id))
    return `${customer}/${name} has no instance ${id} now, and none of that id has said anything (muster ps ${customer})`;
  return `${id ?? `${customer}/${name}`} has said nothing yet`;
}

/** Gives those lines of each answer that were in none before; lines of one instance come in order. */
export function newLines(): (lines: readonly LogLine[]) => LogLine[] {
  const last = new Map<string, { at: number; seen: number }>();
  return (lines) => {
    const counts = new Map<string, number>();
    return lines.filter(({ instance, at }) => {
      const before = last.get(instance);
      if (before !== undefined && at < before.at) return false;
      const key = `${instance} ${at}`;
      const nth = (counts.get(key) ?? 0) + 1;
      counts.set(key, nth);
      if (before?.at === at && nth <= before.seen) return false;
      last.set(instance, { at, seen: nth });
      return true;
    });
  };
}
