// Drills: a canary on every node, killed and measured by the controller; this only asks for one and watches.
import type { Drill, DrillPlan, DrillRequest, Drills } from '../../protocol/api/drills.ts';
import { checkedCount, checkedName } from '../arguments/argument.ts';
import { UsageError, type Call, type Command, type Context } from '../command.ts';
import { durationText, timeText } from '../print/figures.ts';
import { countOption, durationOption } from '../arguments/limits.ts';
import { askPatiently } from '../api/patience.ts';
import { liveLine, printDone, printJson, printList } from '../print/print.ts';
import { runFaults } from '../process.ts';
import { printable } from '../../protocol/printable.ts';

const pollMs = 200;
const hourSeconds = 3_600;
const longestSeconds = 366 * 86_400;
const runsLimit = 10_000;
/** Of the table of single faults (docs/GUARANTEE.md). */
const lastFault = 18;

export const drillCommands: Command[] = [
  {
    words: ['drill'],
    usage: '[--share 10%] [--every 30d|off]',
    summary: 'prove the five seconds: kill a canary on every node, and measure',
    details: `The canary is a customer of its own, made for the drill and removed after it; nobody else is touched. Ends with 0
only when every node that ran it acknowledged within 5 s. With --every nothing runs now: the controller drills by itself
from then on.
--faults needs no controller: it breaks one thing after another in virtual racks on this machine, and measures.`,
    options: {
      customer: { type: 'string', value: 'NAME', help: 'what to call the canary (default canary)' },
      share: { type: 'string', value: 'SHARE', help: 'of the ready nodes, drawn anew each time (default 100%)' },
      image: { type: 'string', value: 'NAME', help: "what the canary runs (default Muster's own sample)" },
      every: { type: 'string', value: 'DURATION', help: 'drill by itself each 30d, or never: off' },
      wait: { type: 'boolean', help: 'wait until it is over (the default); --no-wait does not' },
      faults: { type: 'boolean', help: 'run the table of single faults (see docs/GUARANTEE.md) instead' },
      runs: { type: 'string', value: 'N', help: 'with --faults: how often each' },
      only: { type: 'string', value: 'N,N', help: 'with --faults: these alone' },
    },
    run: drill,
  },
  {
    words: ['drill', 'show'],
    usage: 'NUMBER',
    summary: 'show what a drill measured',
    takes: [1, 1],
    run: async (context, call) => {
      const number = checkedCount(call.positionals[0], { what: 'the number of a drill', see: 'muster drills' });
      const found = await context.api.ask<Drill>({ path: `/v1/drills/${number}` });
      if (context.json) printJson(context, found);
      else context.output.out(report(found));
    },
  },
  {
    words: ['drills'],
    usage: '',
    summary: 'list the drills, and when the next one is due',
    run: list,
  },
];

async function drill(context: Context, call: Call): Promise<number | void> {
  if (call.flag('faults')) return faults(call);
  for (const option of ['runs', 'only'])
    if (call.text(option) !== undefined) throw new UsageError(`--${option} goes with --faults`);
  const request = requestOf(call);
  if (call.text('every') !== undefined) return plan(context, call);
  const begun = await context.api.ask<Drill>({ method: 'POST', path: '/v1/drills', body: request });
  if (!call.flag('wait', true)) {
    const text = `drill ${begun.number} runs on ${begun.drawn} nodes: muster drill show ${begun.number}`;
    return printDone(context, { json: begun, text });
  }
  const done = await watch(context, begun).catch((error: unknown) => {
    if (context.signal.aborted)
      context.output.err(`drill ${begun.number} goes on: muster drill show ${begun.number}\n`);
    throw error;
  });
  const passed = done.outcome === 'passed';
  if (context.json) printJson(context, done);
  else if (passed) context.output.out(report(done));
  else context.output.err(report(done));
  return passed ? 0 : 1;
}

function requestOf(call: Call): DrillRequest {
  const [customer, image, share] = [call.text('customer'), call.text('image'), shareOf(call.text('share'))];
  return {
    ...(customer === undefined ? {} : { customer: checkedName('customer', customer) }),
    ...(share === undefined ? {} : { share }),
    ...(image === undefined ? {} : { image: checkedName('image', image) }),
  };
}

/** `10%` or `0.1`. */
function shareOf(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const [, digits, percent] = /^([0-9]{1,3}(?:\.[0-9]{1,6})?)(%?)$/.exec(text) ?? [];
  const share = Number(digits ?? 'NaN') / (percent === '%' ? 100 : 1);
  if (share > 0 && share <= 1) return share;
  throw new UsageError(`--share is ${JSON.stringify(text)}, want a share like 10% or 0.1`);
}

async function plan(context: Context, call: Call): Promise<void> {
  const every = call.text('every');
  const request = requestOf(call);
  if (every === 'off') {
    await context.api.ask({ method: 'DELETE', path: '/v1/drills/schedule' });
    return printDone(context, { json: { schedule: null }, text: 'no drills by themselves any more' });
  }
  const everySeconds = Math.round((durationOption(call, 'every') ?? 0) / 1_000);
  if (everySeconds < hourSeconds || everySeconds > longestSeconds)
    throw new UsageError(`--every is ${JSON.stringify(every)}, want 1h to 366d, or off`);
  const body = { everySeconds, request };
  const planned = await context.api.ask<DrillPlan>({ method: 'PUT', path: '/v1/drills/schedule', body });
  return printDone(context, { json: planned, text: planText(planned) });
}

function planText({ everySeconds, nextAt, request: { customer, share, image } }: DrillPlan): string {
  const details = [
    ...(customer === undefined ? [] : [`customer ${customer}`]),
    ...(share === undefined ? [] : [`${Number((100 * share).toFixed(4))}% of the nodes`]),
    ...(image === undefined ? [] : [`image ${image}`]),
  ];
  const with_ = details.length === 0 ? '' : ` (${details.join(', ')})`;
  return `a drill every ${durationText(everySeconds * 1_000)}${with_}, the next one ${timeText(nextAt)} UTC`;
}

/** Asks until it is over. */
async function watch(context: Context, begun: Drill): Promise<Drill> {
  const line = liveLine(context);
  let latest = begun;
  try {
    while (latest.phase !== 'done') {
      line.show(progressText(latest));
      await context.sleep(pollMs);
      latest = await askPatiently(context, {
        ask: () => context.api.ask<Drill>({ path: `/v1/drills/${begun.number}`, timeoutMs: 5_000 }),
        tell: (text) => line.show(text),
      });
    }
  } finally {
    line.end();
  }
  return latest;
}

function progressText(drilled: Drill): string {
  const { number, phase, nodes, drawn } = drilled;
  if (phase === 'deploying') return `drill ${number}: ${nodes}/${drawn} nodes run the canary`;
  if (phase === 'killing') return `drill ${number}: ${figuresText(drilled)}`;
  return `drill ${number}: the canary is removed`;
}

/** `684/684 stopped, median 130 ms, slowest 143 ms` */
export function figuresText({ stopped, nodes, medianMs, slowestMs }: Drill): string {
  const times =
    medianMs === null || slowestMs === null
      ? ''
      : `, median ${durationText(medianMs)}, slowest ${durationText(slowestMs)}`;
  return `${stopped}/${nodes} stopped${times}`;
}

export function outcomeText({ outcome, phase }: Drill): string {
  return phase === 'done' ? (outcome ?? 'failed') : phase;
}

function report(drilled: Drill): string {
  const { number, phase, customer, by, startedAt, problem, order, leftOut } = drilled;
  const unacknowledged = phase === 'done' ? drilled.unacknowledged : [];
  const list = (title: string, items: readonly string[]) =>
    items.length === 0 ? [] : [`${title}:`, ...items.map((item) => `  ${printable(item)}`)];
  const lines = [
    phase === 'done' ? `drill ${number} ${outcomeText(drilled)}: ${figuresText(drilled)}` : progressText(drilled),
    ...(problem === '' ? [] : [printable(problem)]),
    ...list('unacknowledged', unacknowledged),
    ...list('not measured', leftOut),
    `${printable(customer)} was started by ${printable(by)}, ${timeText(startedAt)} UTC${order === null ? '' : ` (muster kill show ${order})`}`,
  ];
  return lines.map((line) => `${line}\n`).join('');
}

async function list(context: Context): Promise<void> {
  const { drills, schedule } = await context.api.ask<Drills>({ path: '/v1/drills' });
  if (context.json) return printJson(context, { drills, schedule });
  printList(context, {
    name: 'drills',
    rows: drills,
    none: 'there was no drill yet: muster drill',
    columns: [
      { heading: 'DRILL', right: true, value: ({ number }) => String(number) },
      {
        heading: 'OUTCOME',
        value: outcomeText,
        tone: ({ outcome }) => (outcome === null ? undefined : outcome === 'passed' ? 'good' : 'bad'),
      },
      { heading: 'STARTED (UTC)', value: ({ startedAt }) => timeText(startedAt) },
      { heading: 'BY', value: ({ by }) => by, yields: 1 },
      { heading: 'STOPPED', right: true, value: ({ stopped, nodes }) => `${stopped}/${nodes}` },
      { heading: 'MEDIAN', right: true, value: ({ medianMs }) => durationOrNone(medianMs) },
      { heading: 'SLOWEST', right: true, value: ({ slowestMs }) => durationOrNone(slowestMs) },
      { heading: 'PROBLEM', value: ({ problem }) => problem.slice(0, 80), yields: 2, cut: true },
    ],
  });
  context.output.out(`${schedule === null ? 'none is scheduled: muster drill --every 30d' : planText(schedule)}\n`);
  return undefined;
}

function durationOrNone(ms: number | null): string {
  return ms === null ? '-' : durationText(ms);
}

async function faults(call: Call): Promise<number> {
  for (const option of ['customer', 'share', 'image', 'every'])
    if (call.text(option) !== undefined) throw new UsageError(`--${option} does not go with --faults`);
  return runFaults(faultArguments(call));
}

/** What the program of the fault table is told. */
export function faultArguments(call: Call): string[] {
  const runs = countOption(call, { name: 'runs', from: 1, to: runsLimit });
  const only = call.text('only');
  if (only !== undefined && !/^[0-9]{1,2}(,[0-9]{1,2}){0,99}$/.test(only))
    throw new UsageError(`--only is ${JSON.stringify(only)}, want numbers of faults like 3,7`);
  const unknown = only?.split(',').find((number) => Number(number) < 1 || Number(number) > lastFault);
  if (unknown !== undefined)
    throw new UsageError(`--only is ${JSON.stringify(only)}: there are faults 1 to ${lastFault}, and no ${unknown}`);
  return [...(runs === undefined ? [] : ['--runs', String(runs)]), ...(only === undefined ? [] : ['--only', only])];
}
