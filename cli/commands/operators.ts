// Who may change the rack, and what waits for a second one of them.
import { Type } from 'typebox';
import { Approval } from '../../protocol/api/approvals.ts';
import { NewOperator, Operator } from '../../protocol/api/operators.ts';
import { KillOrder } from '../../protocol/api/orders.ts';
import { operatorPattern } from '../../protocol/names.ts';
import { Nothing } from '../api.ts';
import { UsageError, type Call, type Command } from '../command.ts';
import { durationText, timeText } from '../figures.ts';
import { follow, printLifted, who } from './kill.ts';
import { printDone, printList } from '../print.ts';

export const operatorCommands: Command[] = [
  {
    words: ['approvals'],
    usage: '',
    summary: 'list what waits for a second operator',
    run: async (context, call) => {
      const answer = Type.Object({ approvals: Type.Array(Approval) });
      const { approvals } = await context.api.ask({ path: '/v1/approvals', answer });
      printList(context, call, {
        name: 'approvals',
        rows: approvals,
        none: 'nothing waits for a second operator',
        columns: [
          { heading: 'ID', right: true, value: ({ id }) => String(id) },
          { heading: 'WHAT', value: ({ action, scope }) => `${action === 'kill' ? 'stop' : 'lift'} ${who(scope)}` },
          { heading: 'ASKED BY', value: ({ by }) => by },
          { heading: 'AT (UTC)', value: ({ at }) => timeText(at) },
          { heading: 'EXPIRES IN', right: true, value: ({ expiresAt }) => durationText(expiresAt - context.now()) },
          { heading: 'REASON', value: ({ reason }) => reason.slice(0, 80) },
        ],
      });
    },
  },
  {
    words: ['approve'],
    usage: 'ID',
    summary: 'confirm, as the second operator, what another one asked for',
    details: 'It is carried out at once: a kill is followed as by "muster kill".',
    takes: [1, 1],
    run: async (context, call) => {
      const id = idOf(call);
      const waiting = Type.Object({ approvals: Type.Array(Approval) });
      const { approvals } = await context.api.ask({ path: '/v1/approvals', answer: waiting });
      const order = await context.api.ask({ method: 'POST', path: `/v1/approvals/${id}`, answer: KillOrder });
      // A lift that is not stored yet shows in the order by nothing else.
      const isLift = approvals.find((each) => each.id === id)?.action === 'lift' || order.liftedAt !== null;
      return isLift ? printLifted(context, call, order) : follow(context, call, order);
    },
  },
  {
    words: ['withdraw'],
    usage: 'ID',
    summary: 'take back what waits for a second operator',
    takes: [1, 1],
    run: async (context, call) => {
      const id = idOf(call);
      await context.api.ask({ method: 'DELETE', path: `/v1/approvals/${id}`, answer: Nothing });
      printDone(context, call, { json: { removed: id }, text: `approval ${id} is withdrawn` });
    },
  },
  {
    words: ['operators'],
    usage: '',
    summary: 'list who may change the rack',
    run: async (context, call) => {
      const answer = Type.Object({ operators: Type.Array(Operator) });
      const { operators } = await context.api.ask({ path: '/v1/operators', answer });
      printList(context, call, {
        name: 'operators',
        rows: operators,
        none: 'there are no operators',
        columns: [
          { heading: 'NAME', value: ({ name }) => name },
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
Its owner then uses it as $MUSTER_TOKEN or --token, or in the dashboard's address after #token=.`,
    takes: [1, 1],
    run: async (context, call) => {
      const name = nameOf(call);
      const operator = await context.api.ask({
        method: 'POST',
        path: '/v1/operators',
        body: { name },
        answer: NewOperator,
      });
      printDone(context, call, {
        json: operator,
        text: `operator ${operator.name} is there; this token is shown only now:\n${operator.token}`,
      });
    },
  },
  {
    words: ['operator', 'rm'],
    usage: 'NAME',
    summary: 'remove an operator: its token is worth nothing from then on',
    takes: [1, 1],
    run: async (context, call) => {
      const name = nameOf(call);
      await context.api.ask({ method: 'DELETE', path: `/v1/operators/${name}`, answer: Nothing });
      printDone(context, call, { json: { removed: name }, text: `operator ${name} is removed` });
    },
  },
];

function idOf(call: Call): number {
  const [id = ''] = call.positionals;
  if (!/^[1-9][0-9]{0,8}$/.test(id)) throw new UsageError(`${JSON.stringify(id)} is no number of "muster approvals"`);
  return Number(id);
}

function nameOf(call: Call): string {
  const [name = ''] = call.positionals;
  if (!new RegExp(operatorPattern).test(name))
    throw new UsageError(
      `an operator cannot be called ${JSON.stringify(name)}, want 1 to 32 of a-z, 0-9 and -, a letter first`,
    );
  return name;
}
