// Running what a customer wants, and changing it: only what is named changes.
import type { Customer } from '../../protocol/api/customers.ts';
import type { Instance } from '../../protocol/api/instances.ts';
import type { ChangedWorkload, Workload, WorkloadSpec, WorkloadPatch } from '../../protocol/api/workloads.ts';
import { printable } from '../../protocol/printable.ts';
import { ApiError, type Tagged } from '../api/api.ts';
import { checkedName, checkedNumber, checkedWorkload, workloadPath, type WorkloadName } from '../arguments/argument.ts';
import { FailedError, UsageError, type Call, type Command, type Context, type Option } from '../command.ts';
import { durationText } from '../print/figures.ts';
import { coresOption, countOption, durationOption, sizeOption } from '../arguments/limits.ts';
import { liveLine, printDone, printJson } from '../print/print.ts';

/** What a workload is like. */
const specOptions = {
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
} as const satisfies Record<string, Option>;

export const waitOptions = {
  wait: { type: 'boolean', help: 'wait until all of it runs (the default); --no-wait does not' },
  timeout: { type: 'string', value: 'DURATION', help: 'how long to wait (default 5m)' },
} as const satisfies Record<string, Option>;

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
    options: { ...specOptions, ...waitOptions },
    run: deploy,
  },
  {
    words: ['set'],
    usage: 'CUSTOMER/NAME',
    summary: 'change of a workload what is named, and wait until that is through',
    details: `As muster deploy, and only of what is there: muster set acme/web --image web:1.5 --env MODE=fast --no-env OLD
Its instances are replaced one after the other; another number of replicas replaces none.`,
    takes: [1, 1],
    takesRest: true,
    options: { ...specOptions, ...waitOptions },
    run: set,
  },
  {
    words: ['scale'],
    usage: 'CUSTOMER/NAME=N',
    summary: 'change how many instances of a workload are wanted, and wait until they run',
    details: 'None of those that run is replaced: muster scale acme/web=5',
    takes: [1, 1],
    options: waitOptions,
    run: scale,
  },
];

async function deploy(context: Context, call: Call): Promise<number> {
  const name = checkedWorkload(call.positionals[0]);
  const patch = workloadPatch(call);
  const waiting = waitOf(call);
  const { before, answer } = await wanted(context, { name, patch });
  if (before !== undefined) tellChanges(context, { before, answer, patch });
  return afterChange(context, { answer, waiting });
}

async function set(context: Context, call: Call): Promise<number> {
  const name = checkedWorkload(call.positionals[0]);
  const patch = workloadPatch(call);
  if (Object.keys(patch).length === 0)
    throw new UsageError('want at least one option of what is to change, like --image web:1.5 (see muster set --help)');
  const waiting = waitOf(call);
  const { before, answer } = await patched(context, { name, patch });
  tellChanges(context, { before, answer, patch });
  return afterChange(context, { answer, waiting });
}

async function scale(context: Context, call: Call): Promise<number> {
  const [text = ''] = call.positionals;
  const [, workload, count] = /^([^=]*)=(.*)$/s.exec(text) ?? [];
  if (count === undefined)
    throw new UsageError(`${JSON.stringify(text)} says no number, want CUSTOMER/NAME=N, like acme/web=5`);
  const patch = { replicas: checkedNumber(count, { what: 'a number of instances', from: 0, to: 10_000 }) };
  const waiting = waitOf(call);
  const { before, answer } = await patched(context, { name: checkedWorkload(workload), patch });
  tellChanges(context, { before, answer, patch });
  return afterChange(context, { answer, waiting });
}

/** Changes what is named of one that is there. Only what is named is sent, so nobody else's change is lost by it. */
export async function patched(
  context: Context,
  { name, patch }: { name: WorkloadName; patch: WorkloadPatch },
): Promise<Wanted & { before: Workload }> {
  const path = workloadPath(name);
  return untilUnchanged(`${name.customer}/${name.name}`, async () =>
    patchAsRead(context, { found: await context.api.askTagged<Workload>({ path }), patch }),
  );
}

async function patchAsRead(
  { api }: Context,
  { found, patch }: { found: Tagged<Workload>; patch: WorkloadPatch },
): Promise<Wanted & { before: Workload }> {
  const { answer: before, etag: ifMatch } = found;
  const path = workloadPath(before);
  return { before, answer: await api.ask<ChangedWorkload>({ method: 'PATCH', path, body: patch, ifMatch }) };
}

/** A look and the change that goes with it may be repeated so often: each time somebody else was quicker. */
const attemptLimit = 5;

interface Wanted {
  /** As it was; undefined where there was none. */
  before: Workload | undefined;
  answer: Workload & Partial<Pick<ChangedWorkload, 'changes'>>;
}

/** Makes it, or changes what is named, whoever changes it meanwhile. */
async function wanted(
  context: Context,
  { name, patch }: { name: WorkloadName; patch: WorkloadPatch },
): Promise<Wanted> {
  const path = workloadPath(name);
  return untilUnchanged(`${name.customer}/${name.name}`, async () => {
    const found = await context.api.askTagged<Workload>({ path }).catch((error: unknown) => {
      if (error instanceof ApiError && error.status === 404) return undefined;
      throw error;
    });
    if (found === undefined) {
      const body = newSpec(`${name.customer}/${name.name}`, patch);
      const answer = await context.api.ask<ChangedWorkload>({ method: 'PUT', path, body, ifNoneMatch: '*' });
      return { before: undefined, answer };
    }
    if (Object.keys(patch).length === 0) return { before: found.answer, answer: found.answer };
    return patchAsRead(context, { found, patch });
  });
}

/** Looks and changes again where somebody changed it in between. */
export async function untilUnchanged<T>(id: string, attempt: () => Promise<T>): Promise<T> {
  for (let tried = 1; ; tried += 1) {
    try {
      return await attempt();
    } catch (error) {
      if (!(error instanceof ApiError) || error.status !== 412) throw error;
      if (tried >= attemptLimit)
        throw new FailedError(
          `cannot change ${id}: others changed it ${tried} times in between; nothing of this change was made, try again`,
          { code: error.code, cause: error },
        );
    }
  }
}

/** `acme/web: replicas 1 → 3; the rest stays` */
export function tellChanges(
  context: Context,
  { before, answer, patch }: { before: Workload; answer: Wanted['answer']; patch: WorkloadPatch },
): void {
  if (context.json) return;
  const id = `${before.customer}/${before.name}`;
  const absent = Object.entries(patch.env ?? {}).flatMap(([name, value]) =>
    value === null && !before.env.includes(name) ? [`there is no variable ${name}`] : [],
  );
  const changes = [...(answer.changes ?? []), ...absent].join(', ');
  context.output.out(
    changes === '' ? `${id} is wanted like that already\n` : `${id}: ${printable(changes)}; the rest stays\n`,
  );
}

/** How long to wait until all of it runs, ms; undefined with `--no-wait`. */
export function waitOf(call: Call): number | undefined {
  const waitMs = durationOption(call, 'timeout') ?? 300_000;
  return call.flag('wait', true) ? waitMs : undefined;
}

/** Waits where that is wanted; gives the exit code. */
export async function afterChange(
  context: Context,
  { answer, waiting }: { answer: Workload; waiting: number | undefined },
): Promise<number> {
  if (waiting !== undefined) return waitUntilRunning(context, { stored: answer, waitMs: waiting });
  const text = `${answer.customer}/${answer.name} is stored: ${answer.replicas} of ${answer.image} wanted (muster ps ${answer.customer})`;
  printDone(context, { json: answer, text });
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
