// What runs, what it says, and its end.
import type { Customer } from '../../protocol/api/customers.ts';
import type { Instance } from '../../protocol/api/instances.ts';
import type { LogLine, LogPage } from '../../protocol/api/logs.ts';
import type { Workload } from '../../protocol/api/workloads.ts';
import { checkedName, checkedWorkload, workloadPath, type WorkloadName } from '../arguments/argument.ts';
import { FailedError, type Call, type Command, type Context } from '../command.ts';
import { durationText, timeText } from '../print/figures.ts';
import { countOption } from '../arguments/limits.ts';
import { askPatiently } from '../api/patience.ts';
import { printDone, printJson, printList } from '../print/print.ts';
import type { Tone } from '../print/screen.ts';
import { holdNote } from '../print/silence.ts';
import { printable, printableJson } from '../../protocol/printable.ts';

interface Workloads {
  workloads: Workload[];
}
interface Instances {
  instances: Instance[];
}

export const workloadCommands: Command[] = [
  {
    words: ['ps'],
    usage: '[CUSTOMER]',
    summary: 'list what runs, and where',
    takes: [0, 1],
    run: async (context, call) => {
      const [given] = call.positionals;
      const customer = given === undefined ? undefined : checkedName('customer', given);
      const { instances } = await context.api.ask<Instances>({ path: '/v1/instances', query: { customer } });
      const all = (await context.api.ask<Workloads>({ path: '/v1/workloads' })).workloads;
      const workloads = all.filter((workload) => customer === undefined || workload.customer === customer);
      if (customer !== undefined && workloads.length === 0) await mustBeCustomer(context, customer);
      if (context.json) return printJson(context, { workloads, instances });
      const none = workloads.length === 0 ? 'nothing is deployed' : 'no instance is placed';
      printList(context, {
        name: 'instances',
        rows: instances,
        none: customer === undefined ? none : `${none} for ${customer}`,
        columns: [
          { heading: 'INSTANCE', value: ({ id }) => id, yields: 3 },
          { heading: 'WORKLOAD', value: (instance) => `${instance.customer}/${instance.workload}` },
          { heading: 'NODE', value: ({ nodeName }) => nodeName },
          {
            heading: 'STATE',
            value: stateText,
            tone: (instance) => (isUnready(instance) ? 'warning' : stateTones[instance.state]),
          },
          { heading: 'FOR', right: true, value: ({ since }) => durationText(context.now() - since), yields: 2 },
          { heading: 'RESTARTS', right: true, value: ({ restarts }) => String(restarts), yields: 1 },
          { heading: 'ENDPOINT', value: ({ endpoint }) => endpoint ?? '-', yields: 4 },
          { heading: 'REASON', value: (instance) => reasonText(instance), yields: 5, cut: true },
        ],
      });
      for (const { customer: owner, name, problem, ready, replicas } of workloads) {
        if (problem !== '') context.output.out(`${owner}/${name} (${ready}/${replicas}): ${printable(problem)}\n`);
      }
      const holding = workloads.flatMap(({ customer: owner, onSilence }) => (onSilence === 'hold' ? [owner] : []));
      context.output.out(holdNote([...new Set(holding)]));
      return undefined;
    },
  },
  {
    words: ['logs'],
    usage: 'CUSTOMER/NAME',
    summary: 'show what a workload said',
    takes: [1, 1],
    options: {
      tail: { type: 'string', value: 'N', help: 'the last N lines (default 100)' },
      follow: { type: 'boolean', help: 'go on with what it says from now, until Ctrl-C' },
      instance: { type: 'string', value: 'ID', help: 'of one instance only' },
    },
    run: logs,
  },
  {
    words: ['rm'],
    also: ['remove'],
    usage: 'CUSTOMER/NAME',
    summary: 'stop a workload and forget it',
    takes: [1, 1],
    run: async (context, call) => {
      const workload = checkedWorkload(call.positionals[0]);
      await context.api.ask({ method: 'DELETE', path: workloadPath(workload) });
      const id = `${workload.customer}/${workload.name}`;
      printDone(context, { json: { removed: id }, text: `${id} is removed; its instances are being stopped` });
    },
  },
];

function isUnready({ state, ready }: Instance): boolean {
  return state === 'running' && !ready;
}

/** What runs and is not ready gets no traffic: that is what an operator looks for. */
function stateText(instance: Instance): string {
  return isUnready(instance) ? 'not ready' : instance.state;
}

function reasonText(instance: Instance): string {
  return (isUnready(instance) ? instance.reason.replace(/^not ready: /, '') : instance.reason).slice(0, 80);
}

async function mustBeCustomer({ api }: Context, name: string): Promise<void> {
  const { customers } = await api.ask<{ customers: Customer[] }>({ path: '/v1/customers' });
  if (customers.some((customer) => customer.name === name)) return;
  throw new FailedError(`there is no customer ${name} (muster customers lists them)`, { code: 'not-found' });
}

const stateTones: Partial<Record<Instance['state'], Tone>> = {
  running: 'good',
  failed: 'bad',
  exited: 'warning',
  stopped: 'warning',
};

/** The controller answers with a megabyte at most: older lines are asked for until all that are wanted are there. */
async function lastLines(
  { api }: Context,
  { path, tail, instance }: { path: string; tail: number; instance: string | undefined },
): Promise<LogLine[]> {
  const pages: LogLine[][] = [];
  let left = tail;
  for (let before: string | undefined; left > 0;) {
    const query = { tail: String(left), instance, before };
    const page = await api.ask<LogPage>({ path, query });
    pages.unshift(page.lines);
    left -= page.lines.length;
    if (page.before === null) break;
    before = String(page.before);
  }
  return pages.flat();
}

async function logs(context: Context, call: Call): Promise<void> {
  const workload = checkedWorkload(call.positionals[0]);
  const given = call.text('instance');
  const instance = given === undefined ? undefined : checkedName('instance', given);
  const path = `${workloadPath(workload)}/logs`;
  const lines = await lastLines(context, {
    path,
    tail: countOption(call, { name: 'tail', from: 1, to: 999_999_999 }) ?? 100,
    instance,
  });
  const follow = call.flag('follow');
  const show = (line: LogLine): void => {
    if (context.json) context.output.out(`${printableJson(JSON.stringify(line))}\n`);
    else
      context.output.out(
        `${timeText(line.at)} ${line.instance} ${line.stream === 'stdout' ? '' : `${line.stream}: `}${printable(line.text)}\n`,
      );
  };
  if (context.json && !follow) return printJson(context, { lines });
  lines.forEach(show);
  if (lines.length === 0 && !context.json)
    context.output.err(`${await silenceText(context, { ...workload, instance })}\n`);
  if (!follow) return undefined;
  const fresh = newLines();
  fresh(lines);
  for (;;) {
    await context.sleep(500);
    const query = { tail: '1000', instance };
    const next = await askPatiently(context, {
      ask: () => context.api.ask<LogPage>({ path, query }),
      tell: (text) => context.output.err(`${text}\n`),
    });
    fresh(next.lines).forEach(show);
  }
}

/** Why there is no line: an instance that is gone, or never was, says nothing. */
async function silenceText(
  { api }: Context,
  { customer, name, instance: id }: WorkloadName & { instance: string | undefined },
): Promise<string> {
  const { instances } = await api.ask<Instances>({ path: '/v1/instances', query: { customer } });
  const own = instances.filter(({ workload }) => workload === name);
  if (id !== undefined && !own.some((instance) => instance.id === id))
    return `${customer}/${name} has no instance ${id} now, and none of that id has said anything (muster ps ${customer})`;
  return `${id ?? `${customer}/${name}`} has said nothing yet`;
}

/** Gives those lines of each answer that were in none before; lines of one instance come in order. */
export function newLines(): (lines: readonly LogLine[]) => LogLine[] {
  const last = new Map<string, { at: number; seen: number }>();
  return (lines) => {
    const counts = new Map<string, number>();
    return lines.filter(({ instance, at }) => {
      const before = last.get(instance);
      if (before !== undefined && at < before.at) return false;
      const key = `${instance} ${at}`;
      const nth = (counts.get(key) ?? 0) + 1;
      counts.set(key, nth);
      if (before?.at === at && nth <= before.seen) return false;
      last.set(instance, { at, seen: nth });
      return true;
    });
  };
}
