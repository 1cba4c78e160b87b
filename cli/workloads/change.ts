// What was wanted before, and again; stopping without forgetting.
import type { ChangedWorkload, Revision, Workload } from '../../protocol/api/workloads.ts';
import { checkedCount, checkedWorkload, workloadPath } from '../arguments/argument.ts';
import type { Call, Command, Context } from '../command.ts';
import { timeText } from '../print/figures.ts';
import { printList } from '../print/print.ts';
import { afterChange, patched, tellChanges, waitOf, waitOptions } from './deploy.ts';
import { untilUnchanged } from './running.ts';

export const changeCommands: Command[] = [
  {
    words: ['history'],
    usage: 'CUSTOMER/NAME',
    summary: 'show how a workload was wanted, when, and by whom',
    details: 'Ten revisions are kept at most. Another number of instances, stopping and restarting are none.',
    takes: [1, 1],
    run: async (context, call) => {
      const path = `${workloadPath(checkedWorkload(call.positionals[0]))}/history`;
      const { revisions } = await context.api.ask<{ revisions: Revision[] }>({ path });
      printList(context, {
        name: 'revisions',
        rows: revisions,
        none: 'nothing was changed since histories are kept',
        columns: [
          { heading: 'REVISION', right: true, value: ({ revision }) => String(revision) },
          {
            heading: 'NOW',
            value: ({ current }) => (current ? 'wanted' : ''),
            tone: ({ current }) => (current ? 'good' : undefined),
          },
          { heading: 'AT (UTC)', value: ({ at }) => timeText(at), yields: 2 },
          { heading: 'BY', value: ({ by }) => by ?? '-', yields: 1 },
          { heading: 'IMAGE', value: ({ image, digest }) => `${image} (${digest.slice(0, 12)})`, yields: 3 },
          { heading: 'CHANGED', value: ({ changes }) => changes.join(', ') || '-', yields: 4, cut: true },
        ],
      });
    },
  },
  {
    words: ['rollback'],
    usage: 'CUSTOMER/NAME',
    summary: 'want a workload as it was before, and wait until it runs',
    details: `With the image as it was then, whatever its name stands for now. How many there are stays.
It becomes a new revision: a second rollback goes back to what the first one left.`,
    takes: [1, 1],
    options: {
      to: { type: 'string', value: 'N', help: 'that revision (muster history), and not the one before' },
      ...waitOptions,
    },
    run: (context, call) => {
      const to = call.text('to');
      const body = to === undefined ? {} : { to: checkedCount(to, { what: 'a revision', see: 'muster history' }) };
      return acted(context, { call, action: 'rollback', body });
    },
  },
  {
    words: ['restart'],
    usage: 'CUSTOMER/NAME',
    summary: 'replace all instances of a workload by new ones, one after the other',
    takes: [1, 1],
    options: waitOptions,
    run: (context, call) => acted(context, { call, action: 'restart' }),
  },
  {
    words: ['stop'],
    usage: 'CUSTOMER/NAME',
    summary: 'run none of a workload until it is started again; nothing of it is forgotten',
    details: 'In an emergency use muster kill: that is what the five seconds are about.',
    takes: [1, 1],
    options: waitOptions,
    run: (context, call) => stopOrStart(context, { call, stopped: true }),
  },
  {
    words: ['start'],
    usage: 'CUSTOMER/NAME',
    summary: 'run a workload again that was stopped, with as many instances as before',
    takes: [1, 1],
    options: waitOptions,
    run: (context, call) => stopOrStart(context, { call, stopped: false }),
  },
];

async function acted(
  context: Context,
  { call, action, body }: { call: Call; action: 'rollback' | 'restart'; body?: object },
): Promise<number> {
  const name = checkedWorkload(call.positionals[0]);
  const waiting = waitOf(call);
  const path = workloadPath(name);
  const { before, answer } = await untilUnchanged(`${name.customer}/${name.name}`, async () => {
    const found = await context.api.askTagged<Workload>({ path });
    const asked = { method: 'POST', path: `${path}/${action}`, body, ifMatch: found.etag } as const;
    return { before: found.answer, answer: await context.api.ask<ChangedWorkload>(asked) };
  });
  tellChanges(context, { before, answer, patch: {} });
  return afterChange(context, { answer, waiting });
}

async function stopOrStart(context: Context, { call, stopped }: { call: Call; stopped: boolean }): Promise<number> {
  const name = checkedWorkload(call.positionals[0]);
  const waiting = waitOf(call);
  const { before, answer } = await patched(context, { name, patch: { stopped } });
  tellChanges(context, { before, answer, patch: {} });
  return afterChange(context, { answer, waiting });
}
