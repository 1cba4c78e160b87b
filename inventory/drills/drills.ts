// Drills: a canary on many nodes that is killed to measure how long that takes. Here is what is kept of them and what
// may follow on what; `controller/drill/drill.ts` carries one out, step by step, also after a restart.
import type { DrillRequest, DrillSchedule } from '../../protocol/api/drills.ts';
import type { WorkloadSpec } from '../../protocol/api/workloads.ts';
import type { Mac } from '../../protocol/mac.ts';
import { everything } from '../../protocol/roll-call.ts';
import { decideAddCustomer } from '../customers/customers.ts';
import { decidePutWorkload } from '../customers/workloads.ts';
import type { Transact } from '../store/writer.ts';
import type { CustomerDocument, DrillDocument, DrillScheduleDocument, OrderDocument } from '../store/documents.ts';
import type { Transaction } from '../store/transaction.ts';
import type { Refused } from '../refused.ts';
import type { Cache, View } from '../store/cache.ts';

/** Drills that are kept, the running one among them. */
const drillLimit = 100;
export const canaryName = 'canary';
const scheduleId = 'one';
const phases = ['deploying', 'killing', 'removing', 'done'] as const satisfies DrillDocument['phase'][];

export interface DrillStart {
  customer: string;
  /** What each of the nodes runs one of; its `replicas` count for nothing. */
  spec: WorkloadSpec;
  nodes: Mac[];
}

export type DrillStep = Partial<
  Pick<DrillDocument, 'phase' | 'outcome' | 'problem' | 'order' | 'leftOut' | 'nodes' | 'result'>
>;

export interface DrillBook {
  /** Newest first, at most 100. */
  all(): DrillDocument[];
  get(number: number): DrillDocument | undefined;
  /** The one that is not over. */
  current(): DrillDocument | undefined;
  /** Why no drill of this customer may begin now. */
  refusal(customer: string): string | undefined;
  /** Customer, workload and record in one transaction, or none of them. */
  begin(start: DrillStart, by: string): Promise<DrillDocument | Refused>;
  /** What the schedule asked for: its next time is stored with it, also where the drill is refused. */
  beginScheduled(start: DrillStart): Promise<DrillDocument | Refused>;
  /** To the same phase or a later one, with an event where there is a message. A drill that is done stays as it is. */
  advance(number: number, step: DrillStep & { message?: string }): Promise<void>;

  schedule(): DrillScheduleDocument | undefined;
  /** First due one period from now. */
  putSchedule(schedule: DrillSchedule, by: string): Promise<DrillScheduleDocument>;
  removeSchedule(by: string): Promise<{ removed: true } | Refused>;
  /** Once for all the times that were missed. */
  skip(reason: string): Promise<void>;
}

/** `by` of a drill's kill order; no operator can be called that. */
export function orderedBy(number: number): string {
  return `drill ${number}`;
}

export function isDrillOrder({ by }: OrderDocument): boolean {
  return /^drill [0-9]+$/.test(by);
}

export function drillBook({
  cache,
  transact,
  transactOnReserve,
  now,
  epoch,
}: {
  cache: Cache;
  transact: Transact;
  /** For what may go on where the disk is full: the end of a drill, which removes its canary. */
  transactOnReserve: Transact;
  now: () => number;
  epoch: number;
}): DrillBook {
  const all = () => [...cache.all('drills').values()].toSorted((a, b) => b.number - a.number);
  return {
    all,
    get: (number) => cache.get('drills', String(number)),
    current: () => unfinished(cache),
    refusal: (customer) => refusalOf(cache, customer),
    begin: (start, by) => transact((transaction) => decideDrill(transaction, { ...start, by, epoch, now: now() })),
    beginScheduled: (start) =>
      transact((transaction) => {
        decideNextTime(transaction, now());
        const drill = decideDrill(transaction, { ...start, by: 'schedule', epoch, now: now() });
        if ('refused' in drill) transaction.event('drill', 'schedule', `skipped: ${drill.refused}`);
        return drill;
      }),
    advance: (number, { message, ...step }) =>
      transactOnReserve((transaction) => decideDrillStep(transaction, { number, step, message, now: now() })),

    schedule: () => cache.get('drill-schedule', scheduleId),
    putSchedule: ({ everySeconds, request }, by) =>
      transact((transaction) => {
        const schedule = { everySeconds, request, nextAt: now() + everySeconds * 1_000 };
        transaction.put('drill-schedule', scheduleId, schedule);
        transaction.event('drill', 'schedule', `a drill every ${everySeconds} s${customerOf(request)}`);
        return schedule;
      }, by),
    removeSchedule: (by) =>
      transactOnReserve((transaction) => {
        if (transaction.get('drill-schedule', scheduleId) === undefined) return { refused: 'no drill is scheduled' };
        transaction.remove('drill-schedule', scheduleId);
        transaction.event('drill', 'schedule', 'no drills by themselves any more');
        return { removed: true as const };
      }, by),
    skip: (reason) =>
      transact((transaction) => {
        decideNextTime(transaction, now());
        transaction.event('drill', 'schedule', `skipped: ${reason}`);
      }),
  };
}

function customerOf({ customer }: DrillRequest): string {
  return customer === undefined ? '' : ` with the customer ${customer}`;
}

function unfinished(view: View): DrillDocument | undefined {
  for (const [, drill] of view.all('drills')) if (drill.phase !== 'done') return drill;
  return undefined;
}

function refusalOf(view: View, customer: string): string | undefined {
  const running = unfinished(view);
  if (running !== undefined) return `drill ${running.number} is not over yet`;
  const order = view.get('kill', everything);
  if (order !== undefined) return `order ${order.number} stops everything: lift it first`;
  const known = view.get('customers', customer);
  return known === undefined ? undefined : whyTaken(view, known);
}

function decideDrill(
  transaction: Transaction,
  { customer: name, spec, nodes, by, epoch, now }: DrillStart & { by: string; epoch: number; now: number },
): DrillDocument | Refused {
  const refusal = refusalOf(transaction, name);
  if (refusal !== undefined) return { refused: refusal };
  if (nodes.length === 0) return { refused: 'no node is ready to run a canary' };
  const known = transaction.get('customers', name);
  // Looked at before anything is written: what a decision wrote is kept even where it refuses in the end.
  if (transaction.get('images', spec.image) === undefined)
    return { refused: `there is no image ${spec.image}: import it first` };
  if (known === undefined) {
    const added = decideAddCustomer(transaction, { spec: { name }, now, uidBase: formerRange(transaction, name) });
    if ('refused' in added) return added;
  }
  const canary = { customer: name, name: canaryName, spec: { ...spec, replicas: nodes.length } };
  const workload = decidePutWorkload(transaction, { ...canary, now });
  if ('refused' in workload) return workload;
  transaction.put('workloads', `${name}/${canaryName}`, { ...workload, nodes });
  const number = transaction.count('drills');
  const drill: DrillDocument = {
    number,
    customer: name,
    uidBase: known === undefined ? (transaction.get('customers', name)?.uidBase ?? null) : null,
    by,
    epoch,
    startedAt: now,
    endedAt: null,
    phase: 'deploying',
    outcome: null,
    problem: '',
    order: null,
    drawn: nodes.length,
    leftOut: [],
    nodes,
    result: null,
  };
  transaction.put('drills', String(number), drill);
  transaction.event('drill', String(number), `${by} begins a drill: ${name} on ${nodes.length} nodes`);
  forgetOldest(transaction);
  return drill;
}

function whyTaken(view: View, { name }: CustomerDocument): string | undefined {
  const order = view.get('kill', name);
  if (order !== undefined) return `order ${order.number} stops ${name}: lift it first, or name another customer`;
  for (const [, workload] of view.all('workloads'))
    if (workload.customer === name)
      return `${name} has workloads (${workload.name}): a drill kills its customer, name one that has none`;
  return undefined;
}

/** A drill each hour would use up all ranges in some years: the same canary gets the same one again. */
function formerRange(transaction: Transaction, name: string): number | undefined {
  for (const [, drill] of transaction.all('drills'))
    if (drill.customer === name && drill.uidBase !== null) return drill.uidBase;
  return undefined;
}

function forgetOldest(transaction: Transaction): void {
  const numbers = Array.from(transaction.all('drills'), ([, { number }]) => number).toSorted((a, b) => b - a);
  for (const number of numbers.slice(drillLimit)) transaction.remove('drills', String(number));
}

function decideDrillStep(
  transaction: Transaction,
  { number, step, message, now }: { number: number; step: DrillStep; message: string | undefined; now: number },
): void {
  const drill = transaction.get('drills', String(number));
  if (drill === undefined || drill.phase === 'done') return;
  const phase = step.phase ?? drill.phase;
  if (phases.indexOf(phase) < phases.indexOf(drill.phase)) return;
  const end = phase === 'done' ? { endedAt: now, nodes: [] } : {};
  transaction.put('drills', String(number), { ...drill, ...step, phase, ...end });
  if (message !== undefined) transaction.event('drill', String(number), message);
}

/** The first time of the schedule that is still to come. */
function decideNextTime(transaction: Transaction, now: number): void {
  const schedule = transaction.get('drill-schedule', scheduleId);
  if (schedule === undefined) return;
  const everyMs = schedule.everySeconds * 1_000;
  const missed = Math.floor(Math.max(0, now - schedule.nextAt) / everyMs);
  transaction.put('drill-schedule', scheduleId, { ...schedule, nextAt: schedule.nextAt + (missed + 1) * everyMs });
}
