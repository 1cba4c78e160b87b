// The form of checks: as a workload asks for them, and as an agent is told them.
import { Type, type Static } from 'typebox';
import { closed, told } from '../api/fields.ts';

const Port = Type.Integer({ minimum: 1, maximum: 65_535 });
// One line of a request: no blanks, nothing that ends a line.
const Path = Type.String({ pattern: '^/[!-~]{0,499}$' });
const Status = Type.Integer({ minimum: 100, maximum: 599 });
const Command = Type.Array(Type.String({ maxLength: 4_096 }), { minItems: 1, maxItems: 64 });
const Interval = Type.Integer({ minimum: 500, maximum: 3_600_000 });
const Timeout = Type.Integer({ minimum: 50, maximum: 60_000 });
const Times = Type.Integer({ minimum: 1, maximum: 1_000 });

const ownPort = 'The workload’s port where left out.';
const probes = {
  http: Type.Optional(
    told(
      'A GET; holds when the answer has this status, or any from 200 to 399 where none is named.',
      Type.Object({ path: Path, port: Type.Optional(told(ownPort, Port)), status: Type.Optional(Status) }, closed),
    ),
  ),
  tcp: Type.Optional(
    told('Holds when a connection is accepted.', Type.Object({ port: Type.Optional(told(ownPort, Port)) }, closed)),
  ),
  exec: Type.Optional(
    told('A command in the container, as its user and within its limits; holds when it exits with 0.', Command),
  ),
};

export const Check = Type.Object(
  {
    ...probes,
    intervalMs: Type.Optional(
      told('From one to the next; 2 s where left out, 10 s for a command, which has 1 s at least.', Interval),
    ),
    timeoutMs: Type.Optional(told('1 s where left out, 5 s for a command.', Timeout)),
    failures: Type.Optional(
      told('It does not hold any more after so many in a row: 3 where left out; 60 for `start`.', Times),
    ),
    successes: Type.Optional(told('It holds (again) after so many in a row: 1 where left out.', Times)),
  },
  { ...closed, title: 'Check', description: 'One of `http`, `tcp` and `exec`.' },
);
export type Check = Static<typeof Check>;

export const Checks = Type.Object(
  { start: Type.Optional(Check), ready: Type.Optional(Check), live: Type.Optional(Check) },
  {
    ...closed,
    title: 'Checks',
    description:
      'How it shows whether an instance is well. Where all is left out: `ready` is the image’s own health check, else a connection to the workload’s port. `{}`: none; it is ready when it runs.',
  },
);
export type Checks = Static<typeof Checks>;

/** A check with nothing left out, as an agent is told it. */
export const FilledCheck = Type.Object(
  {
    http: Type.Optional(Type.Object({ path: Path, port: Port, status: Type.Optional(Status) }, closed)),
    tcp: Type.Optional(Type.Object({ port: Port }, closed)),
    exec: Type.Optional(Command),
    intervalMs: Interval,
    timeoutMs: Timeout,
    failures: Times,
    successes: Times,
  },
  { ...closed, title: 'FilledCheck' },
);
export type FilledCheck = Static<typeof FilledCheck>;

export const FilledChecks = Type.Object(
  { start: Type.Optional(FilledCheck), ready: Type.Optional(FilledCheck), live: Type.Optional(FilledCheck) },
  { ...closed, title: 'FilledChecks' },
);
export type FilledChecks = Static<typeof FilledChecks>;
