// What one wish for a workload has that another has not, in phrases. Values of the environment are in none: they may be
// secrets. Pure.
import { isDeepStrictEqual } from 'node:util';
import type { WorkloadSpec } from '../api/workloads.ts';
import { checkNames, checkText } from './checks.ts';
import { quantityOf } from './quantities.ts';

/** `replicas 1 → 3`, `port 8080 removed`, `variable A set`; none where both want the same. */
export function specChanges(before: Partial<WorkloadSpec>, after: WorkloadSpec): string[] {
  const [was, is] = [new Map(Object.entries(before)), new Map(Object.entries(after))];
  return [...new Set([...was.keys(), ...is.keys()])].flatMap((field) => {
    if (field === 'stopped') {
      const isStopped = after.stopped === true;
      return isStopped === (before.stopped === true) ? [] : [isStopped ? 'stopped' : 'started'];
    }
    if (field === 'checks') return checkChanges(before, after);
    if (field === 'env') return variableChanges(before.env ?? {}, after.env ?? {});
    const name = quantityOf(field)?.name ?? field;
    const [from, to] = [inWords(field, was.get(field)), inWords(field, is.get(field))];
    if (from === to) return [];
    if (to === undefined) return [`${name} ${cut(from)} removed`];
    return [`${name} ${from === undefined ? '' : `${cut(from)} → `}${cut(to)}`];
  });
}

function checkChanges(before: Partial<WorkloadSpec>, after: WorkloadSpec): string[] {
  return checkNames.flatMap((name) => {
    const [from, to] = [before, after].map(({ checks }) => checks?.[name]);
    if (isDeepStrictEqual(from, to)) return [];
    const [was, is] = [from, to].map((check) => (check === undefined ? undefined : cut(checkText(check))));
    if (is === undefined) return [`check ${name} ${was} removed`];
    return [`check ${name} ${was === undefined ? '' : was === is ? 'with other times: ' : `${was} → `}${is}`];
  });
}

function variableChanges(before: Record<string, string>, after: Record<string, string>): string[] {
  const set = Object.entries(after).flatMap(([name, value]) =>
    Object.hasOwn(before, name) && before[name] === value ? [] : [`variable ${name} set`],
  );
  const removed = Object.keys(before).flatMap((name) =>
    Object.hasOwn(after, name) ? [] : [`variable ${name} removed`],
  );
  return [...set, ...removed];
}

/** A command may be very long, and is in every answer, event and entry that tells of it. */
const phraseCharacters = 120;
function cut(text = ''): string {
  return text.length > phraseCharacters ? `${text.slice(0, phraseCharacters)}…` : text;
}

function inWords(field: string, value: unknown): string | undefined {
  if (value === undefined) return undefined;
  if (typeof value === 'number') return quantityOf(field)?.text(value) ?? String(value);
  if (Array.isArray(value) && value.every((each) => typeof each === 'string')) return value.join(' ') || 'none';
  return typeof value === 'string' ? value : JSON.stringify(value);
}
