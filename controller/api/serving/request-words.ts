// What is wrong with a request, in words: the first thing that breaks a rule, its value, and the rule. Pure, and cheap however
// much is wrong.
import type { FastifySchemaValidationError } from 'fastify/types/schema.js';
import type { ProblemCode } from '../../../protocol/api/problem.ts';
import { ruleOf } from '../../../protocol/api/rules.ts';

type Wrong = Pick<FastifySchemaValidationError, 'keyword' | 'instancePath' | 'params'> & {
  /** Both from Ajv's `verbose`. */
  data?: unknown;
  parentSchema?: Readonly<Record<string, unknown>>;
};

/** What a refusal repeats of what was sent. */
const repeatedCharacters = 60;

const places: Readonly<Record<string, string>> = {
  body: 'the body',
  querystring: 'the query',
  params: 'the path',
  headers: 'the headers',
};

export interface Fault {
  code: ProblemCode;
  detail: string;
}

export function invalidRequest(errors: readonly Wrong[], where: string): Fault {
  const [wrong] = errors;
  if (wrong === undefined) return invalid(`cannot accept ${places[where] ?? where}`);
  const { keyword, params, parentSchema = {} } = wrong;
  const name = nameOf(wrong, where);
  const known = Object.keys(isRecord(parentSchema['properties']) ? parentSchema['properties'] : {});
  switch (keyword) {
    case 'additionalProperties': {
      const extra = quoted(params['additionalProperty']);
      return where === 'querystring'
        ? unknownParameter(extra, known)
        : invalid(`cannot accept ${name}: it has no ${extra}, want ${listed(known)}`);
    }
    case 'required': {
      const missing = String(params['missingProperty']);
      const properties = parentSchema['properties'];
      const schema = isRecord(properties) ? properties[missing] : undefined;
      const rule = isRecord(schema) ? `, want ${ruleOf(schema)}` : '';
      return invalid(`cannot accept ${name} without "${missing}"${rule}`);
    }
    case 'minProperties':
      return invalid(`cannot accept ${name}: nothing is in it, want at least one of ${listed(known)}`);
    default:
      return invalid(`cannot accept ${name}: it is ${quoted(wrong.data)}, want ${ruleOf(parentSchema)}`);
  }
}

function invalid(detail: string): Fault {
  return { code: 'invalid-request', detail };
}

export function unknownParameter(name: string, known: readonly string[]): Fault {
  const wanted = known.length === 0 ? 'want none' : `want ${listed(known)}`;
  return {
    code: 'unknown-parameter',
    detail: `cannot accept the query parameter ${name}: it is not known here, ${wanted}`,
  };
}

/** `"port"`, `"env.PATH"`, or the whole where it is no field's. */
function nameOf({ instancePath }: Wrong, where: string): string {
  const path = instancePath.slice(1).replaceAll('/', '.').replaceAll('~1', '/').replaceAll('~0', '~');
  return path === '' ? (places[where] ?? where) : quoted(path);
}

function listed(names: readonly string[]): string {
  return names.join(', ') || 'nothing';
}

export function quoted(value: unknown): string {
  if (Array.isArray(value)) return `a list of ${value.length}`;
  if (isRecord(value)) return 'an object';
  if (value === undefined) return 'missing';
  if (typeof value !== 'string') return JSON.stringify(value);
  const text = JSON.stringify(value.slice(0, repeatedCharacters));
  return value.length > repeatedCharacters ? `${text.slice(0, -1)}…" (${value.length} characters)` : text;
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
