// A route of the API, described once: the controller serves it, `docs/openapi.json` and its reference page tell it.
import type { TSchema } from 'typebox';
import type { ProblemCode } from './problem.ts';

export const tags = {
  nodes: 'Boards of the rack as machines in software, and their power.',
  customers: 'Tenants, each stopped as a whole.',
  images: 'What customers\u2019 containers are made from.',
  workloads: 'What customers want to run, and the instances that run.',
  orders: 'Kill orders, lifts, and approval requests that wait for a second operator.',
  drills: 'The emergency stop, tried with a canary.',
  audit: 'The append-only log and the reports made from it.',
  operators: 'Who may ask.',
  rack: 'The controller itself: status, events, the live stream, backups.',
  agents: 'What nodes ask, over TLS on the rack\u2019s interface.',
} as const;

export const roles = ['viewer', 'deployer', 'stopper', 'operator', 'root'] as const;
export type Role = (typeof roles)[number];

export interface Route {
  method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  path: `/${string}`;
  /** A line without a full stop. */
  summary: string;
  description?: string;
  tag: keyof typeof tags;
  /** Whose proof it wants: an operator's token, an agent's session, or none. */
  security: 'operator' | 'agent' | 'none';
  /**
   * Which roles it is for, where those that go by its method are not meant: `customer` is also for the deployers of that
   * customer, `wish` like that and not for who only reads, `stop` also for stoppers, `root` for root alone.
   */
  access?: 'customer' | 'wish' | 'stop' | 'root' | 'anyone';
  schema: {
    params?: TSchema;
    querystring?: TSchema;
    headers?: TSchema;
    body?: TSchema;
    /** By status. Left out where the answer is no JSON. */
    response?: Record<number, TSchema>;
  };
  /** Beside those that every route of its kind has: see `problemsOf`. */
  problems?: readonly ProblemCode[];
  /** Of the body, where it is no JSON. */
  consumes?: string;
  /** Of the answer, where it is no JSON. */
  produces?: string;
  /** What is in an answer that is no JSON, or handed on as it is. */
  contents?: TSchema;
  /** It can be asked for, or changed, as of a version: `ETag` in the answer, `If-Match` in a change. */
  versioned?: true;
}

/** By `operationId`. */
export type Routes = Record<string, Route>;

/** Whose tokens it takes. A deployer's is for one customer: whether it is about that one is for the request to say. */
export function rolesOf({ method, access }: Pick<Route, 'method' | 'access'>): readonly Role[] {
  switch (access) {
    case 'anyone':
      return roles;
    case 'root':
      return ['root'];
    case 'stop':
      return ['stopper', 'operator', 'root'];
    case 'wish':
      return ['deployer', 'operator', 'root'];
    case 'customer':
      return method === 'GET' ? roles : ['deployer', 'operator', 'root'];
    default:
      return method === 'GET' ? ['viewer', 'stopper', 'operator', 'root'] : ['operator', 'root'];
  }
}

/** Every way in which the route refuses, in the order of their status. */
export function problemsOf(route: Route): ProblemCode[] {
  const { security, schema, method, versioned, consumes, problems: own = [] } = route;
  const isRead = method === 'GET';
  const hasBody = schema.body !== undefined || consumes !== undefined;
  const codes: (ProblemCode | false)[] = [
    'invalid-request',
    'unknown-parameter',
    hasBody && 'invalid-json',
    ...(security === 'operator' ? (['no-token', 'wrong-token', 'other-site', 'forbidden'] as const) : []),
    security === 'agent' && 'no-session',
    schema.params !== undefined && 'not-found',
    !isRead && security === 'operator' && 'conflict',
    versioned === true && !isRead && 'precondition-failed',
    hasBody && 'body-too-large',
    hasBody && 'unsupported-media-type',
    'wrong-host',
    'too-many-requests',
    'internal',
    !isRead && 'disk-full',
    ...own,
  ];
  return [...new Set(codes.filter((code) => code !== false))];
}
