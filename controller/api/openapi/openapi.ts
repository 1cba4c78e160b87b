// `docs/openapi.json`, from the very descriptions by which the routes are served, so it cannot say anything else. Checked in, so
// that a change of the API shows in review, and that the controller serves a file. Run this file to write it anew.
import { writeFile } from 'node:fs/promises';
import { isDeepStrictEqual } from 'node:util';
import { agentRoutes } from '../../../protocol/api/agent.ts';
import { auditRoutes } from '../../../protocol/api/audit.ts';
import { customerRoutes } from '../../../protocol/api/customers.ts';
import { drillRoutes } from '../../../protocol/api/drills.ts';
import { eventRoutes } from '../../../protocol/api/events.ts';
import { imageRoutes } from '../../../protocol/api/images.ts';
import { instanceRoutes } from '../../../protocol/api/instances.ts';
import { logRoutes } from '../../../protocol/api/logs.ts';
import { nodeRoutes } from '../../../protocol/api/nodes.ts';
import { operatorRoutes } from '../../../protocol/api/operators.ts';
import { approvalRoutes, orderRoutes } from '../../../protocol/api/orders.ts';
import { Problem, problemMediaType, problems, type ProblemCode } from '../../../protocol/api/problem.ts';
import { problemsOf, rolesOf, type Route, type Routes, tags } from '../../../protocol/api/route.ts';
import { referenceRoutes, statusRoutes } from '../../../protocol/api/status.ts';
import { streamRoutes } from '../../../protocol/api/stream.ts';
import { workloadRoutes } from '../../../protocol/api/workloads.ts';
import { version } from '../../version.ts';

export const openApiFile = new URL('../../../docs/openapi.json', import.meta.url);

export const everyRoute: Routes = {
  ...statusRoutes,
  ...streamRoutes,
  ...eventRoutes,
  ...nodeRoutes,
  ...customerRoutes,
  ...imageRoutes,
  ...workloadRoutes,
  ...instanceRoutes,
  ...logRoutes,
  ...orderRoutes,
  ...approvalRoutes,
  ...drillRoutes,
  ...auditRoutes,
  ...operatorRoutes,
  ...referenceRoutes,
  ...agentRoutes,
};

type Json = Record<string, unknown>;

export function describeApi(): string {
  const schemas: Json = {};
  const paths: Record<string, Json> = {};
  for (const [operationId, route] of Object.entries(everyRoute)) {
    const path = route.path.replaceAll(/:(\w+)/g, '{$1}');
    (paths[path] ??= {})[route.method.toLowerCase()] = operation(operationId, { route, schemas });
  }
  const document = {
    openapi: '3.1.0',
    info: {
      title: 'Muster',
      version,
      description: introduction(),
      contact: { name: 'Muster' },
      license: { name: 'MIT', identifier: 'MIT' },
    },
    servers: [{ url: 'http://127.0.0.1:8080', description: 'Operators, on the controller itself' }],
    tags: Object.entries(tags).map(([name, description]) => ({ name, description })),
    paths,
    components: {
      responses: problemResponses(schemas),
      schemas: inOrder(schemas),
      securitySchemes: {
        operator: { type: 'http', scheme: 'bearer', description: 'The token of an operator.' },
        agent: {
          type: 'http',
          scheme: 'muster',
          description: '`<session id>:<hex of HMAC-SHA256(key, "<METHOD> <path>")>`, with the key of the join.',
        },
      },
    },
  };
  return `${JSON.stringify(document, null, 2)}\n`;
}

function introduction(): string {
  const rows = Object.entries(problems).map(([code, { status, about }]) => `| \`${code}\` | ${status} | ${about} |`);
  return [
    'Operators ask over HTTP on loopback, agents over TLS on the rack\u2019s interface.',
    'A list is paged by `limit` and `after`; `next` in the answer is the `after` of the next page, and left out on the last.',
    'An answer with an `ETag` can be changed as of that version: send it as `If-Match`. The tag stands for what operators can change.',
    'Every refusal is `application/problem+json` with one of these codes:',
    ['| code | status | when, and what to do |', '|---|---|---|', ...rows].join('\n'),
  ].join('\n\n');
}

function operation(operationId: string, { route, schemas }: { route: Route; schemas: Json }): Json {
  const { summary, description, tag, security, schema, consumes } = route;
  const body =
    schema.body === undefined
      ? consumes === undefined
        ? undefined
        : { [consumes]: { schema: { type: 'string', contentMediaType: consumes } } }
      : { 'application/json': { schema: referred(schema.body, schemas) } };
  const parameters = parametersOf(route, schemas);
  return {
    operationId,
    summary,
    description: `${description ?? `${summary}.`}${security === 'operator' ? ` Roles: ${rolesOf(route).join(', ')}.` : ''}`,
    tags: [tag],
    security: security === 'none' ? [] : [{ [security]: [] }],
    ...(tag === 'agents' ? { servers: [agentServer] } : {}),
    ...(parameters.length === 0 ? {} : { parameters }),
    ...(body === undefined ? {} : { requestBody: { required: true, content: body } }),
    responses: { ...answersOf(route, schemas), ...refusalsOf(route) },
  };
}

const agentServer = {
  url: 'https://{controller}:8443',
  description: 'Agents, on the rack\u2019s interface; the certificate is known by its fingerprint',
  variables: { controller: { default: '10.77.0.1' } },
};

function parametersOf({ schema, versioned, method }: Route, schemas: Json): Json[] {
  const places = [
    ['path', schema.params],
    ['query', schema.querystring],
    ['header', schema.headers],
  ] as const;
  const own = places.flatMap(([place, fields]) => {
    const { properties, required }: Json = { ...fields };
    const wanted: readonly unknown[] = Array.isArray(required) ? required : [];
    return Object.entries(isRecord(properties) ? properties : {}).map(([name, field]) => {
      const described = isRecord(field) ? field['description'] : undefined;
      return {
        name,
        in: place,
        required: wanted.includes(name),
        ...(described === undefined ? {} : { description: described }),
        schema: referred(field, schemas),
      };
    });
  });
  if (versioned !== true || method === 'GET') return own;
  return [
    ...own,
    header('If-Match', 'Only as of this version: the `ETag` that was read.'),
    ...(method === 'PUT' ? [header('If-None-Match', '`*`: only where there is none yet.')] : []),
  ];
}

function header(name: string, description: string): Json {
  return { name, in: 'header', required: false, description, schema: { type: 'string' } };
}

const answerWords: Record<string, string> = {
  200: 'Done.',
  201: 'Made.',
  202: 'Taken on; see the answer for how far it is.',
};

function answersOf({ schema, produces, contents, versioned, method }: Route, schemas: Json): Json {
  if (produces !== undefined)
    return {
      200: {
        description: 'As it is.',
        content: {
          [produces]: {
            schema:
              contents === undefined
                ? { type: 'string' }
                : { type: 'string', contentSchema: referred(contents, schemas) },
          },
        },
      },
    };
  const etag = { headers: { ETag: { description: 'The version of it.', schema: { type: 'string' } } } };
  return Object.fromEntries(
    Object.entries(schema.response ?? {}).map(([status, answer]) => [
      status,
      {
        description: answerWords[status] ?? 'Done.',
        ...(versioned === true && method !== 'DELETE' ? etag : {}),
        content: { 'application/json': { schema: referred(answer, schemas) } },
      },
    ]),
  );
}

function refusalsOf(route: Route): Json {
  const statuses = new Set(problemsOf(route).map((code) => problems[code].status));
  return Object.fromEntries(
    [...statuses].map((status) => [status, { $ref: `#/components/responses/Problem${status}` }]),
  );
}

function problemResponses(schemas: Json): Json {
  const codes = new Map<number, ProblemCode[]>();
  for (const route of Object.values(everyRoute))
    for (const code of problemsOf(route)) {
      const own = codes.get(problems[code].status) ?? [];
      if (!own.includes(code)) codes.set(problems[code].status, [...own, code]);
    }
  const headers: Record<number, Json> = {
    401: { 'WWW-Authenticate': { description: 'How to prove who asks.', schema: { type: 'string' } } },
    415: { Accept: { description: 'What is read here.', schema: { type: 'string' } } },
    429: { 'Retry-After': { description: 'Seconds to wait.', schema: { type: 'integer' } } },
  };
  return Object.fromEntries(
    [...codes]
      .toSorted(([a], [b]) => a - b)
      .map(([status, own]) => [
        `Problem${status}`,
        {
          description: own.map((code) => `\`${code}\`: ${problems[code].about}`).join('\n\n'),
          ...(headers[status] === undefined ? {} : { headers: headers[status] }),
          content: { [problemMediaType]: { schema: referred(Problem, schemas) } },
        },
      ]),
  );
}

/** A schema with a title becomes a named one, told once. */
function referred(schema: unknown, schemas: Json): unknown {
  if (Array.isArray(schema)) return schema.map((each) => referred(each, schemas));
  if (!isRecord(schema)) return schema;
  const { title, ...rest } = schema;
  const plain: Json = Object.fromEntries(
    Object.entries(rest).map(([key, value]) => [
      key,
      // Its keys are names of fields, and none of a schema's own words.
      key.toLowerCase().endsWith('properties') && isRecord(value)
        ? Object.fromEntries(Object.entries(value).map(([name, field]) => [name, referred(field, schemas)]))
        : referred(value, schemas),
    ]),
  );
  // A record: its keys have any name.
  const { patternProperties: byName } = plain;
  if (isRecord(byName) && '^.*$' in byName) {
    delete plain['patternProperties'];
    plain['additionalProperties'] = byName['^.*$'];
  }
  if (typeof title !== 'string') return plain;
  const { description } = plain;
  const known = schemas[title];
  if (known === undefined) schemas[title] = plain;
  else if (!isDeepStrictEqual({ ...known, description }, { ...plain, description }))
    throw new Error(`cannot describe the API: two schemas are called ${title}, want a name each`);
  const own = isRecord(known) && known['description'] !== description ? { description } : {};
  return { $ref: `#/components/schemas/${title}`, ...own };
}

function inOrder(schemas: Json): Json {
  return Object.fromEntries(Object.entries(schemas).toSorted(([a], [b]) => (a < b ? -1 : 1)));
}

function isRecord(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

if (import.meta.main) await writeFile(openApiFile, describeApi());
