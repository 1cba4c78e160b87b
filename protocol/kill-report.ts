// The printable report on a kill order: the same facts, words and rows on paper, in the browser and in a terminal. Pure.
import type { KillNode, KillTimeline } from './api/orders.ts';
import { printable } from './printable.ts';
import { boundMs, killWorkMs, leashSweepMs, marginMs, permitValidityMs, resetMs } from './timing.ts';

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
  /** The promise was kept: everybody confirmed, and nobody too late. */
  kept: boolean;
  verdict: string;
  facts: [label: string, value: string][];
  headings: { text: string; right: boolean }[];
  /** Unconfirmed nodes first, then the slowest. */
  rows: string[][];
  /** What each kind of evidence means. */
  legend: [word: string, meaning: string][];
  notes: string[];
}

/** Unconfirmed nodes on top, then the slowest first. */
export function slowestFirst(timeline: readonly KillNode[]): KillNode[] {
  return timeline.toSorted(
    (a, b) => (b.confirmedAfterMs ?? Infinity) - (a.confirmedAfterMs ?? Infinity) || (a.name < b.name ? -1 : 1),
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

export function killReport({ order, rack, audit, at }: KillReportFacts): KillReport {
  const { number, scope, timeline, holding } = order;
  const who = scope === '*' ? 'everything' : `customer ${scope}`;
  const times = timeline.flatMap(({ confirmedAfterMs }) => confirmedAfterMs ?? []);
  const late = times.filter((ms) => ms > boundMs).length;
  const unconfirmed = timeline.length - times.length;
  const kept = late === 0 && unconfirmed === 0;
  const counted = new Map<string, number>();
  for (const { evidence } of timeline) counted.set(evidence ?? 'none', (counted.get(evidence ?? 'none') ?? 0) + 1);
  const figure = (share: number) => {
    const ms = quantile(times, share);
    return ms === undefined ? '-' : msText(ms);
  };
  return {
    title: `Kill order ${number}: ${who}`,
    kept,
    verdict:
      timeline.length === 0
        ? 'No node had to stop it.'
        : kept
          ? `All ${timeline.length} nodes have stopped it, none later than ${msText(boundMs)}.`
          : `${unconfirmed} of ${timeline.length} nodes have not confirmed; ${late} confirmed later than ${msText(boundMs)}.`,
    facts: [
      ['rack', rack],
      ['stopped', who],
      ['given', `${instantText(order.at)} by ${order.by}`],
      ['reason', order.reason],
      [
        'state',
        order.liftedAt === null
          ? 'stands'
          : `lifted ${instantText(order.liftedAt)}${order.liftedBy === null ? '' : ` by ${order.liftedBy}`}`,
      ],
      ['nodes', `${timeline.length} had to stop it, ${times.length} have`],
      ['confirmed after', `median ${figure(0.5)}, 99 % within ${figure(0.99)}, slowest ${figure(1)}`],
      ['evidence', [...counted].map(([word, count]) => `${count} ${word}`).join(', ') || '-'],
      [
        'audit log',
        audit === null ? 'cannot be read, or is empty' : `${audit.sequence} entries, the last with hash ${audit.hash}`,
      ],
      ['printed', instantText(at)],
    ],
    headings: [
      { text: 'node', right: false },
      { text: 'MAC', right: false },
      { text: 'sent', right: true },
      { text: 'stopped in', right: true },
      { text: 'confirmed', right: true },
      { text: 'evidence', right: false },
      { text: 'processes', right: true },
      { text: 'escalation', right: false },
    ],
    rows: slowestFirst(timeline).map((node) => [
      node.name,
      node.mac,
      orNone(node.sentAfterMs),
      orNone(node.stoppedAfterMs),
      orNone(node.confirmedAfterMs),
      node.evidence ?? 'UNCONFIRMED',
      String(node.processes),
      escalationText(node),
    ]),
    legend: [
      ['sent', 'from the stored order until the first permit without the customer left for the node'],
      ['stopped in', 'by the node: from that permit until nothing of the customer was left'],
      ['confirmed', 'from the stored order until the evidence was there'],
      ['receipt', 'the node says so, signed with the key of its session; the signed datagram is in the audit log'],
      ['silence', 'the node was not heard for so long that its permits have run out'],
      ['ssh', 'the controller emptied the control groups itself'],
      ['power', 'the power of the node is off'],
    ],
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

/** The one style of a report, inline: whoever shows a report allows this one by its hash. */
export const reportStyle = `
body { font: 14px/1.45 system-ui, sans-serif; color: #111; background: #fff; max-width: 70em; margin: 2em auto; padding: 0 1em }
h1 { font-size: 1.5em; margin: 0 0 .3em }
h2 { font-size: 1.1em; margin: 1.6em 0 .4em }
.verdict { font-size: 1.15em; font-weight: 600; padding: .5em .8em; border: 2px solid #1a7f37 }
.verdict.no { border-color: #b00020 }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .15em 1.2em }
dt { color: #555 }
dd { margin: 0; overflow-wrap: anywhere }
table { border-collapse: collapse; width: 100% }
th, td { text-align: left; vertical-align: top; padding: .2em .6em; border-bottom: 1px solid #ccc }
td { overflow-wrap: anywhere }
.r { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap }
@page { margin: 15mm }
@media print {
  body { font-size: 9pt; margin: 0; padding: 0; max-width: none }
  thead { display: table-header-group }
  tr, dl, .verdict { break-inside: avoid }
}
`;

/** Self-contained: no script, no image, nothing to fetch. Everything that came from outside is escaped. */
export function killReportHtml(facts: KillReportFacts): string {
  const { title, kept, verdict, facts: list, headings, rows, legend, notes } = killReport(facts);
  const side = (at: number) => (headings[at]?.right === true ? ' class="r"' : '');
  const pairs = (of: [string, string][]) =>
    of.map(([term, text]) => `<dt>${escaped(term)}</dt><dd>${escaped(text)}</dd>`).join('\n');
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>${escaped(title)}</title>
<style>${reportStyle}</style>
<h1>${escaped(title)}</h1>
<p class="verdict${kept ? '' : ' no'}">${escaped(verdict)}</p>
<dl>
${pairs(list)}
</dl>
<h2>Nodes, unconfirmed and slowest first</h2>
<table>
<thead><tr>${headings.map(({ text }, at) => `<th${side(at)}>${escaped(text)}</th>`).join('')}</tr></thead>
<tbody>
${rows.map((row) => `<tr>${row.map((cell, at) => `<td${side(at)}>${escaped(cell)}</td>`).join('')}</tr>`).join('\n')}
</tbody>
</table>
<h2>What the words mean</h2>
<dl>
${pairs(legend)}
</dl>
${notes.map((note) => `<p>${escaped(note)}</p>`).join('\n')}
</html>
`;
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

const entities: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };

function escaped(text: string): string {
  return printable(text).replace(/[&<>"']/g, (character) => entities[character] ?? '');
}
