import { Type, type Static } from 'typebox';
import type { Routes } from './route.ts';
import { operatorPattern } from '../names.ts';
import { Instant, Next, Nothing, closed, told, pageQuery } from './fields.ts';

export const OperatorSpec = Type.Object(
  { name: Type.String({ pattern: operatorPattern }) },
  { ...closed, title: 'OperatorSpec' },
);
export type OperatorSpec = Static<typeof OperatorSpec>;
export const Operator = Type.Object(
  { name: Type.String({ pattern: operatorPattern }), createdAt: Instant },
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
    description: 'The answer holds the token, this once.',
    tag: 'operators',
    security: 'operator',
    schema: { body: OperatorSpec, response: { 201: NewOperator } },
  },
  removeOperator: {
    method: 'DELETE',
    path: '/v1/operators/:operator',
    summary: 'Remove an operator',
    tag: 'operators',
    security: 'operator',
    schema: {
      params: Type.Object({ operator: Type.String({ pattern: operatorPattern }) }),
      response: { 200: Nothing },
    },
  },
} as const satisfies Routes;
