// What the instances of a workload say, mixed as it came.
import type { Instance } from '../../protocol/api/instances.ts';
import type { LogLine, LogPage } from '../../protocol/api/logs.ts';
import { printable, printableJson } from '../../protocol/printable.ts';
import { askPatiently } from '../api/patience.ts';
import { checkedName, checkedWorkload, workloadPath, type WorkloadName } from '../arguments/argument.ts';
import { countOption, durationOption } from '../arguments/limits.ts';
import type { Call, Command, Context } from '../command.ts';
import { timeText } from '../print/figures.ts';
import { printJson } from '../print/print.ts';
import { members, type Part, type Tone } from '../print/screen.ts';

export const logCommands: Command[] = [
  {
    words: ['logs'],
    usage: 'CUSTOMER/NAME',
    summary: 'show what a workload said, all of its instances together',
    details: `On a terminal each instance has a colour of its own. With --since and without --tail it is all since then.`,
    takes: [1, 1],
    options: {
      tail: { type: 'string', value: 'N', help: 'the last N lines (default 100)' },
      since: { type: 'string', value: 'DURATION', help: 'not older than that, as 90s, 5m or 2h' },
      follow: { type: 'boolean', short: 'f', help: 'go on with what it says from now, until Ctrl-C' },
      instance: { type: 'string', value: 'ID', help: 'of one instance only' },
    },
    run: logs,
  },
];

interface Wanted {
  path: string;
  instance: string | undefined;
  /** The last so many lines. */
  tail: number;
  since?: string | undefined;
  after?: string | undefined;
}

const mostLines = 999_999_999;
const pauseMs = 500;

async function logs(context: Context, call: Call): Promise<void> {
  const workload = checkedWorkload(call.positionals[0]);
  const given = call.text('instance');
  const instance = given === undefined ? undefined : checkedName('instance', given);
  const path = `${workloadPath(workload)}/logs`;
  const ageMs = durationOption(call, 'since');
  const since = ageMs === undefined ? undefined : String(Math.max(0, context.now() - ageMs));
  const tail = countOption(call, { name: 'tail', from: 1, to: mostLines }) ?? (since === undefined ? 100 : mostLines);
  const { lines, last } = await linesOf(context, { path, instance, tail, since });
  const follow = call.flag('follow');
  if (context.json && !follow) return printJson(context, { lines });
  const show = lineShower(context);
  lines.forEach(show);
  if (lines.length === 0 && !context.json)
    context.output.err(`${await silenceText(context, { ...workload, instance })}\n`);
  if (!follow) return undefined;
  for (let after = last; ;) {
    await context.sleep(pauseMs);
    const next = await askPatiently(context, {
      ask: () => linesOf(context, { path, instance, tail: mostLines, after: String(after) }),
      tell: (text) => context.output.err(`${text}\n`),
    });
    next.lines.forEach(show);
    after = next.last;
  }
}

/** The controller answers with a megabyte at most: older lines are asked for until all that are wanted are there. */
async function linesOf(
  { api }: Context,
  { path, tail, ...query }: Wanted,
): Promise<{ lines: LogLine[]; last: number }> {
  const { instance, since, after } = query;
  const pages: LogLine[][] = [];
  let last: number | undefined;
  let left = tail;
  for (let before: string | undefined; left > 0;) {
    const asked = { tail: String(left), instance, since, after, before };
    const page = await api.ask<LogPage>({ path, query: asked });
    pages.unshift(page.lines);
    left -= page.lines.length;
    last ??= page.last;
    if (page.before === null) break;
    before = String(page.before);
  }
  return { lines: pages.flat(), last: last ?? 0 };
}

/** The same instance has the same colour, as long as there are colours enough. */
function lineShower({ output, json }: Context): (line: LogLine) => void {
  const tones = new Map<string, Tone>();
  return (line) => {
    if (json) return output.out(`${printableJson(JSON.stringify(line))}\n`);
    const tone = tones.get(line.instance) ?? members[tones.size % members.length];
    if (tone !== undefined) tones.set(line.instance, tone);
    const parts: Part[] = [
      { text: `${timeText(line.at)} ` },
      { text: line.instance, tone },
      { text: ` ${line.stream === 'stdout' ? '' : `${line.stream}: `}${printable(line.text)}\n` },
    ];
    return output.out(parts);
  };
}

/** Why there is no line: an instance that is gone, or never was, says nothing. */
async function silenceText(
  { api }: Context,
  { customer, name, instance: id }: WorkloadName & { instance: string | undefined },
): Promise<string> {
  const { instances } = await api.ask<{ instances: Instance[] }>({ path: '/v1/instances', query: { customer } });
  const own = instances.filter(({ workload }) => workload === name);
  if (id !== undefined && !own.some((instance) => instance.id === id))
    return `${customer}/${name} has no instance ${id} now, and none of that id has said anything (muster ps ${customer})`;
  return `${id ?? `${customer}/${name}`} has said nothing yet`;
}
