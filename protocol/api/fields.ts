// The HTTP API, described once: a file for each resource, and this one for what many of their schemas are made of. From the
// schemas come the types, the validation of every request and answer, `docs/openapi.json`, and the clients in the CLI, the page
// and the agent. No implementation here.
//
// Operators talk to /v1 on loopback; every request wants the token of an operator as a bearer token.
// Agents talk to the routes of `agent.ts` over TLS on the rack's interface, with the certificate pinned.
import { Type, type TSchema } from 'typebox';
import { macPattern } from '../mac.ts';
import { customerPattern, imageNamePattern, instancePattern, sha256Pattern, workloadPattern } from '../names.ts';

/** Of an object that refuses what it does not know. */
export const closed = { additionalProperties: false } as const;
/** Milliseconds since 1970, by the controller's clock. */
export const Instant = Type.Integer({ minimum: 0 });
export const MacAddress = Type.String({ pattern: macPattern });
export const CustomerName = Type.String({ pattern: customerPattern });
export const WorkloadName = Type.String({ pattern: workloadPattern });
export const InstanceId = Type.String({ pattern: instancePattern });
export const ImageName = Type.String({ pattern: imageNamePattern });
export const Sha256 = Type.String({ pattern: sha256Pattern });

/** A number in a path or a query, where everything is text. */
export const numberTextPattern = '^[0-9]{1,15}$';
export const NumberText = Type.String({ pattern: numberTextPattern });
/** Items of one answer: most racks have fewer, and more would keep the controller busy at one stretch. */
export const pageLimit = 10_000;
/** The query of every list. */
export const pageQuery = {
  limit: Type.Optional(told(`How many at most: ${pageLimit} where left out, and no more than that.`, NumberText)),
  after: Type.Optional(told('What `next` of the page before says.', Type.String({ minLength: 1, maxLength: 200 }))),
};
/** Left out where this page is the last. */
export const Next = Type.Optional(
  told('There is more: ask again with this as `after`. Left out on the last page.', Type.String()),
);
/** There is nothing to say but that it is done. */
export const Nothing = Type.Object({});

/** One of these words. */
export function oneOf<const T extends readonly string[]>(...values: T) {
  return Type.Unsafe<T[number]>({ type: 'string', enum: values });
}

/** What a field means, for the document and whoever reads it. */
export function told<T extends TSchema>(description: string, schema: T): T {
  const copy: T = Object.create(Object.prototype, Object.getOwnPropertyDescriptors(schema));
  return Object.assign(copy, { description });
}
