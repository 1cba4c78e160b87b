// A file that says what a customer wants: its workloads, as `muster deploy -f` takes and `muster export` writes it. Its schema
// is made from the API's, so whatever the API has a file can say.
import { Type } from 'typebox';
import { Check } from 'typebox/value';
import { stringify } from 'yaml';
import { CustomerName } from '../../protocol/api/fields.ts';
import { WorkloadSpec } from '../../protocol/api/workloads.ts';
import { printableJson, printableLines } from '../../protocol/printable.ts';
import { customerPattern, workloadPattern } from '../../protocol/names.ts';
import { quantityOf } from '../../protocol/workload/quantities.ts';
import { checked, fileName } from './checked.ts';
import { entryOf, type Fault, type Source } from './source.ts';

/** Without `replicas` as many as there are stay, so that a file and `muster scale` do not undo each other. */
export type FileSpec = Omit<WorkloadSpec, 'replicas'> & { replicas?: number };

export interface FileWorkload {
  name: string;
  spec: FileSpec;
  /** Names of workloads that are to run before it is made or changed. */
  after: string[];
}

export interface Wishes {
  customer: string;
  workloads: FileWorkload[];
  /** What has to be known and stops nothing. */
  notes: Fault[];
}

const { replicas } = WorkloadSpec.properties;
const FileWorkloadSchema = Type.Object(
  { ...WorkloadSpec.properties, replicas: Type.Optional(replicas) },
  { additionalProperties: false },
);
const File = Type.Object(
  {
    customer: CustomerName,
    workloads: Type.Record(Type.String({ pattern: workloadPattern }), FileWorkloadSchema),
  },
  { additionalProperties: false },
);

/** `customer`: of the command line; the file may leave it out then, and may say no other. */
export function wishesOf(
  source: Source,
  { customer: given }: { customer: string | undefined },
): Wishes | { faults: Fault[] } {
  if ('faults' in source) return source;
  const { value } = source;
  const faults: Fault[] = [];
  if (value.kind !== 'map')
    return { faults: [{ at: value.at, text: 'want a map with the keys customer and workloads' }] };
  const said = entryOf(value, 'customer');
  if (said !== undefined && given !== undefined && said.value.kind === 'scalar' && said.value.text !== given)
    faults.push({ at: said.value.at, text: `"customer" is ${said.value.text}, and --customer says ${given}` });
  const schema = said === undefined && given !== undefined ? Type.Omit(File, ['customer']) : File;
  const file = checked(value, { schema: { ...schema, additionalProperties: false }, path: '', faults });
  if (faults.length > 0) return { faults };
  const whole: unknown = given === undefined ? file : { ...record(file), customer: given };
  // The schema that it was just checked by, piece by piece.
  if (!Check(File, whole)) return { faults: [{ at: value.at, text: 'cannot read this file' }] };
  const workloads = Object.entries(whole.workloads).map(([name, spec]) => ({ name, spec, after: [] }));
  if (workloads.length === 0) return { faults: [{ at: value.at, text: '"workloads" is empty, want at least one' }] };
  return { customer: whole.customer, workloads, notes: [] };
}

/** As YAML, which reads back to the same. */
export function fileText({ customer, workloads }: { customer: string; workloads: [string, WorkloadSpec][] }): string {
  const named = Object.fromEntries(workloads.map(([name, spec]) => [name, underFileNames(spec)]));
  const text = stringify({ customer, workloads: named }, { lineWidth: 0 });
  // What would steer a terminal is written by its number, which only JSON, a kind of YAML, does for all of it.
  return printableLines(text) === text
    ? text
    : `${printableJson(JSON.stringify({ customer, workloads: named }, null, 2))}\n`;
}

function underFileNames(value: unknown, field = ''): unknown {
  if (Array.isArray(value)) return value.map((item) => underFileNames(item));
  if (typeof value === 'number') return quantityOf(field)?.text(value) ?? value;
  if (typeof value !== 'object' || value === null) return value;
  // Names in an environment are the customer's own: `LIMIT_Ms` is no duration.
  if (field === 'env') return value;
  return Object.fromEntries(Object.entries(value).map(([name, own]) => [fileName(name), underFileNames(own, name)]));
}

/** JSON Schema, for editors: `docs/workloads.schema.json`, and `muster schema`. */
export function fileSchema(): object {
  return {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    title: 'What a customer of Muster wants',
    type: 'object',
    required: ['customer', 'workloads'],
    properties: {
      customer: { type: 'string', pattern: customerPattern },
      workloads: {
        type: 'object',
        minProperties: 1,
        patternProperties: { [workloadPattern]: forPeople(FileWorkloadSchema, '') },
        additionalProperties: false,
      },
    },
    additionalProperties: false,
  };
}

function forPeople(schema: unknown, field: string): unknown {
  if (Array.isArray(schema)) return schema.map((each) => forPeople(each, field));
  if (typeof schema !== 'object' || schema === null) return schema;
  const quantity = quantityOf(field);
  const { type, description, minimum, maximum } = record(schema);
  if (quantity !== undefined && (type === 'integer' || type === 'number')) {
    const range =
      typeof minimum === 'number' && typeof maximum === 'number'
        ? `, ${quantity.text(minimum)} to ${quantity.text(maximum)}`
        : '';
    const told = typeof description === 'string' ? `${description} ` : '';
    return { description: `${told}Want ${quantity.what}${range}.`, type: ['string', 'integer'] };
  }
  return Object.fromEntries(
    Object.entries(schema).map(([key, part]): [string, unknown] => {
      if (key === 'properties')
        return [
          key,
          Object.fromEntries(Object.entries(record(part)).map(([name, own]) => [fileName(name), forPeople(own, name)])),
        ];
      if (key === 'required' && Array.isArray(part)) return [key, part.map((name) => fileName(String(name)))];
      return [key, ['items', 'anyOf', 'patternProperties'].includes(key) ? forPeople(part, '') : part];
    }),
  );
}

function record(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null ? { ...value } : {};
}
