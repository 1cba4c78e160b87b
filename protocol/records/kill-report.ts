// The report on a kill order: the same facts, words and rows on paper, in the browser and in a terminal. Pure.
import type { KillNode, KillTimeline } from '../api/orders.ts';
import { boundMs, killWorkMs, leashSweepMs, marginMs, permitValidityMs, resetMs } from '../timing.ts';

export interface KillReportFacts {
  order: KillTimeline;
  rack: string;
  /** The last entry of the audit log; null where the log cannot be read, or is empty. */
  audit: { sequence: number; hash: string } | null;
  /** When it is printed, ms since 1970. */
  at: number;
}

export interface KillReport {
  title: string;
  /** The promise was kept: everybody acknowledged or is proven stopped, and nobody too late. */
  kept: boolean;
  verdict: string;
  facts: [label: string, value: string][];
  headings: { text: string; right: boolean }[];
  /** Unacknowledged nodes first, then the slowest. */
  rows: string[][];
  /** What each kind of evidence means. */
  legend: [word: string, meaning: string][];
  notes: string[];
}

/** Unacknowledged nodes on top, then the slowest first. */
export function slowestFirst(timeline: readonly KillNode[]): KillNode[] {
  return timeline.toSorted(
    (a, b) => (b.evidenceAfterMs ?? Infinity) - (a.evidenceAfterMs ?? Infinity) || (a.name < b.name ? -1 : 1),
  );
}

/** Nearest rank; undefined of nothing. */
export function quantile(values: readonly number[], share: number): number | undefined {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)];
}

/** What was tried beside permits, the last step of it in words; `-` where nothing was. */
export function escalationText({ escalation }: Pick<KillNode, 'escalation'>): string {
  const last = escalation.at(-1);
  if (last === undefined) return '-';
  const before = escalation.length === 1 ? '' : ` (${escalation.length} steps)`;
  return `${last.by} ${last.outcome} after ${msText(last.afterMs)}${before}: ${last.detail}`;
}

const columns: { text: string; right?: boolean; value: (node: KillNode) => string }[] = [
  { text: 'node', value: ({ name }) => name },
  { text: 'MAC', value: ({ mac }) => mac },
  { text: 'sent', right: true, value: ({ sentAfterMs }) => orNone(sentAfterMs) },
  { text: 'stopped in', right: true, value: ({ stoppedAfterMs }) => orNone(stoppedAfterMs) },
  { text: 'evidence after', right: true, value: ({ evidenceAfterMs }) => orNone(evidenceAfterMs) },
  { text: 'evidence', value: ({ evidence }) => evidence ?? 'NOT ACKNOWLEDGED' },
  { text: 'processes', right: true, value: ({ processes }) => String(processes) },
  { text: 'escalation', value: escalationText },
];

const legend: KillReport['legend'] = [
  ['sent', 'from the stored order until the first permit without the customer left for the node'],
  ['stopped in', 'by the node: from that permit until nothing of the customer was left'],
  ['evidence after', 'from the stored order until the evidence was there'],
  ['receipt', 'the node says so, signed with the key of its session; the signed datagram is in the audit log'],
  ['silence', 'the node was not heard for so long that its permits have run out'],
  ['ssh', 'the controller emptied the control groups itself'],
  ['power', 'the power of the node is off'],
];

function verdictOf({ nodes, unacknowledged, late }: { nodes: number; unacknowledged: number; late: number }): string {
  if (nodes === 0) return 'No node had to stop it.';
  if (late === 0 && unacknowledged === 0)
    return `All ${nodes} nodes have stopped it, none later than ${msText(boundMs)}.`;
  return `${unacknowledged} of ${nodes} nodes have not acknowledged; ${late} were later than ${msText(boundMs)}.`;
}

export function killReport({ order, rack, audit, at }: KillReportFacts): KillReport {
  const { number, scope, timeline, holding } = order;
  const who = scope === '*' ? 'everything' : `customer ${scope}`;
  const times = timeline.flatMap(({ evidenceAfterMs }) => evidenceAfterMs ?? []);
  const late = times.filter((ms) => ms > boundMs).length;
  const unacknowledged = timeline.length - times.length;
  const kept = late === 0 && unacknowledged === 0;
  const counted = new Map<string, number>();
  for (const { evidence } of timeline) counted.set(evidence ?? 'none', (counted.get(evidence ?? 'none') ?? 0) + 1);
  const figure = (share: number) => {
    const ms = quantile(times, share);
    return ms === undefined ? '-' : msText(ms);
  };
  const lifted = order.liftedBy === null ? '' : ` by ${order.liftedBy}`;
  return {
    title: `Kill order ${number}: ${who}`,
    kept,
    verdict: verdictOf({ nodes: timeline.length, unacknowledged, late }),
    facts: [
      ['rack', rack],
      ['stopped', who],
      ['given', `${instantText(order.at)} by ${order.by}`],
      ['reason', order.reason],
      ['state', order.liftedAt === null ? 'stands' : `lifted ${instantText(order.liftedAt)}${lifted}`],
      ['nodes', `${timeline.length} had to stop it, ${times.length} have`],
      ['evidence after', `median ${figure(0.5)}, 99 % within ${figure(0.99)}, slowest ${figure(1)}`],
      ['evidence', [...counted].map(([word, count]) => `${count} ${word}`).join(', ') || '-'],
      [
        'audit log',
        audit === null ? 'cannot be read, or is empty' : `${audit.sequence} entries, the last with hash ${audit.hash}`,
      ],
      ['printed', instantText(at)],
    ],
    headings: columns.map(({ text, right = false }) => ({ text, right })),
    rows: slowestFirst(timeline).map((node) => columns.map(({ value }) => value(node))),
    legend,
    notes: [
      `The bound: ${seconds(permitValidityMs)} permit + ${seconds(leashSweepMs)} leash's sweep + ${seconds(killWorkMs)} to die + ${seconds(resetMs)} the board's reset where that was not enough + ${seconds(marginMs)} margin = ${seconds(boundMs)}, counted from the stored order, on every honest node.`,
      ...(holding.length === 0
        ? []
        : [
            `On a node that hears no controller these customers run on, and the bound does not hold there: ${holding.join(', ')} (hold on silence).`,
          ]),
      'Receipts are signed with a key that node and controller share: they convince who trusts the controller.',
    ],
  };
}

function orNone(ms: number | null): string {
  return ms === null ? '-' : msText(ms);
}

/** 143 ms, 4.00 s */
export function msText(ms: number): string {
  return ms < 1_000 ? `${Math.round(ms * 10) / 10} ms` : seconds(ms);
}

function seconds(ms: number): string {
  return `${(ms / 1_000).toFixed(2)} s`;
}

function instantText(at: number): string {
  return `${new Date(at).toISOString().slice(0, 19).replace('T', ' ')} UTC`;
}
