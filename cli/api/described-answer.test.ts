// The checker of answers against the schemas that the description is made from, and the description as it is checked in.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Type, type TSchema } from 'typebox';
import { Check } from 'typebox/value';
import { KillOrder } from '../../protocol/api/orders.ts';
import { Status } from '../../protocol/api/status.ts';
import { Workload } from '../../protocol/api/workloads.ts';
import { describedAnswer, hasShape } from './described-answer.ts';

const order = {
  number: 3,
  scope: 'acme',
  reason: 'why',
  by: 'anna',
  at: 1,
  liftedAt: null,
  liftedBy: null,
  stored: true,
  nodes: 2,
  stopped: 0,
  slowestMs: null,
  unacknowledged: ['node-a'],
  holding: [],
};
const status = {
  version: '0.1.0',
  startedAt: 1,
  startupMs: 1,
  rack: 'rack-1',
  nodes: { ready: 2 },
  customers: 0,
  instances: 0,
  running: 0,
  standingOrders: 0,
  problems: [],
  twoPersonRule: false,
  lastDrill: null,
};
const workload = {
  customer: 'acme',
  name: 'web',
  image: 'web',
  replicas: 1,
  command: null,
  env: ['A'],
  port: 8080,
  memoryBytes: 1,
  cpu: 0.5,
  processes: 64,
  user: null,
  capabilities: ['CHOWN'],
  stopSignal: null,
  stopGraceMs: 10_000,
  stopped: false,
  checks: {},
  update: { maxSurge: 1, deadlineMs: 180_000, drainMs: 5_000 },
  placement: {},
  onSilence: 'stop',
  createdAt: 1,
  revision: 1,
  running: 1,
  ready: 1,
  updated: 1,
  problem: '',
};

/** Each member left out, or of another type. */
function* spoiled(value: object): Iterable<object> {
  for (const name of Object.keys(value)) {
    const { [name]: _left, ...rest } = Object.fromEntries(Object.entries(value));
    yield rest;
    for (const other of [{}, [{}], 'text', 1.5, null, true]) yield { ...value, [name]: other };
  }
}

const answers: [
  name: string,
  schema: TSchema,
  good: object,
  route: { method: string; path: string; status: number },
][] = [
  ['order', KillOrder, order, { method: 'POST', path: '/v1/lift', status: 200 }],
  ['status', Status, status, { method: 'GET', path: '/v1/status', status: 200 }],
  ['workload', Workload, workload, { method: 'GET', path: '/v1/workloads/acme/web', status: 200 }],
];
for (const [name, schema, good, route] of answers)
  test(`hasShape() and the description say of each spoiled ${name} what its schema says`, () => {
    const plain: unknown = JSON.parse(JSON.stringify(schema));
    assert.ok(
      Check(schema, good) &&
        hasShape(good, { schema: plain, root: plain }) &&
        describedAnswer({ ...route, value: good }),
    );
    let refused = 0;
    for (const value of spoiled(good)) {
      const isGood = Check(schema, value);
      refused += isGood ? 0 : 1;
      assert.equal(hasShape(value, { schema: plain, root: plain }), isGood, JSON.stringify(value));
      assert.equal(describedAnswer({ ...route, value }), isGood, JSON.stringify(value));
    }
    assert.ok(refused > 20);
  });

test('hasShape() follows references, choices and records, in both dialects of OpenAPI', () => {
  const root = { components: { schemas: { Mac: { type: 'string' }, 'a/b': { const: 1 } } } };
  const table: [schema: object, good: unknown, bad: unknown][] = [
    [{ $ref: '#/components/schemas/Mac' }, 'x', 1],
    [{ $ref: '#/components/schemas/a~1b' }, 1, 2],
    [{ type: 'string', nullable: true }, null, 1],
    [{ type: ['string', 'null'] }, null, 1],
    [{ anyOf: [{ type: 'null' }, { enum: ['a', 'b'] }] }, 'b', 'c'],
    [{ oneOf: [{ type: 'integer' }, { type: 'boolean' }] }, 3, 3.5],
    [{ allOf: [{ required: ['a'] }, { required: ['b'] }] }, { a: 1, b: 2 }, { a: 1 }],
    [{ type: 'object', additionalProperties: { type: 'integer' } }, { a: 1 }, { a: 'b' }],
    [{ type: 'object', patternProperties: { '^.*$': { type: 'integer' } } }, { a: 1 }, { a: 'b' }],
    [{ type: 'array', items: { type: 'array', items: { type: 'integer' } } }, [[1]], [['a']]],
  ];
  for (const [schema, good, bad] of table) {
    assert.equal(hasShape(good, { schema, root }), true, JSON.stringify(schema));
    assert.equal(hasShape(bad, { schema, root }), false, JSON.stringify(schema));
  }
});

test('describedAnswer() takes the path with the most words of its own, and what nothing describes', () => {
  const string = { responses: { 200: { content: { 'application/json': { schema: Type.String() } } } } };
  const described = { paths: { '/a/{b}': { get: string }, '/a/b': { get: { responses: {} } } } };
  assert.equal(describedAnswer({ method: 'GET', path: '/a/c', status: 200, value: 1 }, described), false);
  assert.equal(describedAnswer({ method: 'GET', path: '/a/b', status: 200, value: 1 }, described), true);
  assert.equal(describedAnswer({ method: 'GET', path: '/x', status: 200, value: 1 }, described), true);
  assert.equal(describedAnswer({ method: 'GET', path: '/a/c', status: 200, value: 1 }, {}), true);
});
