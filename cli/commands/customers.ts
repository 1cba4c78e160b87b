import { Type } from 'typebox';
import { Customer, type CustomerSpec } from '../../protocol/api/customers.ts';
import { Nothing } from '../api.ts';
import { UsageError, type Command } from '../command.ts';
import { sizeText } from '../figures.ts';
import { countOption, sizeOption } from '../limits.ts';
import { printDone, printList } from '../print.ts';

export const customerCommands: Command[] = [
  {
    words: ['customers'],
    usage: '',
    summary: 'list the customers',
    run: async (context, call) => {
      const answer = Type.Object({ customers: Type.Array(Customer) });
      const { customers } = await context.api.ask({ path: '/v1/customers', answer });
      printList(context, call, {
        name: 'customers',
        rows: customers,
        none: 'there are no customers yet: muster customer add NAME',
        columns: [
          { heading: 'NAME', value: ({ name }) => name },
          {
            heading: 'STATE',
            value: ({ killedBy }) => (killedBy === null ? 'may run' : `stopped by order ${killedBy}`),
          },
          { heading: 'RUNNING', right: true, value: ({ running, instances }) => `${running}/${instances}` },
          { heading: 'WORKLOADS', right: true, value: ({ workloads }) => String(workloads) },
          { heading: 'MEMORY A NODE', right: true, value: ({ memoryBytes }) => sizeText(memoryBytes) },
          { heading: 'PROCESSES A NODE', right: true, value: ({ processes }) => String(processes) },
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
With --on-silence hold its containers go on when their board hears no controller: a kill may then come late.`,
    takes: [1, 1],
    options: {
      'on-silence': {
        type: 'string',
        value: 'stop|hold',
        help: 'what a board that hears no controller does (default stop)',
      },
      memory: { type: 'string', value: 'SIZE', help: 'most memory on one board (default 768M)' },
      processes: { type: 'string', value: 'N', help: 'most processes on one board (default 512)' },
    },
    run: async (context, call) => {
      const [name = ''] = call.positionals;
      const onSilence = call.text('on-silence');
      if (onSilence !== undefined && onSilence !== 'stop' && onSilence !== 'hold') {
        throw new UsageError(`--on-silence is ${JSON.stringify(onSilence)}, want stop or hold`);
      }
      const memoryBytes = sizeOption(call, 'memory');
      const processes = countOption(call, 'processes');
      const body: CustomerSpec = {
        name,
        ...(onSilence === undefined ? {} : { onSilence }),
        ...(memoryBytes === undefined ? {} : { memoryBytes }),
        ...(processes === undefined ? {} : { processes }),
      };
      const customer = await context.api.ask({ method: 'POST', path: '/v1/customers', body, answer: Customer });
      const limits = `${sizeText(customer.memoryBytes)} and ${customer.processes} processes a board`;
      printDone(context, call, { json: customer, text: `customer ${customer.name} is there: ${limits}` });
    },
  },
  {
    words: ['customer', 'remove'],
    usage: 'NAME',
    summary: 'remove a customer that has no workloads',
    takes: [1, 1],
    run: async (context, call) => {
      const [name = ''] = call.positionals;
      await context.api.ask({ method: 'DELETE', path: `/v1/customers/${encodeURIComponent(name)}`, answer: Nothing });
      printDone(context, call, { json: { removed: name }, text: `customer ${name} is removed` });
    },
  },
];
