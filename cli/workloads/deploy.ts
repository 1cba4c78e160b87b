// Running what a customer wants, and changing it: only what is named changes.
import type { ChangedWorkload, Workload, WorkloadSpec, WorkloadPatch } from '../../protocol/api/workloads.ts';
import { containerCapabilities } from '../../protocol/container/capabilities.ts';
import { stopSignalNumber } from '../../protocol/container/stop-signal.ts';
import { mergedWish } from '../../protocol/workload/merge-patch.ts';
import { printable } from '../../protocol/printable.ts';
import { ApiError, type Tagged } from '../api/api.ts';
import { checkedName, checkedNumber, checkedWorkload, workloadPath, type WorkloadName } from '../arguments/argument.ts';
import { UsageError, type Call, type Command, type Context, type Option } from '../command.ts';
import { checksOption } from '../arguments/check.ts';
import { placementOption } from '../arguments/placement.ts';
import { coresOption, countOption, durationOption, sizeOption } from '../arguments/limits.ts';
import { printDone } from '../print/print.ts';
import { deployFile, fileOptions } from './files.ts';
import { printRunning, untilUnchanged, waitUntilRunning } from './running.ts';

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
  check: {
    type: 'string',
    multiple: true,
    value: 'NAME=CHECK',
    help: 'start, ready or live, and how: http:/PATH, tcp, exec:LINE; a port before the path or after tcp:',
  },
  'no-check': {
    type: 'string',
    multiple: true,
    value: 'NAME',
    help: 'a check that it has no more, nor by default',
  },
  'max-surge': {
    type: 'string',
    value: 'N',
    help: 'how many more there may be while a change rolls (a new one: 1)',
  },
  'max-unavailable': {
    type: 'string',
    value: 'N',
    help: 'how many fewer may be ready meanwhile (a new one: none, or one where there is no room for one more)',
  },
  place: {
    type: 'string',
    multiple: true,
    value: 'LABEL=VALUE',
    help: 'only on nodes with these labels (see muster node label); they replace those from before',
  },
  spread: { type: 'string', value: 'LABEL', help: 'spread over the values of a label before over nodes' },
  'no-placement': { type: 'boolean', help: 'on any node again' },
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
replaced one after the other; another number of replicas replaces none.
With --file all workloads of the file are made, or changed to what it says (muster export, muster diff, muster schema).`,
    takes: [0, 1],
    takesRest: true,
    options: { ...fileOptions, ...specOptions, ...waitOptions },
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
  if (call.text('file') !== undefined) {
    refuseBesideFile(call);
    return deployFile(context, { call, waitMs: waitOf(call) });
  }
  for (const name of ['customer', 'dry-run'])
    if (call.isGiven(name)) throw new UsageError(`--${name} goes with --file (see muster deploy --help)`);
  if (call.positionals.length === 0)
    throw new UsageError('want CUSTOMER/NAME, or --file FILE (see muster deploy --help)');
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

/** What a workload is like is said by the file, or by options. */
function refuseBesideFile(call: Call): void {
  const [surplus] = [...call.positionals, ...call.rest];
  if (surplus !== undefined)
    throw new UsageError(`cannot use ${JSON.stringify(surplus)} beside --file: the file names the workloads`);
  const option = Object.keys(specOptions).find((name) => call.isGiven(name));
  if (option !== undefined) throw new UsageError(`want --${option} in the file, and not beside --file`);
}

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
      const body = newWish(`${name.customer}/${name.name}`, patch);
      const answer = await context.api.ask<ChangedWorkload>({ method: 'PUT', path, body, ifNoneMatch: '*' });
      return { before: undefined, answer };
    }
    if (Object.keys(patch).length === 0) return { before: found.answer, answer: found.answer };
    return patchAsRead(context, { found, patch });
  });
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
  if (waiting !== undefined) {
    printRunning(context, await waitUntilRunning(context, { stored: answer, waitMs: waiting }));
    return 0;
  }
  const { customer, name, replicas, image, stopped } = answer;
  const wish = stopped
    ? `none of ${replicas} until muster start ${customer}/${name}`
    : `${replicas} of ${image} wanted`;
  const text = `${customer}/${name} is stored: ${wish} (muster ps ${customer})`;
  printDone(context, { json: answer, text });
  return 0;
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
  const placement = placementOption(call);
  if (placement !== undefined) patch.placement = placement;
  const update = updateOption(call);
  if (update !== undefined) patch.update = update;
  const checks = checksOption(call);
  if (checks !== undefined) patch.checks = checks;
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
function newWish(id: string, patch: WorkloadPatch): Record<string, unknown> {
  const { image } = patch;
  if (image === undefined)
    throw new UsageError(`${id} is not there yet: want --image NAME for a new one (muster images lists them)`);
  return mergedWish({ image, replicas: 1 }, patch);
}

function updateOption(call: Call): WorkloadSpec['update'] {
  const maxSurge = countOption(call, { name: 'max-surge', from: 0, to: 10_000 });
  const maxUnavailable = countOption(call, { name: 'max-unavailable', from: 0, to: 10_000 });
  if (maxSurge === undefined && maxUnavailable === undefined) return undefined;
  return { ...(maxSurge !== undefined && { maxSurge }), ...(maxUnavailable !== undefined && { maxUnavailable }) };
}
