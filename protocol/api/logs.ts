import { Type, type Static } from 'typebox';
import { InstanceId, Instant, oneOf } from './fields.ts';

export const LogLine = Type.Object({
  at: Instant,
  instance: InstanceId,
  stream: oneOf('stdout', 'stderr', 'muster'),
  text: Type.String(),
});
export type LogLine = Static<typeof LogLine>;

/** An answer of about a megabyte at most; `before` is where older lines go on, null where there are no more of those wanted. */
export const LogPage = Type.Object({
  lines: Type.Array(LogLine),
  before: Type.Union([Type.Integer(), Type.Null()]),
});
export type LogPage = Static<typeof LogPage>;
