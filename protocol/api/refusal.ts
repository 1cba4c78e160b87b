import { Type, type Static } from 'typebox';

/** Every refusal: what was wrong and what was wanted, in one sentence. */
export const Refusal = Type.Object({ error: Type.String() });
export type Refusal = Static<typeof Refusal>;
