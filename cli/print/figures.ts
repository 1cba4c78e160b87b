// Sizes and durations, as people write and read them.

const factors: Record<string, number> = { '': 1, K: 2 ** 10, M: 2 ** 20, G: 2 ** 30, T: 2 ** 40 };

/** `64M`, `1.5G`, `512MiB` or bytes, in powers of 1024; undefined where it is not a size. */
export function parseSize(text: string): number | undefined {
  const [, digits, unit] = /^([0-9]+(?:\.[0-9]+)?)([KMGT]?)(?:i?B)?$/i.exec(text) ?? [];
  const factor = factors[(unit ?? '').toUpperCase()];
  if (digits === undefined || factor === undefined) return undefined;
  const bytes = Math.round(Number(digits) * factor);
  return Number.isSafeInteger(bytes) ? bytes : undefined;
}

/** 46.9M, 768M, 1.5G: three digits where there are as many. */
export function sizeText(bytes: number): string {
  let value = bytes;
  for (const unit of ['B', 'K', 'M', 'G', 'T']) {
    if (value < 1000 || unit === 'T')
      return `${value < 100 && unit !== 'B' ? trimmed(value) : Math.round(value)}${unit}`;
    value /= 1024;
  }
  return String(bytes);
}

function trimmed(value: number): string {
  return value.toFixed(1).replace(/\.0$/, '');
}

const units = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;

/** `500ms`, `90s`, `5m`, `2h`; a bare number is seconds; undefined where it is not a duration. Gives milliseconds. */
export function parseDuration(text: string): number | undefined {
  const [, digits, unit = 's'] = /^([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d)?$/.exec(text) ?? [];
  if (digits === undefined || !(unit in units)) return undefined;
  return Math.round(Number(digits) * units[unit as keyof typeof units]);
}

/** 143 ms, 4.0 s, 12 min, 3 h, 5 d */
export function durationText(ms: number): string {
  if (ms < 1000) return `${Math.max(0, Math.round(ms))} ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(1)} s`;
  if (ms < 2 * units.h) return `${Math.round(ms / units.m)} min`;
  if (ms < 2 * units.d) return `${Math.round(ms / units.h)} h`;
  return `${Math.round(ms / units.d)} d`;
}

/** 2026-11-21 04:15:09, by UTC, as everywhere in the logs. */
export function timeText(at: number): string {
  return new Date(at).toISOString().slice(0, 19).replace('T', ' ');
}
