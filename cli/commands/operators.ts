// Operators, and the requests that wait for a second one's approval.
import type { Approval } from '../../protocol/api/approvals.ts';
import type { NewOperator, Operator, OperatorSpec } from '../../protocol/api/operators.ts';
import type { KillOrder } from '../../protocol/api/orders.ts';
import { checkedCount, checkedName } from '../arguments/argument.ts';
import { durationOption } from '../arguments/limits.ts';
import { UsageError, type Call, type Command, type Context } from '../command.ts';
import { durationText, timeText } from '../print/figures.ts';
import { follow, printLifted, who } from './kill.ts';
import { printDone, printList } from '../print/print.ts';

interface Approvals {
  approvals: Approval[];
}

export const operatorCommands: Command[] = [
  {
    words: ['approvals'],
    usage: '',
    summary: 'list the requests that wait for a second operator',
    run: async (context) => {
      const { approvals } = await context.api.ask<Approvals>({ path: '/v1/approvals' });
      printList(context, {
        name: 'approvals',
        rows: approvals,
        none: 'no request waits for a second operator',
        columns: [
          { heading: 'ID', right: true, value: ({ id }) => String(id) },
          { heading: 'WHAT', value: ({ action, scope }) => `${action === 'kill' ? 'stop' : 'lift'} ${who(scope)}` },
          { heading: 'ASKED BY', value: ({ by }) => by },
          { heading: 'AT (UTC)', value: ({ at }) => timeText(at) },
          { heading: 'EXPIRES IN', right: true, value: ({ expiresAt }) => durationText(expiresAt - context.now()) },
          { heading: 'REASON', value: ({ reason }) => reason.slice(0, 80), yields: 1, cut: true },
        ],
      });
    },
  },
  {
    words: ['approve'],
    usage: 'ID',
    summary: 'approve, as the second operator, what another one asked for',
    details: 'It takes effect at once: a kill is followed as by "muster kill".',
    takes: [1, 1],
    run: async (context, call) => {
      const id = idOf(call);
      const { approvals } = await context.api.ask<Approvals>({ path: '/v1/approvals' });
      const order = await context.api.ask<KillOrder>({ method: 'POST', path: `/v1/approvals/${id}` });
      // A lift that is not stored yet shows in the order by nothing else.
      const isLift = approvals.find((each) => each.id === id)?.action === 'lift' || order.liftedAt !== null;
      return isLift ? printLifted(context, order) : follow(context, order);
    },
  },
  {
    words: ['withdraw'],
    usage: 'ID',
    summary: 'take back a request that waits for a second operator',
    takes: [1, 1],
    run: async (context, call) => {
      const id = idOf(call);
      await context.api.ask({ method: 'DELETE', path: `/v1/approvals/${id}` });
      printDone(context, { json: { removed: id }, text: `request ${id} is withdrawn` });
    },
  },
  {
    words: ['operators'],
    usage: '',
    summary: 'list the operators: whoever has a token of one may ask and change',
    run: async (context) => {
      const { operators } = await context.api.ask<{ operators: Operator[] }>({ path: '/v1/operators' });
      printList(context, {
        name: 'operators',
        rows: operators,
        none: 'there are no operators',
        columns: [
          { heading: 'NAME', value: ({ name }) => name },
          { heading: 'ROLE', value: ({ role, customer }) => (customer === null ? role : `${role} of ${customer}`) },
          {
            heading: 'EXPIRES',
            value: ({ expiresAt }) => untilText(expiresAt, context.now()),
            tone: ({ expiresAt }) => (expiresAt !== null && expiresAt <= context.now() ? 'warning' : undefined),
          },
          { heading: 'SINCE (UTC)', value: ({ createdAt }) => timeText(createdAt) },
        ],
      });
    },
  },
  {
    words: ['operator', 'add'],
    usage: 'NAME',
    summary: 'add an operator, and print its token, this once',
    details: `Only root may: the operator whose token is in the controller's state directory.
A viewer reads. A deployer sees and changes what one customer runs, and nothing else: for that customer's own people and
programs. A stopper reads and stops, and lifts nothing. An operator does all but adding operators and making backups.
Its owner then uses it as $MUSTER_TOKEN or --token, or in the dashboard's address after #token=.`,
    takes: [1, 1],
    options: {
      role: { type: 'string', value: 'operator|viewer|deployer|stopper', help: 'what it may do (default operator)' },
      customer: { type: 'string', value: 'CUSTOMER', help: 'whose a deployer is' },
      expires: { type: 'string', value: 'DURATION', help: 'its token is worth nothing after that, as 12h or 90d' },
    },
    run: async (context, call) => {
      const body = specOf(context, call);
      const operator = await context.api.ask<NewOperator>({ method: 'POST', path: '/v1/operators', body });
      printDone(context, {
        json: operator,
        text: `${operator.role} ${operator.name} is there; this token is shown only now:\n${operator.token}`,
      });
    },
  },
  {
    words: ['operator', 'remove'],
    also: ['operator', 'rm'],
    usage: 'NAME',
    summary: 'remove an operator: its token is worth nothing from then on',
    takes: [1, 1],
    run: async (context, call) => {
      const name = nameOf(call);
      await context.api.ask({ method: 'DELETE', path: `/v1/operators/${name}` });
      printDone(context, { json: { removed: name }, text: `operator ${name} is removed` });
    },
  },
];

const givenRoles = ['viewer', 'deployer', 'stopper', 'operator'] as const;

function specOf(context: Context, call: Call): OperatorSpec {
  const given = call.text('role') ?? 'operator';
  const role = givenRoles.find((each) => each === given);
  if (role === undefined) throw new UsageError(`--role is ${JSON.stringify(given)}, want ${givenRoles.join(', ')}`);
  const customer = call.text('customer');
  if ((customer !== undefined) !== (role === 'deployer'))
    throw new UsageError(
      '--customer goes with --role deployer, and a deployer wants it (see muster operator add --help)',
    );
  const lastsMs = durationOption(call, 'expires');
  return {
    name: nameOf(call),
    role,
    ...(customer === undefined ? {} : { customer: checkedName('customer', customer) }),
    ...(lastsMs === undefined ? {} : { expiresAt: context.now() + lastsMs }),
  };
}

function untilText(expiresAt: number | null, now: number): string {
  if (expiresAt === null) return 'never';
  return expiresAt <= now ? 'is over' : `in ${durationText(expiresAt - now)}`;
}

function idOf(call: Call): number {
  return checkedCount(call.positionals[0], { what: 'the number of a request', see: 'muster approvals' });
}

function nameOf(call: Call): string {
  return checkedName('operator', call.positionals[0]);
}
