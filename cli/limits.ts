// Options that are figures, read with a sentence for whatever is not one, or is too small or too large.
import { UsageError, type Call } from './command.ts';
import { parseDuration, parseSize, sizeText } from './figures.ts';

interface Range {
  from: number;
  to: number;
}

export function sizeOption(call: Call, option: string, range?: Range): number | undefined {
  return read(call, option, { parse: parseSize, wanted: 'a size like 64M or 1G', range, shown: sizeText });
}

export function durationOption(call: Call, option: string): number | undefined {
  return read(call, option, { parse: parseDuration, wanted: 'a duration like 90s or 5m' });
}

export function countOption(call: Call, option: string, range?: Range): number | undefined {
  return read(call, option, { parse: parseCount, wanted: 'a whole number', range });
}

export function coresOption(call: Call, option: string, range?: Range): number | undefined {
  return read(call, option, { parse: parseCores, wanted: 'a number of cores like 0.5', range });
}

function parseCount(text: string): number | undefined {
  return /^[0-9]{1,9}$/.test(text) ? Number(text) : undefined;
}

function parseCores(text: string): number | undefined {
  return /^[0-9]+(\.[0-9]+)?$/.test(text) ? Number(text) : undefined;
}

interface Reader {
  parse: (text: string) => number | undefined;
  wanted: string;
  range?: Range | undefined;
  shown?: (value: number) => string;
}

function read(call: Call, option: string, { parse, wanted, range, shown = String }: Reader): number | undefined {
  const text = call.text(option);
  if (text === undefined) return undefined;
  const value = parse(text);
  const isWithin = value !== undefined && (range === undefined || (value >= range.from && value <= range.to));
  if (isWithin) return value;
  const bounds = range === undefined ? '' : `, ${shown(range.from)} to ${shown(range.to)}`;
  throw new UsageError(`--${option} is ${JSON.stringify(text)}, want ${wanted}${bounds}`);
}
