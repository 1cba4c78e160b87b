// The red button. One request stores the order; everything after it only watches.
import { writeFile } from 'node:fs/promises';
import type { Approval } from '../../protocol/api/approvals.ts';
import type { AuditEntry } from '../../protocol/api/audit.ts';
import type { KillOrder, KillTimeline } from '../../protocol/api/orders.ts';
import type { Status } from '../../protocol/api/status.ts';
import { escalationText, killReport, slowestFirst, type KillReport } from '../../protocol/records/kill-report.ts';
import { boundMs, permitValidityMs, stopsByItselfMs } from '../../protocol/timing.ts';
import { ApiError } from '../api/api.ts';
import { checkedCount, checkedName } from '../arguments/argument.ts';
import { FailedError, UsageError, type Call, type Command, type Context } from '../command.ts';
import { durationText, timeText } from '../print/figures.ts';
import { customerNames, orMeant } from '../arguments/meant.ts';
import { liveLine, printDone, printJson, printList } from '../print/print.ts';
import { holdNote } from '../print/silence.ts';
import { printable } from '../../protocol/printable.ts';
import { table, tableParts } from '../print/table.ts';

const everythingOption = { type: 'boolean', help: 'all customers, not one' } as const;

export const killCommands: Command[] = [
  {
    words: ['kill'],
    usage: 'CUSTOMER|--everything [--reason "WHY"]',
    summary: 'stop a customer, or everything, on all nodes, within 5 s',
    details: `The order is in force at once, and stands until "muster lift".
Ends with 0 only when it is stored and every node has acknowledged within 5 s; otherwise it names those that have not.
Exit code 4: every node has acknowledged, but the controller's disk has not taken the order, which would be lost with it.
Where the two-person rule is on, --everything waits for a second operator (exit code 3); one customer never does.`,
    takes: [0, 1],
    options: { everything: everythingOption, reason: { type: 'string', value: 'WHY', help: 'kept with the order' } },
    run: kill,
  },
  {
    words: ['kill', 'show'],
    usage: 'NUMBER',
    summary: 'show what each node said to a kill order, unacknowledged and slowest first',
    takes: [1, 1],
    // A customer may be called `show`.
    applies: ([number]) => number !== undefined && /^[0-9]+$/.test(number),
    run: show,
  },
  {
    words: ['kill', 'report'],
    usage: 'NUMBER [--html FILE]',
    summary: 'print a report on a kill order, to be kept or handed on',
    takes: [1, 1],
    // A customer may be called `report`.
    applies: ([number]) => number !== undefined && /^[0-9]+$/.test(number),
    options: { html: { type: 'string', value: 'FILE', help: 'write it as a page for a printer instead' } },
    run: report,
  },
  {
    words: ['kills'],
    usage: '',
    summary: 'list the kill orders',
    run: async (context) => {
      const { orders } = await context.api.ask<{ orders: KillOrder[] }>({ path: '/v1/kill' });
      printList(context, {
        name: 'orders',
        rows: orders,
        none: 'there is no kill order',
        columns: [
          { heading: 'ORDER', right: true, value: ({ number }) => String(number) },
          { heading: 'WHO', value: ({ scope }) => who(scope) },
          {
            heading: 'STATE',
            value: ({ liftedAt, stored }) =>
              `${liftedAt === null ? 'stands' : 'lifted'}${stored ? '' : ', not stored'}`,
            tone: ({ liftedAt }) => (liftedAt === null ? 'bad' : undefined),
          },
          { heading: 'GIVEN (UTC)', value: ({ at }) => timeText(at) },
          { heading: 'STOPPED', right: true, value: ({ stopped, nodes }) => `${stopped}/${nodes}` },
          {
            heading: 'SLOWEST',
            right: true,
            value: ({ slowestMs }) => durationOrNone(slowestMs),
          },
          { heading: 'REASON', value: ({ reason }) => reason.slice(0, 80), yields: 1, cut: true },
        ],
      });
    },
  },
  {
    words: ['lift'],
    usage: 'CUSTOMER|--everything',
    summary: 'end a kill order: who was stopped may run again',
    details: `Where the two-person rule is on, it waits for a second operator (exit code 3).
Exit code 4: the controller's disk has not taken it; it is tried again each second.`,
    takes: [0, 1],
    options: { everything: everythingOption, reason: { type: 'string', value: 'WHY', help: 'kept with the order' } },
    run: async (context, call) => {
      const reason = reasonOf(call);
      const body = { ...scopeOf(call), ...(reason === undefined ? {} : { reason }) };
      const order = await context.api.ask<Approval | KillOrder>({ method: 'POST', path: '/v1/lift', body });
      if ('expiresAt' in order) return printWaiting(context, order);
      return printLifted(context, order);
    },
  },
];

function scopeOf(call: Call): { customer: string } | { everything: true } {
  const [customer] = call.positionals;
  const everything = call.flag('everything');
  if (customer !== undefined && !everything) return { customer: checkedName('customer', customer) };
  if (customer === undefined && everything) return { everything };
  throw new UsageError('want either the name of a customer or --everything');
}

const reasonLimit = 500;

/** Nothing where it is left out or empty. */
function reasonOf(call: Call): string | undefined {
  const reason = call.text('reason') ?? '';
  if (reason.length > reasonLimit)
    throw new UsageError(`--reason has ${reason.length} characters, want at most ${reasonLimit}`);
  return reason === '' ? undefined : reason;
}

/** Gives the exit code. */
export function printLifted(context: Context, order: KillOrder): number {
  const isLifted = order.liftedAt !== null;
  printDone(context, {
    json: order,
    text:
      (isLifted
        ? `order ${order.number} is lifted: ${who(order.scope)} may run again`
        : `order ${order.number} is NOT lifted yet: ${who(order.scope)} stays stopped until the lift is stored`) +
      (order.stored ? '' : `\n${notStored(isLifted ? 'the order may stand again' : 'the lift is lost')}`),
  });
  return order.stored ? 0 : unstoredCode;
}

/** Exit code of what is in force or on its way, and not on the controller's disk. */
const unstoredCode = 4;

function notStored(loss: string): string {
  return (
    "NOT STORED: the controller's disk does not take it (muster status says why). It is tried again each second;\n" +
    `if the controller ends before, ${loss}.`
  );
}

/** Exit code of a request that is stored and not carried out yet. */
const waitingCode = 3;

function printWaiting(context: Context, approval: Approval): number {
  const action = approval.action === 'kill' ? `${who(approval.scope)} is NOT stopped yet` : `order is NOT lifted yet`;
  printDone(context, {
    json: approval,
    text:
      `${action}: it needs a second operator, until ${timeText(approval.expiresAt)} UTC.\n` +
      `Ask another operator to run: muster approve ${approval.id}`,
  });
  return waitingCode;
}

export function who(scope: string): string {
  return scope === '*' ? 'everything' : scope;
}

const pollMs = 50;

async function kill(context: Context, call: Call): Promise<number> {
  const body = { ...scopeOf(call), reason: reasonOf(call) ?? 'asked for on the command line' };
  const asked = { method: 'POST', path: '/v1/kill', body, timeoutMs: boundMs } as const;
  const order = await context.api
    .ask<Approval | KillOrder>(asked)
    .catch((error: unknown) => {
      throw error instanceof ApiError ? (notGiven(error) ?? error) : error;
    })
    .catch(orMeant(call.positionals[0] ?? '', () => customerNames(context.api)));
  return 'expiresAt' in order ? printWaiting(context, order) : follow(context, order);
}

/** What an operator must know who cannot tell whether anything stops; nothing where the controller has refused. */
function notGiven(error: ApiError): FailedError | undefined {
  const { code, message } = error;
  if (code === 'not-understood')
    return new FailedError(`${message}\nIt has taken the order all the same: see muster kills`, { code, cause: error });
  if (error.status !== 0) return undefined;
  const given = code === 'timeout' ? 'It is not known whether the order was given.' : 'NO ORDER WAS GIVEN.';
  return new FailedError(`${message}\n${given}\n${withoutController}`, { code, cause: error });
}

const withoutController = `
What nodes do by themselves: a permit ends ${durationText(permitValidityMs)} after the node asked for it. If the controller is down,
every node has stopped every customer ${durationText(stopsByItselfMs)} after it asked for the last one that it got; customers that hold
on silence go on. If the controller runs, and only this command cannot reach it, nothing stops.

What to do, in this order:
  1. Is that the controller's address? Give the order again with --url, or on the controller's own machine.
  2. Start the controller again there (muster up, or its service), and give the order at once: it lets run again what
     stopped for its silence.
  3. To stop everything without it: end the controller's process, or unplug its machine. Customers that hold on
     silence stop only with the power of their nodes.`;

/** Watches a new order until every node has acknowledged, or the bound is over. Gives the exit code. */
export async function follow(context: Context, order: KillOrder): Promise<number> {
  const acceptedMs = context.monotonic();
  if (!context.json)
    context.output.out(`order ${order.number} stands: ${who(order.scope)} may not run\n${holdNote(order.holding)}`);
  const watched = await watch(context, { order, untilMs: acceptedMs + boundMs }).catch((error: unknown) => {
    if (context.signal.aborted) context.output.err(`${stillStands(order)}\n`);
    throw error;
  });
  const { latest, trouble } = watched;

  if (context.json) printJson(context, latest);
  const unstored = latest.stored ? [] : [notStored('the order is lost: give it again')];
  if (acknowledgedInTime(latest)) {
    if (!context.json)
      context.output.out(`${countText(latest)}; it stays so until: muster lift ${liftWords(latest.scope)}\n`);
    if (latest.stored) return 0;
    throw new FailedError(unstored.join('\n'), { code: 'not-stored', exitCode: unstoredCode });
  }
  const isLate = latest.unacknowledged.length === 0;
  const said = isLate
    ? [`${countText(latest)}: later than the ${durationText(boundMs)} that are promised`]
    : [
        `${countText(latest)} after ${durationText(boundMs)}; unacknowledged: ${latest.unacknowledged.map(printable).join(', ')}`,
        stillStands(latest),
      ];
  const lost = trouble === undefined ? [] : [`cannot follow order ${latest.number}: ${printable(trouble)}`];
  throw new FailedError([...unstored, ...lost, ...said].join('\n'), { code: isLate ? 'late' : 'unacknowledged' });
}

function stillStands({ number }: KillOrder): string {
  return `order ${number} stands and is still being enforced: muster kill show ${number}`;
}

function liftWords(scope: string): string {
  return scope === '*' ? '--everything' : scope;
}

/** All of them, and none later than promised. */
function acknowledgedInTime({ stopped, nodes, slowestMs, unacknowledged }: KillOrder): boolean {
  return stopped >= nodes && unacknowledged.length === 0 && (slowestMs ?? 0) <= boundMs;
}

/** `684/684 stopped, slowest 143 ms` */
function countText({ stopped, nodes, slowestMs }: KillOrder): string {
  return `${stopped}/${nodes} stopped${slowestMs === null ? '' : `, slowest ${durationText(slowestMs)}`}`;
}

/** Asks until everybody has acknowledged or the time is over; a controller that restarts meanwhile is asked again. */
async function watch(context: Context, { order, untilMs }: { order: KillOrder; untilMs: number }) {
  const line = liveLine(context);
  let latest = order;
  let trouble: string | undefined;
  try {
    for (;;) {
      line.show(countText(latest));
      const leftMs = untilMs - context.monotonic();
      if (latest.unacknowledged.length === 0 && latest.stopped >= latest.nodes) break;
      if (leftMs <= 0) break;
      await context.sleep(Math.min(pollMs, leftMs));
      try {
        const timeoutMs = Math.max(50, Math.min(1_000, Math.ceil(leftMs)));
        latest = await context.api.ask<KillOrder>({ path: `/v1/kill/${order.number}`, timeoutMs });
        trouble = undefined;
      } catch (error) {
        if (!(error instanceof ApiError)) throw error;
        trouble = error.message;
      }
    }
  } finally {
    line.end();
  }
  return { latest, trouble };
}

const killNumber = { what: 'the number of a kill order', see: 'muster kills' } as const;

async function show(context: Context, call: Call): Promise<void> {
  const number = checkedCount(call.positionals[0], killNumber);
  const order = await context.api.ask<KillTimeline>({ path: `/v1/kill/${number}` });
  if (context.json) return printJson(context, order);
  const by = order.liftedBy === null ? '' : ` by ${printable(order.liftedBy)}`;
  const state = order.liftedAt === null ? 'stands' : `was lifted ${timeText(order.liftedAt)} UTC${by}`;
  context.output.out(
    `order ${order.number}: ${who(order.scope)}, given ${timeText(order.at)} UTC by ${printable(order.by)}, ${state}\n`,
  );
  if (!order.stored) context.output.out(`${notStored('it is lost')}\n`);
  context.output.out(`reason: ${printable(order.reason)}\n${countText(order)}\n${holdNote(order.holding)}`);
  if (order.timeline.length === 0) return undefined;
  context.output.out([
    { text: '\n' },
    ...tableParts(
      {
        rows: slowestFirst(order.timeline),
        columns: [
          { heading: 'NODE', value: ({ name }) => name },
          { heading: 'MAC', value: ({ mac }) => mac, yields: 1 },
          { heading: 'SENT', right: true, value: ({ sentAfterMs }) => durationOrNone(sentAfterMs), yields: 2 },
          { heading: 'STOPPED IN', right: true, value: ({ stoppedAfterMs }) => durationOrNone(stoppedAfterMs) },
          { heading: 'EVIDENCE AFTER', right: true, value: ({ evidenceAfterMs }) => durationOrNone(evidenceAfterMs) },
          {
            heading: 'EVIDENCE',
            value: ({ evidence }) => evidence ?? 'unacknowledged',
            tone: ({ evidence }) => (evidence === null ? 'bad' : undefined),
          },
          { heading: 'PROCESSES', right: true, value: ({ processes }) => String(processes), yields: 3 },
          { heading: 'ESCALATION', value: escalationText, yields: 4, cut: true },
        ],
      },
      context.output.columns,
    ),
  ]);
  return undefined;
}

async function report(context: Context, call: Call): Promise<void> {
  const number = checkedCount(call.positionals[0], killNumber);
  const order = await context.api.ask<KillTimeline>({ path: `/v1/kill/${number}` });
  const { rack } = await context.api.ask<Status>({ path: '/v1/status' });
  const newest = context.api.ask<{ entries: AuditEntry[] }>({ path: '/v1/audit', query: { limit: '1' } });
  const { entries } = await newest.catch((error: unknown) => {
    // The report is wanted all the more when the controller's disk is in trouble.
    if (error instanceof ApiError && error.status >= 500) return { entries: [] };
    throw error;
  });
  const facts = { order, rack, audit: entries[0] ?? null, at: context.now() };
  const file = call.text('html');
  if (context.json) printJson(context, killReport(facts));
  else if (file === undefined) context.output.out(reportText(killReport(facts)));
  if (file === undefined) return;
  const page = await context.api.ask<string>({ path: `/v1/kill/${number}/report`, isText: true });
  await writeFile(file, page).catch((cause: unknown) => {
    throw new Error(`cannot write ${file}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
  });
  if (!context.json) context.output.out(`the report on order ${number} is in ${printable(file)}\n`);
}

function reportText({ title, verdict, facts, headings, rows, legend, notes }: KillReport): string {
  const pairs = (of: [string, string][]) =>
    of.map(([word, text]) => `  ${word.padEnd(16)} ${printable(text)}\n`).join('');
  const columns = headings.map(({ text, right }, at) => ({
    heading: text.toUpperCase(),
    ...(right ? { right: true as const } : {}),
    value: (row: string[]) => row[at] ?? '',
  }));
  return `${printable(title)}\n${verdict}\n\n${pairs(facts)}\n${table({ columns, rows })}\n${pairs(legend)}\n${notes.map((note) => `${printable(note)}\n`).join('')}`;
}

function durationOrNone(ms: number | null): string {
  return ms === null ? '-' : durationText(ms);
}
