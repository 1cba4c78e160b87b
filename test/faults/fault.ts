// What the drill of single faults consists of. A *suite* is a rack in which faults can happen: agents in network namespaces
// of this machine (`faults-host.ts`), or boards in QEMU with a kernel of their own (`faults-qemu.ts`). `main.ts` runs the
// faults of every suite, keeps what they measured as JSON, and `table.ts` makes the rows of docs/GUARANTEE.md of that.
import { Type, type Static } from 'typebox';
import { boundMs } from '../../protocol/timing.ts';

export type Where = 'host' | 'qemu';

export interface Fault {
  /** The number of the fault, 1 to 18; docs/GUARANTEE.md is in this order. */
  number: number;
  /** Tells apart what one number covers: `just before the order`. Empty where there is one form only. */
  variant: string;
  /** A few words for the table: `link cut`. */
  name: string;
  where: Where;
  /** What is done, to whom, and how it is known to have happened: one sentence. */
  what: string;
  /** The promise, ms from the order's acceptance to the last process gone. */
  boundMs: number;
}

/** What every fault promises, if it does not say otherwise. */
export const promisedMs = boundMs;

/** One run of one fault. */
export interface Run {
  /**
   * One value for each node that had processes of the killed customer: ms from the acceptance of the order (its answer
   * arrived) until the last of them was gone, as an observer outside saw it. 0 where they were gone before.
   */
  gone: number[];
  /** Other figures by name and unit: `{'board reset, ms': [6400]}`. */
  also?: Record<string, number[]>;
  /** Longest time that the observer itself was kept from the processor: where it starves, so does everybody. */
  starvedMs?: number;
}

/** A rack that is up. A suite's faults run in it one after another; each leaves it as it found it. */
export interface FaultRack extends AsyncDisposable {
  /**
   * Deploy, wait until all run, do the fault, kill, measure, heal, wait until all run again. Throws when the fault did not
   * take effect, when the wrong customer stopped, or when something ran that must not; a late stop is only measured.
   */
  run(fault: Fault): Promise<Run>;
}

export interface FaultSuite {
  where: Where;
  faults: readonly Fault[];
  /**
   * `print` gets a line of progress at a time. Logs are kept by the rack's name. Throws one sentence where this machine cannot
   * do it.
   */
  open(options: { name?: string; print: (line: string) => void }): Promise<FaultRack>;
}

export const Measurement = Type.Object({
  fault: Type.Integer({ minimum: 1 }),
  variant: Type.String(),
  name: Type.String(),
  where: Type.Union([Type.Literal('host'), Type.Literal('qemu')]),
  what: Type.String(),
  boundMs: Type.Number(),
  runs: Type.Integer({ minimum: 1 }),
  /** All runs' values in the order they were taken. */
  gone: Type.Array(Type.Number(), { minItems: 1 }),
  also: Type.Optional(Type.Record(Type.String(), Type.Array(Type.Number()))),
  /** Processor and number of cores; no name. */
  machine: Type.String(),
  /** When the last run ended, ISO 8601. */
  at: Type.String(),
});
export type Measurement = Static<typeof Measurement>;

/** What a results file holds. A later measurement of the same fault and variant replaces the one before. */
export const Results = Type.Array(Measurement);

/** Names one fault for `--only` and in progress: `3`, `3 just after the order`. */
export function titleOf({ number, variant, name }: Pick<Fault, 'number' | 'variant' | 'name'>): string {
  return `${number} ${name}${variant === '' ? '' : `, ${variant}`}`;
}

export function measurementOf(
  fault: Fault,
  { runs, ...taken }: { runs: readonly Run[]; machine: string; at: string },
): Measurement {
  const { number, variant, name, where, what, boundMs: promised } = fault;
  const also: Record<string, number[]> = {};
  for (const run of runs)
    for (const [figure, values] of Object.entries(run.also ?? {})) also[figure] = [...(also[figure] ?? []), ...values];
  return {
    fault: number,
    variant,
    name,
    where,
    what,
    boundMs: promised,
    runs: runs.length,
    gone: runs.flatMap(({ gone }) => gone),
    ...(Object.keys(also).length === 0 ? {} : { also }),
    ...taken,
  };
}
