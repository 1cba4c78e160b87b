import type { Status } from '../../protocol/api/status.ts';
import { printable } from '../../protocol/printable.ts';
import type { Command } from '../command.ts';
import { figuresText, outcomeText } from './drill.ts';
import { durationText } from '../print/figures.ts';
import { printJson } from '../print/print.ts';
import type { Tone } from '../print/screen.ts';

const rule: [string, string] = ['rule', 'lifting, and stopping everything, need two operators'];

export const statusCommands: Command[] = [
  {
    words: ['status'],
    usage: '',
    summary: 'show how the rack is doing',
    run: async (context) => {
      const status = await context.api.ask<Status>({ path: '/v1/status' });
      if (context.json) return printJson(context, status);
      const states = Object.entries(status.nodes).filter(([, count]) => count > 0);
      const nodes = states.map(([state, count]) => `${count} ${state}`).join(', ');
      const { standingOrders: orders } = status;
      const lines: [label: string, value: string, tone?: Tone | undefined][] = [
        ['rack', status.rack],
        ['nodes', nodes === '' ? 'none seen yet' : nodes],
        ['customers', String(status.customers)],
        ['instances', `${status.running} of ${status.instances} running`],
        [
          'orders',
          orders === 0
            ? 'no kill order stands'
            : `${orders} kill order${orders === 1 ? ' stands' : 's stand'} (muster kills)`,
          orders === 0 ? undefined : 'bad',
        ],
        ['last drill', drillText(status, context.now())],
        ...(status.twoPersonRule ? [rule] : []),
        ...(status.otherServers ?? []).map(({ address, kind }): [string, string, Tone] => [
          'warning',
          `another ${kind === 'muster' ? 'Muster controller' : 'DHCP server'} answers on this segment: ${address}`,
          'warning',
        ]),
        [
          'controller',
          `${status.version} at ${context.api.url}, up for ${durationText(context.now() - status.startedAt)}`,
        ],
        ...status.problems.map((problem): [string, string, Tone] => ['PROBLEM', printable(problem), 'bad']),
      ];
      context.output.out(lines.map(([label, value, tone]) => ({ text: `${label.padEnd(10)}  ${value}\n`, tone })));
      return undefined;
    },
  },
];

function drillText({ lastDrill: drill }: Status, now: number): string {
  if (drill === null) return 'none yet (muster drill)';
  const ago = durationText(now - (drill.endedAt ?? drill.startedAt));
  return `${outcomeText(drill)} ${ago} ago: ${figuresText(drill)} (muster drill show ${drill.number})`;
}
