import type { Event } from '../../protocol/api/events.ts';
import type { Node } from '../../protocol/api/nodes.ts';
import type { Call, Command, Context } from '../command.ts';
import { timeText } from '../print/figures.ts';
import { countOption } from '../arguments/limits.ts';
import { nodeNamePattern } from '../../protocol/names.ts';
import { askPatiently } from '../api/patience.ts';
import { printJson } from '../print/print.ts';
import { printable, printableJson } from '../../protocol/printable.ts';

interface Events {
  events: Event[];
}

export const eventCommands: Command[] = [
  {
    words: ['events'],
    usage: '',
    summary: 'show what happened',
    options: {
      follow: { type: 'boolean', help: 'go on with what happens from now, until Ctrl-C' },
      subject: {
        type: 'string',
        value: 'WHAT',
        help: "about one node, customer, CUSTOMER/NAME, instance's id or order's number only",
      },
      limit: { type: 'string', value: 'N', help: 'the last N (default 50)' },
    },
    run: events,
  },
];

async function events(context: Context, call: Call): Promise<void> {
  const subject = await subjectOf(context, call);
  const limit = String(countOption(call, { name: 'limit', from: 1, to: 1_000 }) ?? 50);
  const follow = call.flag('follow');
  const first = await context.api.ask<Events>({ path: '/v1/events', query: { subject, limit } });
  if (context.json && !follow) return printJson(context, first);
  if (first.events.length === 0 && !follow)
    context.output.out(
      subject === undefined
        ? 'nothing has happened yet\n'
        : `no event is about ${JSON.stringify(call.text('subject'))}: want a node, a customer, CUSTOMER/NAME, an instance's id or an order's number\n`,
    );
  first.events.forEach((event) => show(context, event));
  if (!follow) return undefined;
  let after = first.events.at(-1)?.id ?? 0;
  for (;;) {
    await context.sleep(500);
    const query = { subject, limit: '1000', after: String(after) };
    const next = await askPatiently(context, {
      ask: () => context.api.ask<Events>({ path: '/v1/events', query }),
      tell: (text) => context.output.err(`${text}\n`),
    });
    next.events.forEach((event) => show(context, event));
    after = next.events.at(-1)?.id ?? after;
  }
}

/** Events tell of a node by its MAC address; people know its name. */
async function subjectOf({ api }: Context, call: Call): Promise<string | undefined> {
  const text = call.text('subject');
  if (text === undefined || !new RegExp(nodeNamePattern).test(text)) return text;
  const { nodes } = await api.ask<{ nodes: Node[] }>({ path: '/v1/nodes' });
  return nodes.find(({ name }) => name === text)?.mac ?? text;
}

function show({ output, json }: Context, event: Event): void {
  if (json) output.out(`${printableJson(JSON.stringify(event))}\n`);
  else
    output.out(
      `${timeText(event.at)} ${event.kind.padEnd(10)} ${printable(event.subject)}: ${printable(event.message)}\n`,
    );
}
