import { Type, type Static } from 'typebox';
import { roles, type Role, type Routes } from './route.ts';
import { operatorPattern } from '../names.ts';
import { CustomerName, Instant, Next, Nothing, closed, oneOf, pageQuery, told } from './fields.ts';

/** `root` is made by nobody: it has the token of the state directory. */
const givenRoles = ['viewer', 'deployer', 'stopper', 'operator'] as const satisfies Role[];
const GivenRole = told(
  '`viewer` reads; `deployer` sees and changes what one customer runs, and nothing else; `stopper` reads and stops, and lifts nothing; `operator` does all but making operators and backups.',
  oneOf(...givenRoles),
);
const ExpiresAt = Type.Union([Instant, Type.Null()]);

export const OperatorSpec = Type.Object(
  {
    name: Type.String({ pattern: operatorPattern }),
    role: Type.Optional(told('`operator` where it is left out.', GivenRole)),
    customer: Type.Optional(told('Whose a deployer is; of no other role.', CustomerName)),
    expiresAt: Type.Optional(told('From then on the token is worth nothing. Never, where it is left out.', Instant)),
  },
  { ...closed, title: 'OperatorSpec' },
);
export type OperatorSpec = Static<typeof OperatorSpec>;
export const Operator = Type.Object(
  {
    name: Type.String({ pattern: operatorPattern }),
    createdAt: Instant,
    role: oneOf(...roles),
    customer: told('Whose a deployer is.', Type.Union([CustomerName, Type.Null()])),
    expiresAt: ExpiresAt,
  },
  { title: 'Operator' },
);
export type Operator = Static<typeof Operator>;
export const NewOperator = Type.Intersect([Operator, Type.Object({ token: Type.String() })], {
  title: 'NewOperator',
  description: 'The one time that a token is shown.',
});
export type NewOperator = Static<typeof NewOperator>;
export const Whoami = Type.Object(
  {
    name: Type.String(),
    role: oneOf(...roles),
    customer: told('All that a deployer sees.', Type.Union([CustomerName, Type.Null()])),
    expiresAt: ExpiresAt,
    twoPersonRule: told('Lifting, and stopping everything, need a second operator.', Type.Boolean()),
  },
  { title: 'Whoami', description: 'Whose the token is that came with the request.' },
);
export type Whoami = Static<typeof Whoami>;

export const operatorRoutes = {
  whoami: {
    method: 'GET',
    path: '/v1/whoami',
    summary: 'Whose token this is',
    tag: 'operators',
    security: 'operator',
    access: 'anyone',
    schema: { response: { 200: Whoami } },
  },
  listOperators: {
    method: 'GET',
    path: '/v1/operators',
    summary: 'All operators, by name',
    tag: 'operators',
    security: 'operator',
    schema: {
      querystring: Type.Object(pageQuery, closed),
      response: { 200: Type.Object({ operators: Type.Array(Operator), next: Next }) },
    },
  },
  addOperator: {
    method: 'POST',
    path: '/v1/operators',
    summary: 'Add an operator',
    description: 'Each is a token with a name, a role and an end. The answer holds the token, this once.',
    tag: 'operators',
    security: 'operator',
    access: 'root',
    schema: { body: OperatorSpec, response: { 201: NewOperator } },
  },
  removeOperator: {
    method: 'DELETE',
    path: '/v1/operators/:operator',
    summary: 'Remove an operator',
    tag: 'operators',
    security: 'operator',
    access: 'root',
    schema: {
      params: Type.Object({ operator: Type.String({ pattern: operatorPattern }) }),
      response: { 200: Nothing },
    },
  },
} as const satisfies Routes;
