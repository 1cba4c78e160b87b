// Is an answer what the API's description says? `docs/openapi.json` is made from the schemas by which the controller answers;
// reading it takes two milliseconds, while loading the program that the schemas are written with takes longer than all
// else that a command does. Only the shape is looked at, which is what printing relies on: types, what must be there, and
// choices; not patterns and bounds.
import { readFileSync } from 'node:fs';

export interface Answered {
  method: string;
  /** As it was asked for, without the query. */
  path: string;
  status: number;
  value: unknown;
}

/** True also where nothing is described, and where this installation comes without the description. */
export function describedAnswer({ method, path, status, value }: Answered, described = ourDescription()): boolean {
  const operation = member(member(member(described, 'paths'), templateOf(path, described)), method.toLowerCase());
  const answer = member(member(operation, 'responses'), String(status));
  const schema = member(member(member(answer, 'content'), 'application/json'), 'schema');
  return hasShape(value, { schema, root: described });
}

let read: unknown;

function ourDescription(): unknown {
  if (read !== undefined) return read;
  try {
    read = JSON.parse(readFileSync(new URL('../../docs/openapi.json', import.meta.url), 'utf8'));
  } catch {
    // The check is for whoever asks another version; a broken installation must still be able to stop a customer.
    read = {};
  }
  return read;
}

/** `/v1/kill/{number}` for `/v1/kill/3`; of several that fit, the one with the most words of its own. */
function templateOf(path: string, described: unknown): string {
  const parts = path.split('/');
  const paths = member(described, 'paths');
  const fitting = Object.keys(isRecord(paths) ? paths : {})
    .map((template) => ({ template, own: template.split('/') }))
    .filter(
      ({ own }) => own.length === parts.length && own.every((part, at) => part.startsWith('{') || part === parts[at]),
    );
  const variables = (own: readonly string[]) => own.filter((part) => part.startsWith('{')).length;
  return fitting.toSorted((a, b) => variables(a.own) - variables(b.own))[0]?.template ?? '';
}

/** A schema, and the document in which its references are found. */
interface Described {
  schema: unknown;
  root: unknown;
}

/** By the words of JSON Schema that our schemas use, in the dialects of OpenAPI 3.0 (`nullable`) and 3.1. */
export function hasShape(value: unknown, { schema, root }: Described): boolean {
  if (!isRecord(schema)) return true;
  const { $ref: reference, nullable, type, enum: choices, anyOf, oneOf, allOf } = schema;
  if (typeof reference === 'string') return hasShape(value, { schema: referred(reference, root), root });
  if (value === null && nullable === true) return true;
  if ('const' in schema && value !== schema['const']) return false;
  if (Array.isArray(choices) && !choices.includes(value)) return false;
  if (type !== undefined && ![type].flat().some((each) => isOfType(value, each))) return false;
  const fits = (each: unknown) => hasShape(value, { schema: each, root });
  for (const union of [anyOf, oneOf]) if (Array.isArray(union) && !union.some(fits)) return false;
  if (Array.isArray(allOf) && !allOf.every(fits)) return false;
  if (Array.isArray(value)) {
    const items = { schema: schema['items'], root };
    return value.every((item) => hasShape(item, items));
  }
  return !isRecord(value) || hasMembers(value, { schema, root });
}

function hasMembers(
  value: Record<string, unknown>,
  { schema, root }: { schema: Record<string, unknown>; root: unknown },
): boolean {
  const { required, properties, additionalProperties, patternProperties } = schema;
  if (Array.isArray(required) && !required.every((name) => typeof name === 'string' && Object.hasOwn(value, name)))
    return false;
  // A record of the schemas; which names it may have is no matter of shape.
  const others =
    additionalProperties ?? (isRecord(patternProperties) ? Object.values(patternProperties)[0] : undefined);
  return Object.entries(value).every(([name, part]) =>
    hasShape(part, { schema: member(properties, name) ?? others, root }),
  );
}

function isOfType(value: unknown, type: unknown): boolean {
  if (type === 'null') return value === null;
  if (type === 'array') return Array.isArray(value);
  if (type === 'object') return isRecord(value);
  if (type === 'integer') return Number.isInteger(value);
  return typeof value === type;
}

/** `#/components/schemas/Node` */
function referred(reference: string, root: unknown): unknown {
  const parts = reference.replace(/^#\//, '').split('/');
  return parts.reduce((at: unknown, part) => member(at, part.replaceAll('~1', '/').replaceAll('~0', '~')), root);
}

function member(value: unknown, name: string): unknown {
  return isRecord(value) && Object.hasOwn(value, name) ? value[name] : undefined;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
