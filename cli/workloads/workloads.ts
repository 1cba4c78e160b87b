// What runs, and its end.
import type { Customer } from '../../protocol/api/customers.ts';
import type { Instance } from '../../protocol/api/instances.ts';
import type { Workload } from '../../protocol/api/workloads.ts';
import { checkedName, checkedWorkload, workloadPath } from '../arguments/argument.ts';
import { FailedError, type Command, type Context } from '../command.ts';
import { durationText } from '../print/figures.ts';
import { printDone, printJson, printList } from '../print/print.ts';
import type { Tone } from '../print/screen.ts';
import { holdNote } from '../print/silence.ts';
import { printable } from '../../protocol/printable.ts';

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

async function mustBeCustomer({ api }: Context, name: string): Promise<void> {
  const { customers } = await api.ask<{ customers: Customer[] }>({ path: '/v1/customers' });
  if (customers.some((customer) => customer.name === name)) return;
  throw new FailedError(`there is no customer ${name} (muster customers lists them)`, { code: 'not-found' });
}

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

const stateTones: Partial<Record<Instance['state'], Tone>> = {
  running: 'good',
  failed: 'bad',
  exited: 'warning',
  stopped: 'warning',
};
