import { printable } from '../../../protocol/printable.ts';

/** One metric of the Prometheus text format; a value alone, or one for each set of labels. */
export type Metric =
  | { name: string; help: string; type: 'counter' | 'gauge'; values: { labels?: Labels; value: number }[] }
  | { name: string; help: string; type: 'histogram'; values: { labels?: Labels; histogram: Histogram }[] };
type Labels = Record<string, string>;

/** Counts of what was observed, by upper bounds that grow. */
export class Histogram {
  readonly #bounds: readonly number[];
  readonly #counts: number[];
  #count = 0;
  #sum = 0;

  constructor(bounds: readonly number[]) {
    this.#bounds = bounds;
    this.#counts = bounds.map(() => 0);
  }

  observe(value: number): void {
    this.#count++;
    this.#sum += value;
    const at = this.#bounds.findIndex((bound) => value <= bound);
    if (at >= 0) this.#counts[at] = (this.#counts[at] ?? 0) + 1;
  }

  /** The lines of one histogram: each bucket holds what the smaller ones hold, too. */
  lines(name: string, labels: Labels = {}): string[] {
    let below = 0;
    const buckets = this.#bounds.map((bound, at) => {
      below += this.#counts[at] ?? 0;
      return sample(`${name}_bucket`, { labels: { ...labels, le: String(bound) }, value: below });
    });
    return [
      ...buckets,
      sample(`${name}_bucket`, { labels: { ...labels, le: '+Inf' }, value: this.#count }),
      sample(`${name}_sum`, { labels, value: this.#sum }),
      sample(`${name}_count`, { labels, value: this.#count }),
    ];
  }
}

/** The Prometheus text exposition format, version 0.0.4. */
export function renderMetrics(metrics: Metric[]): string {
  return metrics
    .map((metric) => {
      const { name, help, type } = metric;
      const lines =
        metric.type === 'histogram'
          ? metric.values.flatMap(({ labels, histogram }) => histogram.lines(name, labels))
          : metric.values.map(({ labels = {}, value }) => sample(name, { labels, value }));
      return [`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`, ...lines].map((line) => `${line}\n`).join('');
    })
    .join('');
}

function sample(name: string, { labels, value }: { labels: Labels; value: number }): string {
  const pairs = Object.entries(labels).map(([key, text]) => `${key}="${escaped(text)}"`);
  return `${name}${pairs.length === 0 ? '' : `{${pairs.join(',')}}`} ${value === Infinity ? '+Inf' : value}`;
}

export function gauge(name: string, { help, value }: { help: string; value: number }): Metric {
  return { name, help, type: 'gauge', values: [{ value }] };
}

export function counter(name: string, { help, value }: { help: string; value: number }): Metric {
  return { name, help, type: 'counter', values: [{ value }] };
}

/** The format knows three escapes; at any other a scraper gives up the whole page. */
function escaped(text: string): string {
  return text
    .split('\n')
    .map((line) => printable(line).replaceAll('\\', '\\\\').replaceAll('"', '\\"'))
    .join('\\n');
}
