// What a value must be, in words and with an example: people read no patterns. Pure.
import {
  customerPattern,
  imageNamePattern,
  instancePattern,
  nodeNamePattern,
  operatorPattern,
  sha256Pattern,
  workloadPattern,
} from '../names.ts';
import { macPattern } from '../mac.ts';
import { numberTextPattern } from './fields.ts';

const patternRules = new Map([
  [customerPattern, 'a customer\u2019s name of 1 to 12 characters, a-z, 0-9 and _, the first a letter, as acme_2'],
  [workloadPattern, 'a workload\u2019s name of 1 to 30 characters, a-z, 0-9 and -, the first a letter, as web-2'],
  [instancePattern, 'an instance\u2019s id, its workload\u2019s name and 8 hexadecimal digits, as web-0000002a'],
  [
    imageNamePattern,
    'an image\u2019s name of 1 to 100 characters, a-z, 0-9 and . _ / -, the first a letter or digit, with or without a tag, as shop/web:1.2',
  ],
  [nodeNamePattern, 'a node\u2019s name of 1 to 32 characters, a-z, 0-9 and -, no - at either end, as node-c20001'],
  [operatorPattern, 'an operator\u2019s name of 1 to 32 characters, a-z, 0-9 and -, the first a letter, as anna'],
  [sha256Pattern, 'a SHA-256 of 64 hexadecimal digits in lower case'],
  [macPattern, 'a MAC address, as 02:00:00:c2:00:01'],
  [numberTextPattern, 'a whole number of at most 15 digits, as 100'],
]);

/** `a whole number from 1 to 65535`, from a JSON Schema. */
export function ruleOf(schema: Readonly<Record<string, unknown>>): string {
  const { type, enum: words, const: one, pattern, anyOf } = schema;
  if (Array.isArray(words)) return alternatives(words.map((word) => JSON.stringify(word)));
  if (one !== undefined) return JSON.stringify(one);
  if (Array.isArray(anyOf)) return alternatives(anyOf.map((each) => (isSchema(each) ? ruleOf(each) : 'another value')));
  if (typeof pattern === 'string') return patternRules.get(pattern) ?? 'another text: see /reference';
  switch (type) {
    case 'integer':
      return `a whole number${range(schema)}`;
    case 'number':
      return `a number${range(schema)}`;
    case 'string':
      return `text${length(schema, { least: 'minLength', most: 'maxLength', of: 'characters' })}`;
    case 'array':
      return `a list${length(schema, { least: 'minItems', most: 'maxItems', of: 'items' })}`;
    case 'object':
      return 'an object';
    case 'boolean':
      return 'true or false';
    case 'null':
      return 'null';
    default:
      return 'another value';
  }
}

function alternatives(words: readonly string[]): string {
  const last = words.at(-1) ?? '';
  return words.length < 2 ? last : `${words.slice(0, -1).join(', ')} or ${last}`;
}

function range({ minimum, maximum, exclusiveMinimum }: Readonly<Record<string, unknown>>): string {
  const most = typeof maximum === 'number' ? maximum : undefined;
  if (typeof exclusiveMinimum === 'number')
    return ` above ${exclusiveMinimum}${most === undefined ? '' : ` and at most ${most}`}`;
  if (typeof minimum !== 'number') return most === undefined ? '' : ` of at most ${most}`;
  return most === undefined ? ` of at least ${minimum}` : ` from ${minimum} to ${most}`;
}

function length(
  schema: Readonly<Record<string, unknown>>,
  { least, most, of }: { least: string; most: string; of: string },
): string {
  const [from, to] = [schema[least], schema[most]];
  if (typeof to !== 'number') return typeof from === 'number' ? ` of at least ${from} ${of}` : '';
  return typeof from === 'number' && from > 0 ? ` of ${from} to ${to} ${of}` : ` of at most ${to} ${of}`;
}

function isSchema(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null;
}
