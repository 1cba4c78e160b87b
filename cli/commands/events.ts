import { Type } from 'typebox';
import { Event } from '../../protocol/api/events.ts';
import type { Call, Command, Context } from '../command.ts';
import { timeText } from '../figures.ts';
import { countOption } from '../limits.ts';
import { printJson } from '../print.ts';
import { printable, printableJson } from '../../protocol/printable.ts';

const Events = Type.Object({ events: Type.Array(Event) });

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
        help: 'about one MAC, customer, CUSTOMER/NAME, instance or order only',
      },
      limit: { type: 'string', value: 'N', help: 'the last N (default 50)' },
    },
    run: events,
  },
];

async function events(context: Context, call: Call): Promise<void> {
  const subject = call.text('subject');
  const limit = String(countOption(call, 'limit') ?? 50);
  const follow = call.flag('follow');
  const first = await context.api.ask({ path: '/v1/events', query: { subject, limit }, answer: Events });
  if (call.json && !follow) return printJson(context, first);
  if (first.events.length === 0 && !follow) context.output.out('nothing has happened yet\n');
  first.events.forEach((event) => show(context, call, event));
  if (!follow) return undefined;
  let after = first.events.at(-1)?.id ?? 0;
  for (;;) {
    await context.sleep(500);
    const next = await context.api.ask({
      path: '/v1/events',
      query: { subject, limit: '1000', after: String(after) },
      answer: Events,
    });
    next.events.forEach((event) => show(context, call, event));
    after = next.events.at(-1)?.id ?? after;
  }
}

function show({ output }: Context, call: Call, event: Event): void {
  if (call.json) output.out(`${printableJson(JSON.stringify(event))}\n`);
  else
    output.out(
      `${timeText(event.at)} ${event.kind.padEnd(10)} ${printable(event.subject)}: ${printable(event.message)}\n`,
    );
}
