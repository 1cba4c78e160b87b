// Parts of a service in a Compose file that are maps themselves: its health check, and how it is updated.
import { Check, type Check as CheckSpec } from '../../protocol/workload/check-schemas.ts';
import { Update } from '../../protocol/workload/update-schema.ts';
import { parseDuration } from '../../protocol/workload/quantities.ts';
import { Check as fits } from 'typebox/value';
import { checked, unknownKey } from './checked.ts';
import type { Entry, Fault, ListValue, MapValue, Place, ScalarValue, Value } from './source.ts';

interface Told {
  /** Of the map, for the sentences. */
  path: string;
  faults: Fault[];
}

/** Each key of a map goes to what takes it; any other is a fault. */
export function inside(
  value: Value,
  { path, faults, keys }: Told & { keys: Readonly<Record<string, (own: Value) => void>> },
): void {
  if (value.kind !== 'map') faults.push({ at: value.at, text: `"${path}" is no map` });
  for (const { key, at, value: own } of value.kind === 'map' ? value.entries : []) {
    const take = Object.hasOwn(keys, key) ? keys[key] : undefined;
    if (take !== undefined) take(own);
    else faults.push({ at, text: unknownKey(key, { path, known: Object.keys(keys) }) });
  }
}

/** What Compose takes where nothing is said: 30 s from one to the next and for each, three in a row. */
const healthDefaults = { interval: '30s', timeout: '30s', failures: '3' };

/** `ready` as it says, no check at all where it is switched off; undefined where something is wrong. */
export function healthcheck(value: Value, { path, faults }: Told): { ready?: CheckSpec } | undefined {
  const entries = new Map<string, Entry>(
    Object.entries(healthDefaults).map(([key, text]) => [key, { key, at: value.at, value: scalar(text, value.at) }]),
  );
  const before = faults.length;
  let isOff = false;
  const take = (key: string) => (own: Value) => void entries.set(key, { key, at: own.at, value: own });
  const takeDuration = (key: string) => (own: Value) => take(key)(scalar(goDuration(textOf(own) ?? ''), own.at));
  inside(value, {
    path,
    faults,
    keys: {
      test: (own) => {
        const words = testWords(own, { path, faults });
        if (words === 'none') isOff = true;
        else if (words !== undefined) take('exec')(words);
      },
      interval: takeDuration('interval'),
      timeout: takeDuration('timeout'),
      retries: take('failures'),
      // Until it holds for the first time an instance is not ready, here as there, and nothing is restarted for that.
      start_period: () => undefined,
      disable: (own) => (isOff ||= textOf(own) === 'true'),
    },
  });
  if (isOff) return {};
  if (!entries.has('exec') && faults.length === before)
    faults.push({ at: value.at, text: `"${path}.test" is missing, want a command, or disable: true` });
  const map: MapValue = { kind: 'map', at: value.at, entries: [...entries.values()] };
  const ready = faults.length > before ? undefined : checked(map, { schema: { ...Check }, path, faults });
  return fits(Check, ready) ? { ready } : undefined;
}

/** `[CMD, curl, …]`, `[CMD-SHELL, line]`, `[NONE]`, or a line for the shell. */
function testWords(value: Value, { path, faults }: Told): ListValue | 'none' | undefined {
  const shell = (line: Value): ListValue => ({
    kind: 'list',
    at: value.at,
    items: [scalar('/bin/sh', line.at), scalar('-c', line.at), line],
  });
  if (value.kind === 'scalar') return shell(value);
  const [first, ...rest] = value.kind === 'list' ? value.items : [];
  const word = first === undefined ? undefined : textOf(first);
  const [line] = rest;
  if (word === 'NONE') return 'none';
  if (word === 'CMD-SHELL' && line !== undefined && rest.length === 1) return shell(line);
  if (word === 'CMD' && rest.length > 0) return { kind: 'list', at: value.at, items: rest };
  faults.push({
    at: value.at,
    text: `"${path}.test" is not as Compose has it, want [CMD, …], [CMD-SHELL, LINE] or [NONE]`,
  });
  return undefined;
}

/** Compose stops an old one first where nothing is said; then that many may be missing, else that many more may be there. */
export function updateConfig(value: Value, { path, faults }: Told): Update | undefined {
  let parallelism: Value = scalar('1', value.at);
  let order = 'stop-first';
  const only = (key: string, wanted: readonly string[]) => (own: Value) => {
    const text = textOf(own) ?? '';
    if (wanted.includes(text)) return;
    faults.push({ at: own.at, text: `"${path}.${key}" is ${JSON.stringify(text)}, want ${wanted.join(' or ')}` });
  };
  const before = faults.length;
  inside(value, {
    path,
    faults,
    keys: {
      parallelism: (own) => void (parallelism = own),
      order: (own) => {
        only('order', ['start-first', 'stop-first'])(own);
        order = textOf(own) ?? '';
      },
      // A change halts where a new one does not become ready.
      failure_action: only('failure_action', ['pause']),
    },
  });
  const [most, other] = order === 'start-first' ? ['maxSurge', 'maxUnavailable'] : ['maxUnavailable', 'maxSurge'];
  const entries = [
    { key: most ?? '', at: parallelism.at, value: parallelism },
    { key: other ?? '', at: value.at, value: scalar('0', value.at) },
  ];
  if (faults.length > before) return undefined;
  const update = checked({ kind: 'map', at: value.at, entries }, { schema: { ...Update }, path, faults });
  return fits(Update, update) ? update : undefined;
}

/** `1m30s`, as Go writes durations, as milliseconds; what is none stays as it is, to be refused by name. */
export function goDuration(text: string): string {
  const parts = [...text.matchAll(/([0-9.]+(?:ms|s|m|h))/g)].map(([part]) => parseDuration(part));
  if (!/^([0-9.]+(ms|s|m|h))+$/.test(text)) return text;
  return `${parts.reduce((sum: number, part) => sum + (part ?? Infinity), 0)}ms`;
}

export function textOf(value: Value): string | undefined {
  if (value.kind !== 'scalar' || value.value === null) return undefined;
  return typeof value.value === 'string' ? value.value : value.text;
}

function scalar(text: string, at: Place): ScalarValue {
  return { kind: 'scalar', at, value: /^[0-9]+$/.test(text) ? Number(text) : text, text };
}
