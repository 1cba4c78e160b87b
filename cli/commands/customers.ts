import type { Customer, CustomerSpec } from '../../protocol/api/customers.ts';
import { checkedName } from '../arguments/argument.ts';
import { UsageError, type Command } from '../command.ts';
import { sizeText } from '../print/figures.ts';
import { countOption, sizeOption } from '../arguments/limits.ts';
import { printDone, printList } from '../print/print.ts';

export const customerCommands: Command[] = [
  {
    words: ['customers'],
    usage: '',
    summary: 'list the customers',
    run: async (context) => {
      const { customers } = await context.api.ask<{ customers: Customer[] }>({ path: '/v1/customers' });
      printList(context, {
        name: 'customers',
        rows: customers,
        none: 'there are no customers yet: muster customer add NAME',
        columns: [
          { heading: 'NAME', value: ({ name }) => name },
          {
            heading: 'STATE',
            value: ({ killedBy }) => (killedBy === null ? 'may run' : `stopped by order ${killedBy}`),
            tone: ({ killedBy }) => (killedBy === null ? undefined : 'bad'),
          },
          { heading: 'RUNNING', right: true, value: ({ running, instances }) => `${running}/${instances}` },
          { heading: 'WORKLOADS', right: true, value: ({ workloads }) => String(workloads) },
          { heading: 'MEMORY A NODE', right: true, value: ({ memoryBytes }) => sizeText(memoryBytes), yields: 2 },
          { heading: 'PROCESSES A NODE', right: true, value: ({ processes }) => String(processes), yields: 1 },
          { heading: 'ON SILENCE', value: ({ onSilence }) => (onSilence === 'hold' ? 'hold (no bound)' : 'stop') },
        ],
      });
    },
  },
  {
    words: ['customer', 'add'],
    usage: 'NAME',
    summary: 'add a customer',
    details: `A customer's name is 1 to 12 of a-z, 0-9 and _, and starts with a letter.
With --on-silence hold its containers go on when their node hears no controller: a kill may then come late.`,
    takes: [1, 1],
    options: {
      'on-silence': {
        type: 'string',
        value: 'stop|hold',
        help: 'what a node that hears no controller does (default stop)',
      },
      memory: { type: 'string', value: 'SIZE', help: 'most memory on one node (default 768M)' },
      processes: { type: 'string', value: 'N', help: 'most processes on one node (default 512)' },
    },
    run: async (context, call) => {
      const name = checkedName('customer', call.positionals[0]);
      const onSilence = call.text('on-silence');
      if (onSilence !== undefined && onSilence !== 'stop' && onSilence !== 'hold') {
        throw new UsageError(`--on-silence is ${JSON.stringify(onSilence)}, want stop or hold`);
      }
      const memoryBytes = sizeOption(call, { name: 'memory', from: 16 * 2 ** 20, to: 2 ** 40 });
      const processes = countOption(call, { name: 'processes', from: 8, to: 32_768 });
      const body: CustomerSpec = {
        name,
        ...(onSilence === undefined ? {} : { onSilence }),
        ...(memoryBytes === undefined ? {} : { memoryBytes }),
        ...(processes === undefined ? {} : { processes }),
      };
      const customer = await context.api.ask<Customer>({ method: 'POST', path: '/v1/customers', body });
      const limits = `${sizeText(customer.memoryBytes)} and ${customer.processes} processes a node`;
      printDone(context, { json: customer, text: `customer ${customer.name} is there: ${limits}` });
    },
  },
  {
    words: ['customer', 'remove'],
    also: ['customer', 'rm'],
    usage: 'NAME',
    summary: 'remove a customer that has no workloads',
    takes: [1, 1],
    run: async (context, call) => {
      const name = checkedName('customer', call.positionals[0]);
      await context.api.ask({ method: 'DELETE', path: `/v1/customers/${encodeURIComponent(name)}` });
      printDone(context, { json: { removed: name }, text: `customer ${name} is removed` });
    },
  },
];
