// The useful part of a Compose file as wishes for workloads. What Muster cannot do is never left out in silence: each such key
// is a fault with its place, and what is done otherwise than Compose does it is a note. Pure: files that it names are read by
// the caller.
import { Check } from 'typebox/value';
import { WorkloadSpec } from '../../protocol/api/workloads.ts';
import { customerPattern, workloadPattern } from '../../protocol/names.ts';
import { containerCapabilities } from '../../protocol/container/capabilities.ts';
import { parseDuration, parseSize } from '../../protocol/workload/quantities.ts';
import { checked, fileName, unknownKey } from './checked.ts';
import { shellWords } from './shell-words.ts';
import { entryOf, type Entry, type Fault, type MapValue, type Source, type Value } from './source.ts';
import type { FileSpec, FileWorkload, Wishes } from './workload-file.ts';

export interface ComposeSurroundings {
  /** Compose knows none. */
  customer: string | undefined;
  /** What an image starts with, or undefined where there is no such image. */
  readonly entrypointOf: (image: string) => readonly string[] | undefined;
  /** A file that the Compose file names, beside which it lies; undefined where it cannot be read. */
  readonly readBeside: (path: string) => string | undefined;
}

export function isCompose(source: Source): boolean {
  return 'value' in source && source.value.kind === 'map' && entryOf(source.value, 'services') !== undefined;
}

export function composeWishes(source: Source, surroundings: ComposeSurroundings): Wishes | { faults: Fault[] } {
  if ('faults' in source) return source;
  const { value } = source;
  const { customer } = surroundings;
  const services = value.kind === 'map' ? entryOf(value, 'services') : undefined;
  if (value.kind !== 'map' || services?.value.kind !== 'map')
    return { faults: [{ at: value.at, text: 'want a Compose file with services' }] };
  if (customer === undefined || !new RegExp(customerPattern).test(customer))
    return { faults: [{ at: value.at, text: 'a Compose file names no customer, want --customer NAME' }] };
  const reading: Reading = { ...surroundings, faults: [], notes: [] };
  for (const { key, at } of value.entries) {
    if (key === 'services' || key === 'version' || key.startsWith('x-')) continue;
    if (key === 'name') reading.notes.push({ at, text: '"name" means nothing here: --customer says whose it is' });
    else reading.faults.push({ at, text: notSupported(key) });
  }
  const workloads = services.value.entries.flatMap((entry) => serviceWorkload(entry, reading));
  if (services.value.entries.length === 0)
    reading.faults.push({ at: services.value.at, text: '"services" is empty, want at least one' });
  const { faults, notes } = reading;
  refuseUnknownAfter(workloads, { services: services.value, faults });
  const ordered = inOrder(workloads, { services: services.value, faults });
  return faults.length > 0 ? { faults } : { customer, workloads: ordered, notes };
}

interface Reading extends ComposeSurroundings {
  faults: Fault[];
  notes: Fault[];
}

/** What is gathered of one service. */
interface Service extends Reading {
  path: string;
  spec: Map<string, unknown>;
  after: string[];
  entrypoint?: string[];
  command?: string[];
  dropped?: CapabilityNames;
  added?: CapabilityNames;
  env: Map<string, string>;
  envFile: Map<string, string>;
}

type Take = (entry: Entry, service: Service) => void;

const taken: Readonly<Record<string, Take>> = {
  image: ({ value }, service) => field({ name: 'image', value }, service),
  command: ({ value }, service) => {
    const words = wordsOf(value, service);
    if (words !== undefined) service.command = words;
  },
  entrypoint: ({ value }, service) => {
    const words = wordsOf(value, service);
    if (words !== undefined) service.entrypoint = words;
  },
  environment: ({ value }, service) => environment(value, service),
  env_file: ({ value }, service) => envFiles(value, service),
  ports: ({ value, at }, service) => ports({ value, at }, service),
  depends_on: ({ value }, service) => dependsOn(value, service),
  deploy: ({ value }, service) => deploy(value, service),
  restart: ({ value }, { faults }) => {
    const text = textOf(value);
    if (text === 'always' || text === 'unless-stopped') return;
    faults.push({ at: value.at, text: `"restart" is ${text ?? 'no word'}: what ends is started again, want always` });
  },
  mem_limit: ({ value }, service) => size(value, service),
  cpus: ({ value }, service) => number({ name: 'cpu', value }, service),
  pids_limit: ({ value }, service) => number({ name: 'processes', value }, service),
  user: ({ value }, service) => field({ name: 'user', value }, service),
  stop_signal: ({ value }, service) => field({ name: 'stopSignal', value }, service),
  stop_grace_period: ({ value }, service) => stopGrace(value, service),
  cap_drop: ({ value }, service) => void (service.dropped = capabilityNames(value, service)),
  cap_add: ({ value }, service) => {
    service.added = capabilityNames(value, service);
    for (const name of service.added)
      if (name !== 'ALL' && !containerCapabilities.some((known) => known === name))
        service.faults.push({ at: value.at, text: `${service.path}: nobody gets the capability ${name} here` });
  },
  scale: ({ value }, service) => field({ name: 'replicas', value }, service),
  read_only: ({ value }, { faults }) => {
    if (textOf(value) === 'false') return;
    faults.push({
      at: value.at,
      text: '"read_only" cannot be: an instance may write 16 MB, which its next start empties',
    });
  },
};

function serviceWorkload({ key, at, value }: Entry, reading: Reading): FileWorkload[] {
  const { faults } = reading;
  if (!new RegExp(workloadPattern).test(key))
    faults.push({ at, text: `${JSON.stringify(key)} is no workload's name, want 1 to 30 of a-z, 0-9 and -` });
  if (value.kind !== 'map') {
    faults.push({ at: value.at, text: `the service ${key} is no map, want one with at least an image` });
    return [];
  }
  const service: Service = {
    ...reading,
    path: `services.${key}`,
    spec: new Map(),
    after: [],
    env: new Map(),
    envFile: new Map(),
  };
  for (const entry of value.entries) {
    const take = Object.hasOwn(taken, entry.key) ? taken[entry.key] : undefined;
    if (entry.key.startsWith('x-')) continue;
    if (take === undefined) faults.push({ at: entry.at, text: `${service.path}: ${notSupported(entry.key)}` });
    else if (!isFilledIn(entry.value, service)) take(entry, service);
  }
  const image = service.spec.get('image');
  if (typeof image !== 'string') {
    if (entryOf(value, 'image') === undefined)
      faults.push({ at, text: `"${service.path}.image" is missing: nothing is built here, import an image first` });
    return [];
  }
  command({ at, image }, service);
  capabilities(service);
  const env = new Map([...service.envFile, ...service.env]);
  if (env.size > 0) service.spec.set('env', Object.fromEntries(env));
  const spec = specOf(service.spec);
  if (spec === undefined) {
    if (faults.length === 0) faults.push({ at, text: `the service ${key} is no workload as it is` });
    return [];
  }
  return [{ name: key, spec, after: service.after }];
}

/** Each field was checked by itself where it was read. */
function specOf(fields: ReadonlyMap<string, unknown>): FileSpec | undefined {
  const whole: unknown = { replicas: 0, ...Object.fromEntries(fields) };
  if (!Check(WorkloadSpec, whole)) return undefined;
  const { replicas, ...spec } = whole;
  return fields.has('replicas') ? { ...spec, replicas } : spec;
}

type CapabilityNames = ReadonlySet<string>;

/** `NET_RAW`, `CAP_NET_RAW` or `ALL`. One that nobody has here is dropped already, and cannot be added. */
function capabilityNames(value: Value, { faults, path }: Service): CapabilityNames {
  const items = value.kind === 'list' ? value.items : [value];
  return new Set(
    items.flatMap((item) => {
      const name = textOf(item)?.toUpperCase().replace(/^CAP_/, '');
      if (name !== undefined && /^[A-Z_]+$/.test(name)) return [name];
      faults.push({ at: item.at, text: `${path}: a capability is no word, want one like NET_RAW or ALL` });
      return [];
    }),
  );
}

function capabilities({ dropped = new Set(), added = new Set(), spec }: Service): void {
  if (dropped.size + added.size === 0) return;
  const kept = containerCapabilities.filter(
    (name) => added.has(name) || added.has('ALL') || !(dropped.has('ALL') || dropped.has(name)),
  );
  if (kept.length < containerCapabilities.length) spec.set('capabilities', kept);
}

/** `1m30s`, as Go writes durations. */
function stopGrace(value: Value, service: Service): void {
  const text = textOf(value) ?? '';
  const parts = [...text.matchAll(/([0-9.]+(?:ms|s|m|h))/g)].map(([part]) => parseDuration(part));
  const isWhole = /^([0-9.]+(ms|s|m|h))+$/.test(text) && parts.every((part) => part !== undefined);
  const ms = isWhole ? parts.reduce((sum: number, part) => sum + (part ?? 0), 0) : undefined;
  const plain: Value = { kind: 'scalar', at: value.at, value: text, text: ms === undefined ? text : `${ms}ms` };
  field({ name: 'stopGraceMs', value: plain }, service);
}

/** Its own words replace the image's command and stand behind its entry point, which only `entrypoint` replaces. */
function command({ at, image }: { at: Entry['at']; image: string }, service: Service): void {
  const { entrypoint, command: words, spec, faults, entrypointOf } = service;
  if (entrypoint !== undefined) spec.set('command', [...entrypoint, ...(words ?? [])]);
  if (entrypoint !== undefined || words === undefined) return;
  const own = entrypointOf(image);
  if (own === undefined)
    faults.push({
      at,
      text: `${service.path}: there is no image ${image}, and "command" goes behind its entry point: import it first`,
    });
  else spec.set('command', [...own, ...words]);
}

/** `name`: of the API. */
interface Field {
  name: string;
  value: Value;
}

function field({ name, value }: Field, service: Service): void {
  const properties: Readonly<Record<string, unknown>> = WorkloadSpec.properties;
  const schema = properties[name];
  if (typeof schema !== 'object' || schema === null) return;
  const { faults, path, spec } = service;
  spec.set(name, checked(value, { schema: { ...schema }, path: `${path}.${fileName(name)}`, faults, field: name }));
}

function number({ name, value }: Field, service: Service): void {
  const text = textOf(value) ?? '';
  const plain = /^[0-9]+(\.[0-9]+)?$/.test(text) ? Number(text) : text;
  field({ name, value: { kind: 'scalar', at: value.at, value: plain, text } }, service);
}

/** `64m`, `1gb`: Compose writes units in small letters. */
function size(value: Value, service: Service): void {
  const text = textOf(value) ?? '';
  const bytes = parseSize(text);
  const plain: Value = { kind: 'scalar', at: value.at, value: bytes ?? text, text: bytes?.toString() ?? text };
  field({ name: 'memoryBytes', value: plain }, service);
}

function wordsOf(value: Value, { faults, path }: Service): string[] | undefined {
  if (value.kind === 'list') {
    const words = value.items.map(textOf);
    if (words.every((word) => word !== undefined)) return words.map(withoutDoubled);
  }
  const text = textOf(value);
  const words = text === undefined ? undefined : shellWords(text);
  if (words === undefined)
    faults.push({ at: value.at, text: `${path}: want a list of words, or one line with every quote closed` });
  return words?.map(withoutDoubled);
}

function environment(value: Value, service: Service): void {
  const { env, faults, path } = service;
  const pairs: { at: Value['at']; name: string; text: string | undefined }[] = [];
  if (value.kind === 'map')
    for (const entry of value.entries) pairs.push({ at: entry.at, name: entry.key, text: textOf(entry.value) });
  if (value.kind === 'list')
    for (const item of value.items) {
      const [, name = '', text] = /^([^=]*)(?:=(.*))?$/s.exec(textOf(item) ?? '') ?? [];
      pairs.push({ at: item.at, name, text });
    }
  if (value.kind === 'scalar')
    faults.push({ at: value.at, text: `"${path}.environment" is no map and no list of NAME=VALUE` });
  for (const { at, name, text } of pairs) {
    if (text === undefined)
      faults.push({ at, text: `"${path}.environment.${name}" has no value: nothing is taken from where muster runs` });
    else if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(name))
      faults.push({ at, text: `${JSON.stringify(name)} is no variable's name, want letters, digits and _` });
    else env.set(name, withoutDoubled(text));
  }
}

function envFiles(value: Value, { envFile, faults, readBeside }: Service): void {
  for (const item of value.kind === 'list' ? value.items : [value]) {
    const named = item.kind === 'map' ? entryOf(item, 'path')?.value : item;
    const required = item.kind === 'map' ? entryOf(item, 'required')?.value : undefined;
    const path = named === undefined ? undefined : textOf(named);
    const text = path === undefined ? undefined : readBeside(path);
    if (text === undefined) {
      if (required !== undefined && textOf(required) === 'false') continue;
      faults.push({ at: item.at, text: `cannot read the file ${JSON.stringify(path ?? '')} of "env_file"` });
    }
    for (const [at, line] of (text ?? '').split(/\r?\n/).entries()) {
      if (/^\s*(#|$)/.test(line)) continue;
      const [, name, raw = ''] = /^\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)=(.*)$/.exec(line) ?? [];
      const quoted = /^(['"])(.*)\1\s*$/s.exec(raw)?.[2];
      if (name === undefined) faults.push({ at: item.at, text: `line ${at + 1} of ${path ?? ''} is not NAME=VALUE` });
      else envFile.set(name, quoted ?? raw.replace(/\s+#.*$/, '').trim());
    }
  }
}

function ports({ value, at }: Pick<Entry, 'value' | 'at'>, service: Service): void {
  const { faults, notes, path } = service;
  const [only, second] = value.kind === 'list' ? value.items : [];
  if (only === undefined || second !== undefined) {
    faults.push({ at: second?.at ?? at, text: `"${path}.ports": an instance has one port, want a list of one` });
    return;
  }
  const long = only.kind === 'map' ? only : undefined;
  const [, published, target, protocol] =
    /^(?:(?:[0-9.]+:)?([0-9]*):)?([0-9]+)(?:\/(\w+))?$/.exec(textOf(only) ?? '') ?? [];
  for (const { key, at: place } of long?.entries ?? [])
    if (!['target', 'published', 'protocol', 'mode', 'name'].includes(key))
      faults.push({ at: place, text: `${path}.ports: ${notSupported(key)}` });
  const told = (key: string) => {
    const entry = long === undefined ? undefined : entryOf(long, key);
    return entry === undefined ? undefined : textOf(entry.value);
  };
  if ((protocol ?? told('protocol') ?? 'tcp') !== 'tcp')
    faults.push({ at: only.at, text: `"${path}.ports": only tcp is led to an instance` });
  const outside = published ?? told('published');
  if (outside !== undefined && outside !== '')
    notes.push({
      at: only.at,
      text: `each instance of ${path.slice('services.'.length)} is reached at a port of its node, which muster ps shows, not at ${outside}`,
    });
  const text = target ?? told('target') ?? '';
  number({ name: 'port', value: { kind: 'scalar', at: only.at, value: text, text } }, service);
}

const conditions = ['service_started', 'service_healthy'];

function dependsOn(value: Value, { after, faults, path }: Service): void {
  if (value.kind === 'list') after.push(...value.items.flatMap((item) => textOf(item) ?? []));
  if (value.kind !== 'map') return;
  for (const { key, value: about } of value.entries) {
    after.push(key);
    for (const each of about.kind === 'map' ? about.entries : []) {
      const text = textOf(each.value) ?? '';
      if (each.key === 'condition' && !conditions.includes(text))
        faults.push({
          at: each.value.at,
          text: `"${path}.depends_on.${key}.condition" is ${JSON.stringify(text)}, want ${conditions.join(' or ')}`,
        });
      else if (each.key === 'restart' || each.key === 'required' || each.key === 'condition') continue;
      else faults.push({ at: each.at, text: `${path}.depends_on: ${notSupported(each.key)}` });
    }
  }
}

/** `deploy:`, the part of it that is about what an instance may use and how many there are. */
function deploy(value: Value, service: Service): void {
  const limits: Part = {
    path: 'deploy.resources.limits',
    keys: {
      memory: (own) => size(own, service),
      cpus: (own) => number({ name: 'cpu', value: own }, service),
      pids: (own) => number({ name: 'processes', value: own }, service),
    },
  };
  const resources: Part = {
    path: 'deploy.resources',
    keys: { limits: (own) => inside(own, { ...limits, service }) },
  };
  const restartPolicy: Part = {
    path: 'deploy.restart_policy',
    keys: {
      condition: (own) => {
        if (textOf(own) === 'any') return;
        const said = `"${service.path}.deploy.restart_policy.condition" is ${textOf(own) ?? 'no word'}`;
        service.faults.push({ at: own.at, text: `${said}: what ends is started again, want any` });
      },
    },
  };
  inside(value, {
    path: 'deploy',
    keys: {
      replicas: (own) => field({ name: 'replicas', value: own }, service),
      resources: (own) => inside(own, { ...resources, service }),
      restart_policy: (own) => inside(own, { ...restartPolicy, service }),
    },
    service,
  });
}

/** The keys of a map in a service that are understood. */
interface Part {
  path: string;
  keys: Readonly<Record<string, (own: Value) => void>>;
}

function inside(value: Value, { path, keys, service }: Part & { service: Service }): void {
  if (value.kind !== 'map') service.faults.push({ at: value.at, text: `"${service.path}.${path}" is no map` });
  for (const { key, at, value: own } of value.kind === 'map' ? value.entries : []) {
    const take = Object.hasOwn(keys, key) ? keys[key] : undefined;
    const known = Object.keys(keys);
    if (take !== undefined) take(own);
    else service.faults.push({ at, text: unknownKey(key, { path: `${service.path}.${path}`, known }) });
  }
}

/** Compose fills in variables of whoever runs it: nothing of that comes to a customer's containers unseen. */
function isFilledIn(value: Value, service: Service): boolean {
  if (value.kind === 'map') return value.entries.map((entry) => isFilledIn(entry.value, service)).some(Boolean);
  if (value.kind === 'list') return value.items.map((item) => isFilledIn(item, service)).some(Boolean);
  if (typeof value.value !== 'string' || !/(?<!\$)(\$\$)*\$(\{|[A-Za-z_])/.test(value.value)) return false;
  service.faults.push({
    at: value.at,
    text: `${JSON.stringify(value.value.slice(0, 60))} has a variable, and none is filled in: write its value, or $$ for a $`,
  });
  return true;
}

function withoutDoubled(text: string): string {
  return text.replaceAll('$$', '$');
}

function refuseUnknownAfter(
  workloads: readonly FileWorkload[],
  { services, faults }: { services: MapValue; faults: Fault[] },
): void {
  const names = new Set(services.entries.map(({ key }) => key));
  for (const { name, after } of workloads)
    for (const other of after)
      if (!names.has(other))
        faults.push({
          at: entryOf(services, name)?.at ?? services.at,
          text: `the service ${name} depends on ${other}, and there is none of that name`,
        });
}

/** Each behind those that it depends on, else as they stand in the file. */
function inOrder(
  workloads: readonly FileWorkload[],
  { services, faults }: { services: MapValue; faults: Fault[] },
): FileWorkload[] {
  const ordered: FileWorkload[] = [];
  const left = new Set(workloads);
  while (left.size > 0) {
    const names = new Set(Array.from(left, ({ name }) => name));
    const next = [...left].filter(({ after }) => !after.some((name) => names.has(name)));
    if (next.length === 0) {
      faults.push({ at: services.at, text: `services depend on each other in a circle: ${[...names].join(', ')}` });
      break;
    }
    for (const each of next) left.delete(each);
    ordered.push(...next);
  }
  return ordered;
}

function textOf(value: Value): string | undefined {
  if (value.kind !== 'scalar' || value.value === null) return undefined;
  return typeof value.value === 'string' ? value.value : value.text;
}

function notSupported(key: string): string {
  return `${JSON.stringify(key)} is not supported: take it out`;
}
