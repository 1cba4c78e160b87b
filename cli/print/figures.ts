// Sizes and durations, rounded as people read them.
import { durationUnits } from '../../protocol/workload/quantities.ts';

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

/** 143 ms, 4.0 s, 12 min, 3 h, 5 d */
export function durationText(ms: number): string {
  if (ms < 1000) return `${Math.max(0, Math.round(ms))} ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(1)} s`;
  if (ms < 2 * durationUnits.h) return `${Math.round(ms / durationUnits.m)} min`;
  if (ms < 2 * durationUnits.d) return `${Math.round(ms / durationUnits.h)} h`;
  return `${Math.round(ms / durationUnits.d)} d`;
}

/** 2026-11-21 04:15:09, by UTC, as everywhere in the logs. */
export function timeText(at: number): string {
  return new Date(at).toISOString().slice(0, 19).replace('T', ' ');
}
