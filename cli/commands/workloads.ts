import { Type } from 'typebox';
import { Customer } from '../../protocol/api/customers.ts';
import { Instance } from '../../protocol/api/instances.ts';
import { type LogLine, LogPage } from '../../protocol/api/logs.ts';
import { Workload, type WorkloadSpec } from '../../protocol/api/workloads.ts';
import { ApiError, Nothing } from '../api.ts';
import { UsageError, type Call, type Command, type Context } from '../command.ts';
import { durationText, timeText } from '../figures.ts';
import { coresOption, countOption, durationOption, sizeOption } from '../limits.ts';
import { liveLine, printDone, printJson, printList } from '../print.ts';
import { holdNote } from './silence.ts';
import { printable, printableJson } from '../../protocol/printable.ts';

const Workloads = Type.Object({ workloads: Type.Array(Workload) });
const Instances = Type.Object({ instances: Type.Array(Instance) });

interface WorkloadName {
  customer: string;
  name: string;
}

export function workloadName(text: string | undefined): WorkloadName {
  const [, customer, name] = /^([^/]+)\/([^/]+)$/.exec(text ?? '') ?? [];
  if (customer === undefined || name === undefined) {
    throw new UsageError(`${JSON.stringify(text ?? '')} is no workload: want CUSTOMER/NAME, like acme/web`);
  }
  return { customer, name };
}

const workloadPath = ({ customer, name }: WorkloadName): string =>
  `/v1/workloads/${encodeURIComponent(customer)}/${encodeURIComponent(name)}`;

/** The request that the options amount to. Throws a UsageError. */
export function workloadSpec(call: Call): WorkloadSpec {
  const image = call.text('image');
  if (image === undefined) throw new UsageError('want --image NAME (muster images lists them)');
  const command = call.text('command');
  if (command !== undefined && call.rest.length > 0)
    throw new UsageError('want --command or a command after --, not both');
  const env: Record<string, string> = {};
  for (const pair of call.list('env')) {
    const [, key, value] = /^([A-Za-z_][A-Za-z0-9_]*)=(.*)$/s.exec(pair) ?? [];
    if (key === undefined || value === undefined)
      throw new UsageError(`--env is ${JSON.stringify(pair)}, want NAME=VALUE`);
    env[key] = value;
  }
  const spec: WorkloadSpec = { image, replicas: countOption(call, 'replicas') ?? 1 };
  const port = countOption(call, 'port');
  const memoryBytes = sizeOption(call, 'memory');
  const cpu = coresOption(call, 'cpu');
  const processes = countOption(call, 'processes');
  if (command !== undefined) spec.command = ['/bin/sh', '-c', command];
  if (call.rest.length > 0) spec.command = call.rest;
  if (Object.keys(env).length > 0) spec.env = env;
  if (port !== undefined) spec.port = port;
  if (memoryBytes !== undefined) spec.memoryBytes = memoryBytes;
  if (cpu !== undefined) spec.cpu = cpu;
  if (processes !== undefined) spec.processes = processes;
  return spec;
}

export const workloadCommands: Command[] = [
  {
    words: ['deploy'],
    usage: 'CUSTOMER/NAME --image IMAGE',
    summary: 'run a workload, or change one, and wait until it runs',
    details:
      'A command of its own goes to the end: muster deploy acme/job --image worker -- /bin/sleep 60\nDeploying what is there already changes it: its instances are replaced one after the other.',
    takes: [1, 1],
    takesRest: true,
    options: {
      image: { type: 'string', value: 'IMAGE', help: 'what to run (see muster images)' },
      replicas: { type: 'string', value: 'N', help: 'how many (default 1)' },
      port: {
        type: 'string',
        value: 'PORT',
        help: 'the port that it serves; each instance gets a port of its board for it',
      },
      memory: { type: 'string', value: 'SIZE', help: 'most memory of one instance, like 64M' },
      cpu: { type: 'string', value: 'CORES', help: 'most processor time of one instance, like 0.5' },
      processes: { type: 'string', value: 'N', help: 'most processes of one instance' },
      env: {
        type: 'string',
        multiple: true,
        value: 'NAME=VALUE',
        help: 'an environment variable; as often as you like',
      },
      command: {
        type: 'string',
        value: 'LINE',
        help: "a line for the image's /bin/sh, instead of the image's command",
      },
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
      const [customer] = call.positionals;
      const { instances } = await context.api.ask({ path: '/v1/instances', query: { customer }, answer: Instances });
      const all = (await context.api.ask({ path: '/v1/workloads', answer: Workloads })).workloads;
      const workloads = all.filter((workload) => customer === undefined || workload.customer === customer);
      if (customer !== undefined && workloads.length === 0) await mustBeCustomer(context, customer);
      if (call.json) return printJson(context, { workloads, instances });
      const none = workloads.length === 0 ? 'nothing is deployed' : 'no instance is placed';
      printList(context, call, {
        name: 'instances',
        rows: instances,
        none: customer === undefined ? none : `${none} for ${customer}`,
        columns: [
          { heading: 'INSTANCE', value: ({ id }) => id },
          { heading: 'WORKLOAD', value: (instance) => `${instance.customer}/${instance.workload}` },
          { heading: 'NODE', value: ({ nodeName }) => nodeName },
          { heading: 'STATE', value: ({ state }) => state },
          { heading: 'FOR', right: true, value: ({ since }) => durationText(context.now() - since) },
          { heading: 'RESTARTS', right: true, value: ({ restarts }) => String(restarts) },
          { heading: 'ENDPOINT', value: ({ endpoint }) => endpoint ?? '-' },
          { heading: 'REASON', value: ({ reason }) => reason.slice(0, 80) },
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
    usage: 'CUSTOMER/NAME',
    summary: 'stop a workload and forget it',
    takes: [1, 1],
    run: async (context, call) => {
      const workload = workloadName(call.positionals[0]);
      await context.api.ask({ method: 'DELETE', path: workloadPath(workload), answer: Nothing });
      const id = `${workload.customer}/${workload.name}`;
      printDone(context, call, { json: { removed: id }, text: `${id} is removed; its instances are being stopped` });
    },
  },
];

async function mustBeCustomer({ api }: Context, name: string): Promise<void> {
  const { customers } = await api.ask({
    path: '/v1/customers',
    answer: Type.Object({ customers: Type.Array(Customer) }),
  });
  if (!customers.some((customer) => customer.name === name)) throw new ApiError(404, `there is no customer ${name}`);
}

async function deploy(context: Context, call: Call): Promise<number> {
  const workload = workloadName(call.positionals[0]);
  const body = workloadSpec(call);
  const waitMs = durationOption(call, 'timeout') ?? 300_000;
  const path = workloadPath(workload);
  const stored = await context.api.ask({ method: 'PUT', path, body, answer: Workload });
  const id = `${stored.customer}/${stored.name}`;
  if (call.flag('wait', true)) return waitUntilRunning(context, call, { stored, waitMs });
  const text = `${id} is stored: ${stored.replicas} of ${stored.image} wanted (muster ps ${stored.customer})`;
  printDone(context, call, { json: stored, text });
  return 0;
}

interface Wait {
  stored: Workload;
  waitMs: number;
}

const POLL_MS = 300;

async function waitUntilRunning(context: Context, call: Call, { stored, waitMs }: Wait): Promise<number> {
  const { customer, name, replicas } = stored;
  const id = `${customer}/${name}`;
  const line = liveLine(context);
  const startedMs = context.monotonic();
  for (;;) {
    const workload = await context.api.ask({ path: workloadPath(stored), answer: Workload });
    const { instances } = await context.api.ask({ path: '/v1/instances', query: { customer }, answer: Instances });
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
    const { customers } = await context.api.ask({
      path: '/v1/customers',
      answer: Type.Object({ customers: Type.Array(Customer) }),
    });
    const killedBy = customers.find((each) => each.name === customer)?.killedBy ?? null;
    if (killedBy !== null) {
      line.end();
      context.output.err(
        `${id} is stored, but kill order ${killedBy} stands: it runs when that is lifted (muster kill show ${killedBy})\n`,
      );
      return 1;
    }
    if (now - startedMs >= waitMs) {
      line.end();
      context.output.err(
        `${id} does not run as wanted after ${durationText(waitMs)}: ${progressText({ id, workload, instances: own })}\n`,
      );
      return 1;
    }
    await context.sleep(POLL_MS);
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
    const page = await api.ask({ path, query, answer: LogPage });
    pages.unshift(page.lines);
    left -= page.lines.length;
    if (page.before === null) break;
    before = String(page.before);
  }
  return pages.flat();
}

async function logs(context: Context, call: Call): Promise<void> {
  const workload = workloadName(call.positionals[0]);
  const instance = call.text('instance');
  const path = `${workloadPath(workload)}/logs`;
  const lines = await lastLines(context, path, { tail: countOption(call, 'tail') ?? 100, instance });
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
  if (!follow) return undefined;
  const fresh = newLines();
  fresh(lines);
  for (;;) {
    await context.sleep(500);
    const next = await context.api.ask({ path, query: { tail: '1000', instance }, answer: LogPage });
    fresh(next.lines).forEach(show);
  }
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
