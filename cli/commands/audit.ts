// The audit log: reading it, and checking it without trusting who keeps it.
import type { AuditEntry, AuditVerdict } from '../../protocol/api/audit.ts';
import { ChainCheck, chainStart } from '../../protocol/records/audit.ts';
import { sha256Pattern } from '../../protocol/names.ts';
import { UsageError, type Call, type Command, type Context } from '../command.ts';
import { timeText } from '../print/figures.ts';
import { countOption } from '../arguments/limits.ts';
import { printJson, printList } from '../print/print.ts';
import { printable } from '../../protocol/printable.ts';

interface Entries {
  entries: AuditEntry[];
}
const pageEntries = 500;
const verifyTimeoutMs = 10 * 60_000;

export const auditCommands: Command[] = [
  {
    words: ['audit'],
    usage: '[--limit N]',
    summary: 'show the newest entries of the audit log',
    options: { limit: { type: 'string', value: 'N', help: 'how many, at most 1000 (default 50)' } },
    run: list,
  },
  {
    words: ['audit', 'verify'],
    usage: '[--head HASH]',
    summary: 'check that nobody changed, dropped or inserted an entry of the audit log',
    details: `Fetches all entries, computes every hash again, and asks the controller to check the nodes' signatures and to
compare the log with its inventory. Ends with 1 and a sentence for each problem. Note the head that it prints somewhere
else: with --head, a log that does not contain that hash (any more) is refused, also one that was written anew.`,
    options: { head: { type: 'string', value: 'HASH', help: 'a hash that was noted earlier' } },
    run: verify,
  },
];

async function list(context: Context, call: Call): Promise<void> {
  const limit = String(countOption(call, { name: 'limit', from: 1, to: 1_000 }) ?? 50);
  const { entries } = await context.api.ask<Entries>({ path: '/v1/audit', query: { limit } });
  printList(context, {
    name: 'entries',
    rows: entries,
    none: 'the audit log is empty',
    columns: [
      { heading: 'ENTRY', right: true, value: ({ sequence }) => String(sequence) },
      { heading: 'AT (UTC)', value: ({ at }) => timeText(at) },
      { heading: 'KIND', value: ({ kind }) => kind },
      { heading: 'ABOUT', value: ({ subject }) => subject },
      { heading: 'HASH', value: ({ hash }) => hash.slice(0, 12), yields: 1 },
      { heading: 'SAYS', value: ({ body }) => brief(body), yields: 2, cut: true },
    ],
  });
}

async function verify(context: Context, call: Call): Promise<number> {
  const head = call.text('head')?.toLowerCase();
  if (head !== undefined && !new RegExp(sha256Pattern).test(head))
    throw new UsageError(`--head is ${JSON.stringify(head)}, want the 64 hex digits that an earlier check printed`);
  // First the controller's verdict: what is fetched afterwards has at least these entries.
  const verdict = await context.api.ask<AuditVerdict>({ path: '/v1/audit/verify', timeoutMs: verifyTimeoutMs });
  const chain = new ChainCheck();
  const problems: string[] = [];
  let holdsHead = head === undefined || head === chainStart;
  let holdsVerdict = verdict.head === chainStart;
  let last = 0;
  for (;;) {
    const query = { after: String(last), limit: String(pageEntries) };
    const { entries } = await context.api.ask<Entries>({ path: '/v1/audit', query });
    for (const entry of entries) {
      problems.push(...chain.add(entry));
      holdsHead ||= entry.hash === head;
      holdsVerdict ||= entry.hash === verdict.head;
    }
    const next = entries.at(-1)?.sequence ?? last;
    if (next <= last) break;
    last = next;
  }
  if (!holdsHead) problems.push(`no entry has the hash ${head ?? ''}: the log was cut off or written anew since`);
  if (!holdsVerdict)
    problems.push(`the controller checked a log with head ${verdict.head}, which it does not hand out`);
  const all = [...new Set([...problems, ...verdict.problems])];
  if (context.json) printJson(context, { ...verdict, entries: chain.entries, head: chain.head, problems: all });
  else {
    context.output.out(
      `${chain.entries} entries, ${verdict.receipts} signed receipts checked again${verdict.late === 0 ? '' : `, ${verdict.late} entries written late`}\nhead ${chain.head}\n`,
    );
    for (const problem of all) context.output.err(`${printable(problem)}\n`);
    context.output.out(all.length === 0 ? 'the log is whole\n' : `${all.length} problems\n`);
  }
  return all.length === 0 ? 0 : 1;
}

/** The body without what fills a screen: targets are counted, datagrams left out. */
function brief(body: string): string {
  try {
    const value: unknown = JSON.parse(body);
    if (typeof value !== 'object' || value === null) return body.slice(0, 100);
    return Object.entries(value)
      .filter(([name]) => !['session', 'datagram'].includes(name))
      .map(
        ([name, part]) =>
          `${name}=${Array.isArray(part) ? part.length : typeof part === 'string' ? part : JSON.stringify(part)}`,
      )
      .join(' ')
      .slice(0, 160);
  } catch {
    return body.slice(0, 100);
  }
}
