import { Type, type Static } from 'typebox';
import { operatorPattern } from '../names.ts';
import { Instant, closed } from './fields.ts';

/** `POST /v1/operators` */
export const OperatorSpec = Type.Object({ name: Type.String({ pattern: operatorPattern }) }, closed);
export type OperatorSpec = Static<typeof OperatorSpec>;
export const Operator = Type.Object({ name: Type.String({ pattern: operatorPattern }), createdAt: Instant });
export type Operator = Static<typeof Operator>;
/** The one time that a token is shown. */
export const NewOperator = Type.Intersect([Operator, Type.Object({ token: Type.String() })]);
export type NewOperator = Static<typeof NewOperator>;
/** `GET /v1/whoami`: whose the token is that came with the request. */
export const Whoami = Type.Object({ name: Type.String() });
export type Whoami = Static<typeof Whoami>;
