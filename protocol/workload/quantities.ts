// Sizes and durations as people write and read them where they are exact: in files, in what changed. A field of the API says
// its unit at the end of its name (`memoryBytes`, `stopGraceMs`); for people it is `memory: 64M` and `stopGrace: 10s`. Pure.

export const sizeFactors = { '': 1, K: 2 ** 10, M: 2 ** 20, G: 2 ** 30, T: 2 ** 40 } as const;
export const durationUnits = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;

/** `64M`, `1.5G`, `512MiB` or bytes, in powers of 1024; undefined where it is not a size. */
export function parseSize(text: string): number | undefined {
  const [, digits, unit = ''] = /^([0-9]+(?:\.[0-9]+)?)([KMGT]?)(?:i?B)?$/i.exec(text) ?? [];
  const factor = Object.entries(sizeFactors).find(([name]) => name === unit.toUpperCase())?.[1];
  if (digits === undefined || factor === undefined) return undefined;
  const bytes = Math.round(Number(digits) * factor);
  return Number.isSafeInteger(bytes) ? bytes : undefined;
}

/** `500ms`, `90s`, `5m`, `2h`; a bare number is seconds; undefined where it is not a duration. Gives milliseconds. */
export function parseDuration(text: string): number | undefined {
  const [, digits, unit = 's'] = /^([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d)?$/.exec(text) ?? [];
  const factor = Object.entries(durationUnits).find(([name]) => name === unit)?.[1];
  if (digits === undefined || factor === undefined) return undefined;
  return Math.round(Number(digits) * factor);
}

/** Of its unit the largest that leaves nothing over: what it gives is parsed to the same number. */
export function exactSize(bytes: number): string {
  return exact(bytes, sizeFactors);
}

export function exactDuration(ms: number): string {
  return exact(ms, durationUnits);
}

function exact(value: number, units: Readonly<Record<string, number>>): string {
  const fitting = Object.entries(units).filter(([, factor]) => value !== 0 && value % factor === 0);
  const [unit, factor] = fitting.toSorted(([, a], [, b]) => b - a)[0] ?? [Object.keys(units)[0] ?? '', 1];
  return `${value / factor}${unit}`;
}

interface Quantity {
  /** What people call the field: its name without the unit. */
  name: string;
  what: 'a size like 64M or 1G' | 'a duration like 10s or 500ms';
  readonly parse: (text: string) => number | undefined;
  readonly text: (value: number) => string;
}

/** Of a field of the API whose name says a unit; undefined for any other. */
export function quantityOf(field: string): Quantity | undefined {
  const [, size] = /^(.+)Bytes$/.exec(field) ?? [];
  if (size !== undefined) return { name: size, what: 'a size like 64M or 1G', parse: parseSize, text: exactSize };
  const [, duration] = /^(.+)Ms$/.exec(field) ?? [];
  if (duration === undefined) return undefined;
  return { name: duration, what: 'a duration like 10s or 500ms', parse: parseDuration, text: exactDuration };
}
