// What a bench measures and how it is shown. Pure.
import { table } from '../../cli/print/table.ts';

export interface Figure {
  name: string;
  unit: 'ms' | 's' | 'MB' | '%' | 'MB/s' | '/s' | '×';
  median: number;
  /** The largest; the smallest where more is better. */
  worst: number;
  runs: number;
  /** What the figure should stay under. */
  aim?: number;
  /** What exactly was measured, in a line. */
  how: string;
}

export interface BenchOptions {
  /** How often each thing is measured. */
  runs: number;
  /** Progress: a line for whoever waits. */
  print: (text: string) => void;
}

export type Bench = (options: BenchOptions) => Promise<Figure[]>;

/** The value that the share `q` (0 to 1) of the samples does not exceed: the nearest rank, never a mean of two. */
export function quantile(samples: readonly number[], q: number): number {
  const sorted = samples.toSorted((a, b) => a - b);
  const value = sorted[Math.max(0, Math.ceil(q * sorted.length) - 1)];
  if (value === undefined) throw new Error('cannot take a quantile of no samples, want at least one');
  return value;
}

/** The middle one, or the mean of the two in the middle. */
export function median(samples: readonly number[]): number {
  const sorted = samples.toSorted((a, b) => a - b);
  const [low, high] = [sorted[(sorted.length - 1) >> 1], sorted[sorted.length >> 1]];
  if (low === undefined || high === undefined)
    throw new Error('cannot take the median of no samples, want at least one');
  return (low + high) / 2;
}

export function figureOf({
  samples,
  moreIsBetter = false,
  ...rest
}: Omit<Figure, 'median' | 'worst' | 'runs'> & { samples: readonly number[]; moreIsBetter?: boolean }): Figure {
  const worst = moreIsBetter ? quantile(samples, 0) : quantile(samples, 1);
  return { ...rest, median: median(samples), worst, runs: samples.length };
}

export type Verdict = 'ok' | 'worst over' | 'over' | '';

/** By the median, and by the worst run where only that one is over. */
export function verdict({ aim, median: middle, worst }: Pick<Figure, 'aim' | 'median' | 'worst'>): Verdict {
  if (aim === undefined) return '';
  if (middle > aim) return 'over';
  return worst > aim ? 'worst over' : 'ok';
}

/** One aligned table, and below it how each figure came about. */
export function renderFigures(figures: readonly Figure[]): string {
  const rows = table<Figure>({
    columns: [
      { heading: 'figure', value: ({ name }) => name },
      { heading: 'median', right: true, value: (each) => valueText(each.median) },
      { heading: 'worst', right: true, value: ({ worst }) => valueText(worst) },
      { heading: 'unit', value: ({ unit }) => unit },
      { heading: 'runs', right: true, value: ({ runs }) => String(runs) },
      { heading: 'aim', right: true, value: ({ aim }) => (aim === undefined ? '' : `≤ ${valueText(aim)}`) },
      { heading: '', value: verdict },
    ],
    rows: figures,
  });
  return `${rows}\n${figures.map(({ name, how }) => `${name}: ${how}\n`).join('')}`;
}

/** Three digits are as many as a repeated run would confirm. */
function valueText(value: number): string {
  const digits = Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : 2;
  return String(Number(value.toFixed(digits)));
}
