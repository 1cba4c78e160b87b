// Options that are figures, read with a sentence for whatever is not one, or is too small or too large.
import { UsageError, type Call } from '../command.ts';
import { parseDuration, parseSize } from '../../protocol/workload/quantities.ts';
import { sizeText } from '../print/figures.ts';

/** What an option may be at least and at most. */
interface Ranged {
  name: string;
  from: number;
  to: number;
}

export function sizeOption(call: Call, { name, ...range }: Ranged): number | undefined {
  return read(call, { name, parse: parseSize, wanted: 'a size like 64M or 1G', range, shown: sizeText });
}

export function durationOption(call: Call, name: string): number | undefined {
  return read(call, { name, parse: parseDuration, wanted: 'a duration like 90s or 5m' });
}

export function countOption(call: Call, { name, ...range }: Ranged): number | undefined {
  return read(call, { name, parse: parseCount, wanted: 'a whole number', range });
}

export function coresOption(call: Call, { name, ...range }: Ranged): number | undefined {
  return read(call, { name, parse: parseCores, wanted: 'a number of cores like 0.5', range });
}

function parseCount(text: string): number | undefined {
  return /^[0-9]{1,9}$/.test(text) ? Number(text) : undefined;
}

function parseCores(text: string): number | undefined {
  return /^[0-9]+(\.[0-9]+)?$/.test(text) ? Number(text) : undefined;
}

interface Reader {
  name: string;
  parse: (text: string) => number | undefined;
  wanted: string;
  range?: Omit<Ranged, 'name'>;
  shown?: (value: number) => string;
}

function read(call: Call, { name, parse, wanted, range, shown = String }: Reader): number | undefined {
  const text = call.text(name);
  if (text === undefined) return undefined;
  const value = parse(text);
  const isWithin = value !== undefined && (range === undefined || (value >= range.from && value <= range.to));
  if (isWithin) return value;
  const bounds = range === undefined ? '' : `, ${shown(range.from)} to ${shown(range.to)}`;
  throw new UsageError(`--${name} is ${JSON.stringify(text)}, want ${wanted}${bounds}`);
}
