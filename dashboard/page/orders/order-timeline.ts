// What the timeline of a kill order says of each node, in words and figures. No DOM here, so that it is tested in Node.
import type { EscalationStep, Evidence, KillNode, KillTimeline } from '../../../protocol/api/orders.ts';
import { boundMs } from '../../../protocol/timing.ts';
import { plural, seconds, span } from '../words.ts';

/** A node that is not there for hours must not press all the others' bars to nothing. */
const openBarMs = 2 * boundMs;

/** How a node came to count as stopped, as a badge and as a sentence. */
export const evidenceWords: Record<Evidence, { short: string; long: string }> = {
  receipt: { short: 'receipt', long: 'the node says so itself, signed' },
  silence: { short: 'silence past the bound', long: 'not heard for so long that its permits have run out' },
  ssh: { short: 'SSH', long: 'the controller emptied its control groups' },
  power: { short: 'power', long: 'its power is off' },
};

export interface TimelineRow {
  mac: string;
  name: string;
  evidence: Evidence | null;
  /** Shares of the scale, 0 to 1: where the permit left, and where the evidence (or, without one, the present) is. */
  sent: number;
  end: number;
  late: boolean;
  /** `143 ms`, or `not acknowledged`. */
  figure: string;
  words: string;
  escalation: string[];
}

export interface TimelineView {
  rows: TimelineRow[];
  /** What the whole width of a bar stands for, ms. */
  scaleMs: number;
  /** Where the bound is on it, 0 to 1; undefined where it is beyond. */
  bound: number | undefined;
  /** What stands below the bars: no two of them in one place. */
  ticks: Tick[];
}

export interface Tick {
  words: string;
  /** 0 to 1 */
  at: number;
  isBound: boolean;
}

/** Nodes without evidence on top, then the slowest. `now` by the controller's clock, as far as the page knows it. */
export function timelineView(order: KillTimeline, now: number): TimelineView {
  const openMs = Math.min(openBarMs, Math.max(0, (order.liftedAt ?? now) - order.at));
  const endOf = ({ evidenceAfterMs }: KillNode) => evidenceAfterMs ?? openMs;
  const scaleMs = roundUp(Math.max(50, ...order.timeline.map(endOf)));
  const sorted = order.timeline.toSorted(
    (a, b) => (b.evidenceAfterMs ?? Infinity) - (a.evidenceAfterMs ?? Infinity) || (a.name < b.name ? -1 : 1),
  );
  return {
    scaleMs,
    bound: boundMs <= scaleMs ? boundMs / scaleMs : undefined,
    ticks: ticksOf(scaleMs),
    rows: sorted.map((node) => ({
      mac: node.mac,
      name: node.name,
      evidence: node.evidence,
      sent: Math.min(node.sentAfterMs ?? 0, endOf(node)) / scaleMs,
      end: endOf(node) / scaleMs,
      late: endOf(node) > boundMs,
      figure: node.evidenceAfterMs === null ? 'not acknowledged' : span(node.evidenceAfterMs),
      words: wordsOf(node),
      escalation: node.escalation.map(stepWords),
    })),
  };
}

/** A word this near to another, as a share of a phone's width, would be written over it. */
const tickRoom = 0.16;

/** The bound goes before the ends of the scale, which say nothing that it does not. */
function ticksOf(scaleMs: number): Tick[] {
  const ends = [
    { words: '0', at: 0, isBound: false },
    { words: span(scaleMs), at: 1, isBound: false },
  ];
  if (boundMs > scaleMs) return ends;
  const bound = { words: `bound ${seconds(boundMs)}`, at: boundMs / scaleMs, isBound: true };
  return [...ends.filter(({ at }) => Math.abs(at - bound.at) >= tickRoom), bound].toSorted((a, b) => a.at - b.at);
}

function wordsOf({ evidence, sentAfterMs, stoppedAfterMs, evidenceAfterMs, processes }: KillNode): string {
  return [
    sentAfterMs === null ? 'no permit could be sent' : `permit sent after ${span(sentAfterMs)}`,
    ...(stoppedAfterMs === null ? [] : [`stopped within ${span(stoppedAfterMs)} of it, ${processWords(processes)}`]),
    evidenceAfterMs === null || evidence === null
      ? 'nothing proves yet that it has stopped'
      : `${evidence === 'receipt' ? 'acknowledged' : 'counted as stopped'} after ${span(evidenceAfterMs)}: ${evidenceWords[evidence].long}`,
  ].join(' · ');
}

function processWords(count: number): string {
  return count === 1 ? '1 process' : `${count.toLocaleString('en-GB')} processes`;
}

const outcomes = { tried: 'tried', stopped: 'stopped it', failed: 'failed' } as const;

function stepWords({ afterMs, by, outcome, detail }: EscalationStep): string {
  const way = by === 'ssh' ? 'by SSH' : 'by its power';
  return `after ${span(afterMs)}, ${way}: ${outcomes[outcome]}${detail === '' ? '' : ` (${detail})`}`;
}

/** To 1, 2 or 5 times a power of ten. */
function roundUp(ms: number): number {
  const power = 10 ** Math.floor(Math.log10(ms));
  return [1, 2, 5, 10].map((step) => step * power).find((step) => step >= ms) ?? ms;
}

/** `all 684 nodes, half of them within 97 ms, the slowest 398 ms` */
export function summaryWords(order: KillTimeline): string {
  if (order.nodes === 0) return 'No node was running it.';
  const times = order.timeline.flatMap(({ evidenceAfterMs }) => evidenceAfterMs ?? []).toSorted((a, b) => a - b);
  const median = times[Math.ceil(times.length / 2) - 1];
  const slowest = times.at(-1);
  const stopped = `${order.stopped}/${plural(order.nodes, 'node')} stopped`;
  if (median === undefined || slowest === undefined) return stopped;
  return `${stopped}, half of them within ${span(median)}, the slowest ${span(slowest)}`;
}
