// What customers want, from and into files. The programs that read YAML and schemas are loaded when a file is there to read.
import { readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { text as streamText } from 'node:stream/consumers';
import type { Image } from '../../protocol/api/images.ts';
import type { ChangedWorkload, Workload, WorkloadSpec } from '../../protocol/api/workloads.ts';
import { printable } from '../../protocol/printable.ts';
import { ApiError } from '../api/api.ts';
import { checkedName, workloadPath } from '../arguments/argument.ts';
import { FailedError, UsageError, type Call, type Command, type Context, type Option } from '../command.ts';
import type { Fault } from '../file/source.ts';
import type { FileWorkload, Wishes } from '../file/workload-file.ts';
import { printJson } from '../print/print.ts';
import { printRunning, untilUnchanged, waitUntilRunning, type Running } from './running.ts';

export const fileOptions = {
  file: {
    type: 'string',
    short: 'f',
    value: 'FILE',
    help: "workloads from a file, a Compose file's too; - is standard input",
  },
  customer: { type: 'string', value: 'CUSTOMER', help: 'whose they are, where the file names no customer' },
  'dry-run': { type: 'boolean', help: 'say what would change, and change nothing' },
} as const satisfies Record<string, Option>;

const { file, customer } = fileOptions;

export const fileCommands: Command[] = [
  {
    words: ['diff'],
    usage: '--file FILE',
    summary: 'say what a file of workloads would change',
    details: 'Ends with 0 where all is as the file wants it, and with 1 where it is not.',
    options: { file, customer },
    run: diff,
  },
  {
    words: ['export'],
    usage: 'CUSTOMER',
    summary: 'write what a customer wants as a file, for muster deploy --file',
    details: 'Values of the environment are in it, as they were given.',
    takes: [1, 1],
    run: exportAll,
  },
  {
    words: ['schema'],
    usage: '',
    summary: 'print the JSON Schema of files of workloads, for editors',
    run: async (context) => {
      const { fileSchema } = await import('../file/workload-file.ts');
      printJson(context, fileSchema());
    },
  },
];

/** What came of one workload of a file. */
interface Applied {
  workload: string;
  isNew: boolean;
  answer: ChangedWorkload;
}

/** `muster deploy --file`. `waitMs`: how long to wait until all of it runs; undefined where that is not wanted. */
export async function deployFile(
  context: Context,
  { call, waitMs }: { call: Call; waitMs: number | undefined },
): Promise<number> {
  const wishes = await readWishes(context, call);
  const tried = await tryAll(context, wishes);
  if (call.flag('dry-run')) return told(context, tried);
  const applied: Applied[] = [];
  const running = new Map<string, Running>();
  const run = async ({ answer, workload }: Applied): Promise<void> => {
    if (waitMs === undefined || running.has(workload)) return;
    running.set(workload, await waitUntilRunning(context, { stored: answer, waitMs }));
  };
  for (const wish of wishes.workloads) {
    for (const each of applied) if (wish.after.includes(each.answer.name)) await run(each);
    const done = await apply(context, { customer: wishes.customer, wish, dryRun: false });
    applied.push(done);
    if (!context.json) context.output.out(`${changeLine(done)}\n`);
  }
  for (const each of applied) await run(each);
  if (context.json)
    printJson(context, {
      workloads: applied.map(({ workload, answer }) => ({ ...answer, ...running.get(workload)?.whole })),
    });
  else for (const each of running.values()) printRunning(context, each);
  return 0;
}

async function diff(context: Context, call: Call): Promise<number> {
  const wishes = await readWishes(context, call);
  const tried = await tryAll(context, wishes);
  const { workloads } = await context.api.ask<{ workloads: Workload[] }>({ path: '/v1/workloads' });
  told(context, tried);
  const named = new Set(wishes.workloads.map(({ name }) => name));
  const others = workloads.filter((each) => each.customer === wishes.customer && !named.has(each.name));
  if (!context.json)
    for (const { name } of others)
      context.output.out(`${wishes.customer}/${name} is not in the file, and stays as it is\n`);
  return tried.some(({ isNew, answer }) => isNew || answer.changes.length > 0) ? 1 : 0;
}

function told(context: Context, tried: readonly Applied[]): number {
  if (context.json)
    printJson(context, {
      workloads: tried.map(({ workload, isNew, answer: { changes } }) => ({ workload, isNew, changes })),
    });
  else for (const each of tried) context.output.out(`${changeLine(each)}\n`);
  return 0;
}

function changeLine({ workload, isNew, answer: { changes } }: Applied): string {
  const list = printable(changes.join(', '));
  return isNew
    ? `${workload} is new: ${list}`
    : changes.length === 0
      ? `${workload} is as wanted`
      : `${workload}: ${list}`;
}

/** Nothing is changed where anything of the file would be refused. */
async function tryAll(context: Context, { customer: owner, workloads }: Wishes): Promise<Applied[]> {
  const tried: Applied[] = [];
  const refused: string[] = [];
  for (const wish of workloads)
    try {
      tried.push(await apply(context, { customer: owner, wish, dryRun: true }));
    } catch (error) {
      if (!(error instanceof ApiError) || error.status < 400 || error.status >= 500 || error.status === 401)
        throw error;
      refused.push(`${owner}/${wish.name}: ${printable(error.message)}`);
    }
  if (refused.length > 0)
    throw new FailedError(`nothing was changed, this would be refused:\n  ${refused.join('\n  ')}`, {
      code: 'refused',
    });
  return tried;
}

interface Wish {
  customer: string;
  wish: FileWorkload;
  dryRun: boolean;
}

/** The whole as the file says it, for what was read; only how many there are, and a stop, stay where the file is silent. */
async function apply({ api }: Context, { customer: owner, wish: { name, spec }, dryRun }: Wish): Promise<Applied> {
  const workload = `${owner}/${name}`;
  const path = workloadPath({ customer: owner, name });
  const query = { dryRun: dryRun ? 'true' : undefined };
  return untilUnchanged(workload, async () => {
    const found = await api.askTagged<Workload>({ path }).catch((error: unknown) => {
      if (error instanceof ApiError && error.status === 404) return undefined;
      throw error;
    });
    const condition = found === undefined ? { ifNoneMatch: '*' as const } : { ifMatch: found.etag };
    const there = found?.answer;
    const { image, replicas = there?.replicas ?? 1, stopped = there?.stopped ?? false, ...rest } = spec;
    const body: WorkloadSpec = { image, replicas, ...rest, ...(stopped ? { stopped } : {}) };
    const answer = await api.ask<ChangedWorkload>({ method: 'PUT', path, query, body, ...condition });
    return { workload, isNew: found === undefined, answer };
  });
}

/** Throws an error with a line for each fault; notes go to standard error. */
async function readWishes(context: Context, call: Call): Promise<Wishes> {
  const path = call.text('file');
  if (path === undefined) throw new UsageError('want --file FILE, or - for standard input (see muster diff --help)');
  const given = call.text('customer');
  const owner = given === undefined ? undefined : checkedName('customer', given);
  const { fileLimitBytes, faultLine, readSource } = await import('../file/source.ts');
  const source = readSource(await readText(path, fileLimitBytes));
  const { composeWishes, isCompose } = await import('../file/compose.ts');
  const { wishesOf } = await import('../file/workload-file.ts');
  const wishes = isCompose(source)
    ? composeWishes(source, { customer: owner, ...(await surroundings(context, { path, owner })) })
    : wishesOf(source, { customer: owner });
  const name = path === '-' ? 'standard input' : path;
  if ('faults' in wishes) {
    const lines = inOrder(wishes.faults).map((fault) => `  ${faultLine(name, fault)}`);
    throw new FailedError(`cannot read ${printable(name)}:\n${lines.join('\n')}`, {
      code: 'invalid-file',
      exitCode: 2,
    });
  }
  for (const note of wishes.notes) context.output.err(`${faultLine(name, note)}\n`);
  return wishes;
}

const faultsShown = 50;

function inOrder(faults: readonly Fault[]): Fault[] {
  return faults.toSorted((a, b) => a.at.line - b.at.line || a.at.column - b.at.column).slice(0, faultsShown);
}

async function readText(path: string, limitBytes: number): Promise<string> {
  if (path === '-') return streamText(process.stdin);
  try {
    const bytes = await readFile(path);
    return bytes.subarray(0, limitBytes + 1).toString('utf8');
  } catch (cause) {
    throw new FailedError(`cannot read ${printable(path)}: want a file of workloads, as muster export writes one`, {
      code: 'no-file',
      exitCode: 2,
      cause,
    });
  }
}

/** Of a Compose file: what its images start with, and the files beside it. */
async function surroundings({ api }: Context, { path, owner }: { path: string; owner: string | undefined }) {
  const { images } = await api.ask<{ images: Image[] }>({ path: '/v1/images' });
  const directory = path === '-' ? '.' : dirname(path);
  return {
    // As the controller finds it: the customer's own goes before everybody's.
    entrypointOf: (name: string) =>
      [`${owner}/${name}`, name].flatMap((each) => images.find((image) => image.name === each) ?? [])[0]?.config
        .entrypoint,
    readBeside: (beside: string) => {
      try {
        return readFileSync(resolve(directory, beside), 'utf8');
      } catch {
        // Whoever asked says which file it is, and where it is named.
        return undefined;
      }
    },
  };
}

async function exportAll(context: Context, call: Call): Promise<void> {
  const owner = checkedName('customer', call.positionals[0]);
  // Asked for first: a customer that is not there has no workloads either.
  await context.api.ask({ path: `/v1/customers/${owner}` });
  const { workloads } = await context.api.ask<{ workloads: Workload[] }>({ path: '/v1/workloads' });
  const specs: [string, WorkloadSpec][] = [];
  for (const { customer: of, name } of workloads)
    if (of === owner)
      specs.push([name, await context.api.ask<WorkloadSpec>({ path: `${workloadPath({ customer: of, name })}/spec` })]);
  if (specs.length === 0)
    throw new FailedError(`${owner} has no workloads: there is nothing to write`, { code: 'empty' });
  if (context.json) return printJson(context, { customer: owner, workloads: Object.fromEntries(specs) });
  const { fileText } = await import('../file/workload-file.ts');
  context.output.out(fileText({ customer: owner, workloads: specs }));
  return undefined;
}
