// The report on a kill order as a page for a printer. Pure.
import { killReport, type KillReportFacts } from '../protocol/records/kill-report.ts';
import { escaped } from './html.ts';

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
<h2>Nodes, unacknowledged and slowest first</h2>
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
