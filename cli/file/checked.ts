// A value of a file against a schema of the API. In a file the fields have the names that people give them: `memory: 64M` is
// `memoryBytes` (see `protocol/workload/quantities.ts`). Everything that is wrong is said, each with its place.
import { Check } from 'typebox/value';
import { ruleOf } from '../../protocol/api/rules.ts';
import { quantityOf } from '../../protocol/workload/quantities.ts';
import { suggestion } from '../arguments/suggestion.ts';
import type { Entry, Fault, MapValue, Value } from './source.ts';

type Schema = Readonly<Record<string, unknown>>;

interface Wanted {
  schema: Schema;
  /** `workloads.web.memory`, for the sentences. */
  path: string;
  faults: Fault[];
  /** The field of the API that it is. */
  field?: string;
}

/** The value as the API has it; of use only where no fault was added. */
export function checked(value: Value, wanted: Wanted): unknown {
  const { faults, path } = wanted;
  const schema = fitting(value, wanted.schema);
  if (schema['type'] === 'object' && value.kind === 'map') return checkedMap(value, { ...wanted, schema });
  if (schema['type'] === 'array' && value.kind === 'list') {
    const items = isSchema(schema['items']) ? schema['items'] : {};
    const list = value.items.map((item, at) => checked(item, { schema: items, path: `${path}[${at}]`, faults }));
    const count = { minItems: schema['minItems'] ?? 0, maxItems: schema['maxItems'] ?? Infinity };
    if (list.length < Number(count.minItems) || list.length > Number(count.maxItems))
      faults.push({ at: value.at, text: `"${path}" is a list of ${list.length}, want ${ruleOf(schema)}` });
    return list;
  }
  const plain = plainOf(value, { ...wanted, schema });
  if (plain !== undefined && Check(schema, plain)) return plain;
  faults.push({ at: value.at, text: `"${path}" is ${shown(value)}, want ${wish({ ...wanted, schema })}` });
  return undefined;
}

/** What a field is called in a file. */
export function fileName(field: string): string {
  return quantityOf(field)?.name ?? field;
}

function checkedMap(map: MapValue, { schema, path, faults }: Wanted): unknown {
  const properties = schema['properties'];
  if (!isSchema(properties)) return checkedRecord(map, { schema, path, faults });
  const fields = new Map(Object.keys(properties).map((field) => [fileName(field), field]));
  const found = new Map<string, unknown>();
  for (const { key, at, value } of map.entries) {
    const field = fields.get(key);
    const own = field === undefined ? undefined : properties[field];
    if (field === undefined || !isSchema(own)) {
      faults.push({ at, text: unknownKey(key, { path, known: [...fields.keys()] }) });
      continue;
    }
    found.set(field, checked(value, { schema: own, path: join(path, key), faults, field }));
  }
  const required: unknown[] = Array.isArray(schema['required']) ? schema['required'] : [];
  for (const field of required.filter((each) => typeof each === 'string')) {
    const own = properties[field];
    if (found.has(field) || !isSchema(own)) continue;
    const text = `"${join(path, fileName(field))}" is missing, want ${wish({ schema: own, path, faults, field })}`;
    faults.push({ at: map.at, text });
  }
  return Object.fromEntries(found);
}

function checkedRecord(map: MapValue, { schema, path, faults }: Wanted): unknown {
  const patterns = isSchema(schema['patternProperties']) ? schema['patternProperties'] : {};
  const [[pattern, own] = ['', undefined]] = Object.entries(patterns);
  const entries = map.entries.flatMap(({ key, at, value }: Entry): [string, unknown][] => {
    if (!new RegExp(pattern).test(key)) {
      faults.push({ at, text: `${JSON.stringify(key)} in "${path}" is no such name: ${ruleOfName(pattern)}` });
      return [];
    }
    return [[key, checked(value, { schema: isSchema(own) ? own : {}, path: join(path, key), faults })]];
  });
  return Object.fromEntries(entries);
}

function ruleOfName(pattern: string): string {
  const rule = ruleOf({ pattern });
  return rule.startsWith('another text') ? 'want letters, digits and _, no digit first, as MAX_SIZE' : `want ${rule}`;
}

export function unknownKey(key: string, { path, known }: { path: string; known: readonly string[] }): string {
  const meant = suggestion(key, known);
  const hint = meant === undefined ? '' : `did you mean ${meant}? `;
  return `there is no ${JSON.stringify(key)}${path === '' ? ' here' : ` in "${path}"`}: ${hint}want ${known.join(', ')}`;
}

/** Of several that are possible the one for such a value; null, which takes away, says nothing in a file. */
function fitting({ kind }: Value, schema: Schema): Schema {
  const possible: unknown[] = Array.isArray(schema['anyOf']) ? schema['anyOf'] : [];
  const schemas = possible.filter(isSchema).filter(({ type }) => type !== 'null');
  const type = kind === 'map' ? 'object' : kind === 'list' ? 'array' : undefined;
  if (type !== undefined) return schemas.find((each) => each['type'] === type) ?? schema;
  const [only, ...others] = schemas;
  return only !== undefined && others.length === 0 ? only : schema;
}

/** A scalar in the type that is wanted, where it can be one without a guess. */
function plainOf(value: Value, { schema, field = '' }: Wanted): unknown {
  if (value.kind !== 'scalar' || value.value === null) return undefined;
  // A version or a port is text where text is wanted, with or without quotes.
  if (schema['type'] === 'string') return typeof value.value === 'string' ? value.value : value.text;
  const quantity = quantityOf(field);
  return quantity === undefined ? value.value : quantity.parse(value.text);
}

function wish({ schema, field = '' }: Wanted): string {
  const quantity = quantityOf(field);
  if (quantity === undefined) return ruleOf(schema);
  const { minimum, maximum } = schema;
  const isRange = typeof minimum === 'number' && typeof maximum === 'number';
  return `${quantity.what}${isRange ? `, ${quantity.text(minimum)} to ${quantity.text(maximum)}` : ''}`;
}

function shown(value: Value): string {
  if (value.kind !== 'scalar') return value.kind === 'map' ? 'a map' : `a list of ${value.items.length}`;
  if (value.value === null) return 'empty';
  return typeof value.value === 'string' ? JSON.stringify(value.value.slice(0, 60)) : value.text;
}

function join(path: string, key: string): string {
  return path === '' ? key : `${path}.${key}`;
}

function isSchema(value: unknown): value is Schema {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
