// Options that are figures, read with a sentence for whatever is not one.
import { UsageError, type Call } from './command.ts';
import { parseDuration, parseSize } from './figures.ts';

export function sizeOption(call: Call, option: string): number | undefined {
  return read(call, option, { parse: parseSize, wanted: 'a size like 64M or 1G' });
}

export function durationOption(call: Call, option: string): number | undefined {
  return read(call, option, { parse: parseDuration, wanted: 'a duration like 90s or 5m' });
}

export function countOption(call: Call, option: string): number | undefined {
  return read(call, option, { parse: parseCount, wanted: 'a whole number' });
}

export function coresOption(call: Call, option: string): number | undefined {
  return read(call, option, { parse: parseCores, wanted: 'a number of cores like 0.5' });
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
}

function read(call: Call, option: string, { parse, wanted }: Reader): number | undefined {
  const text = call.text(option);
  if (text === undefined) return undefined;
  const value = parse(text);
  if (value === undefined) throw new UsageError(`--${option} is ${JSON.stringify(text)}, want ${wanted}`);
  return value;
}
