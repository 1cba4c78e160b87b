// Figures and moments as a tired person reads them.

/** `12:03:07`, by the reader's own clock. */
export function clock(at: number): string {
  return new Date(at).toLocaleTimeString('en-GB');
}

/** `12:03`, with the day in front where it was not today. */
export function moment(at: number, now: number): string {
  const date = new Date(at);
  const time = date.toLocaleTimeString('en-GB', { hour: '2-digit', minute: '2-digit' });
  if (date.toDateString() === new Date(now).toDateString()) return time;
  return `${date.toLocaleDateString('en-GB', { day: 'numeric', month: 'short' })} ${time}`;
}

/** `41 s`, `3 min 12 s`, `2 h 5 min`, `3 d 4 h` */
export function duration(ms: number): string {
  const whole = Math.max(0, Math.floor(ms / 1000));
  if (whole < 60) return `${whole} s`;
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) return `${minutes} min ${whole % 60} s`;
  const hours = Math.floor(minutes / 60);
  if (hours < 24) return `${hours} h ${minutes % 60} min`;
  return `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

const byteUnits = ['B', 'KiB', 'MiB', 'GiB', 'TiB'] as const;

/** `1.9 GiB`, `768 MiB` */
export function bytes(count: number): string {
  let value = Math.max(0, count);
  let unit: string = byteUnits[0];
  for (const next of byteUnits.slice(1)) {
    if (value < 1024) break;
    value /= 1024;
    unit = next;
  }
  const digits = unit === 'B' || value >= 10 ? 0 : 1;
  return `${value.toFixed(digits)} ${unit}`;
}

/** A share of 0 to 1 as `34 %`; shares from outside that are none are held to the range. */
export function percent(share: number): string {
  return `${Math.round(clampShare(share) * 100)} %`;
}

export function clampShare(share: number): number {
  return Number.isFinite(share) ? Math.min(1, Math.max(0, share)) : 0;
}

/** `1 container`, `2 containers` */
export function plural(count: number, noun: string): string {
  return `${count.toLocaleString('en-GB')} ${noun}${count === 1 ? '' : 's'}`;
}

/** A round figure, as limits are: `5 s`, `0.75 s`. */
export function seconds(ms: number): string {
  return `${Number((ms / 1000).toFixed(2))} s`;
}

/** `97 ms`, `1.24 s`, `41.2 s` */
export function span(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  return `${(ms / 1000).toFixed(ms < 10_000 ? 2 : 1)} s`;
}

/** `acme, bolt`, and how many more there are beyond the first six. */
export function some(names: readonly string[]): string {
  return names.slice(0, 6).join(', ') + (names.length > 6 ? ` and ${names.length - 6} more` : '');
}

/** What `onSilence: hold` makes of the bound. */
export const holdBound = 'On a node that hears no controller it keeps running: no bound holds there.';

/** Only what a browser may be sent to: anything else that a node calls its endpoint is shown as text. */
export function webAddress(text: string): URL | undefined {
  const url = URL.parse(text);
  return url !== null && (url.protocol === 'http:' || url.protocol === 'https:') ? url : undefined;
}
