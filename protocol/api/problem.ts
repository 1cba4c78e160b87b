// Every refusal, as RFC 9457 has it: `application/problem+json` with a code that stays, and one sentence that says what was
// wrong and what was wanted. Programs go by the code, people by the sentence.
import { Type, type Static } from 'typebox';
import { told } from './fields.ts';

interface ProblemKind {
  status: number;
  title: string;
  /** When it comes, and what to do. */
  about: string;
}

export const problems = {
  'invalid-request': {
    status: 400,
    title: 'Invalid request',
    about: 'A parameter or the body breaks a rule. `detail` names the first that does, its value, and the rule.',
  },
  'invalid-json': { status: 400, title: 'Invalid JSON', about: 'The body is no JSON document, or none at all.' },
  'unknown-parameter': {
    status: 400,
    title: 'Unknown query parameter',
    about: 'The route has no such query parameter. `detail` names those that it has.',
  },
  'no-token': {
    status: 401,
    title: 'No token',
    about: 'Send an operator\u2019s token as `Authorization: Bearer TOKEN`.',
  },
  'wrong-token': {
    status: 401,
    title: 'Wrong token',
    about: 'No operator has this token (any more). Another operator makes a new one with `muster operator add NAME`.',
  },
  'no-session': {
    status: 401,
    title: 'No session',
    about: 'Agents: no standing session proves the request. Join first.',
  },
  forbidden: { status: 403, title: 'Forbidden', about: 'Who asks is known, and may not.' },
  'other-site': { status: 403, title: 'Page of another site', about: 'Browsers may ask for our own page only.' },
  'join-refused': {
    status: 403,
    title: 'Join refused',
    about: 'Agents: `detail` says why; a restart brings a new token.',
  },
  'not-found': { status: 404, title: 'No such thing', about: 'There is none of that name, or none any more.' },
  'no-route': { status: 404, title: 'No such route', about: 'The API has no such path. `/openapi.json` lists all.' },
  'method-not-allowed': {
    status: 405,
    title: 'Method not allowed',
    about: 'The path has other methods: see the header `Allow`.',
  },
  timeout: { status: 408, title: 'Too slow', about: 'The request did not come to its end in time.' },
  conflict: {
    status: 409,
    title: 'Refused as things stand',
    about: 'The request is understood, and what is there now forbids it. `detail` says what.',
  },
  'precondition-failed': {
    status: 412,
    title: 'It has changed',
    about: 'It is not (any more) what `If-Match` or `If-None-Match` says. Read it again and decide anew.',
  },
  'body-too-large': { status: 413, title: 'Body too large', about: 'The body is longer than this route reads.' },
  'unsupported-media-type': {
    status: 415,
    title: 'Unsupported media type',
    about: 'The body has another `Content-Type` than the route reads.',
  },
  'wrong-host': { status: 421, title: 'Wrong host', about: 'Ask by address or as `localhost`, not by another name.' },
  'too-many-requests': {
    status: 429,
    title: 'Too many requests',
    about: 'Wait as many seconds as `Retry-After` says. Requests with a right token are never slowed for wrong ones.',
  },
  internal: { status: 500, title: 'Internal error', about: 'A fault of the controller. Its log says more.' },
  'upstream-failed': { status: 502, title: 'No help from outside', about: 'A board or a PDU did not do its part.' },
  unavailable: { status: 503, title: 'Not now', about: 'The controller is busy, or stopping. Try again later.' },
  'disk-full': {
    status: 507,
    title: 'Disk full',
    about: 'The controller\u2019s disk has no room. Kill orders go on; make room for everything else.',
  },
} as const satisfies Record<string, ProblemKind>;

export type ProblemCode = keyof typeof problems;

export const problemMediaType = 'application/problem+json';

export const Problem = Type.Object(
  {
    type: told('Where the code is explained, on the controller itself.', Type.String()),
    title: Type.String(),
    status: Type.Integer(),
    code: told('One of the table of problems. New ones may be added.', Type.String()),
    detail: told('What was wrong and what was wanted, in one sentence.', Type.String()),
    error: told('The same sentence, for clients of before there were problems.', Type.String()),
  },
  { title: 'Problem', description: 'Why a request was refused, as RFC 9457 has it.' },
);
export type Problem = Static<typeof Problem>;

/** The code of a refusal that says its status only. */
const general = new Map<number, ProblemCode>([
  [400, 'invalid-request'],
  [401, 'no-token'],
  [403, 'forbidden'],
  [404, 'not-found'],
  [405, 'method-not-allowed'],
  [408, 'timeout'],
  [409, 'conflict'],
  [412, 'precondition-failed'],
  [413, 'body-too-large'],
  [415, 'unsupported-media-type'],
  [421, 'wrong-host'],
  [429, 'too-many-requests'],
  [500, 'internal'],
  [502, 'upstream-failed'],
  [503, 'unavailable'],
  [507, 'disk-full'],
]);

export function problemCodeOf(status: number): ProblemCode {
  return general.get(status) ?? (status < 500 ? 'invalid-request' : 'internal');
}

export function problemOf({ status, code, detail }: { status: number; code: ProblemCode; detail: string }): Problem {
  return { type: `/reference#${code}`, title: problems[code].title, status, code, detail, error: detail };
}
