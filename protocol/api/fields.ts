// The HTTP API, described once: a file for each resource, and this one for what many of their schemas are made of. From the
// schemas come the types, the validation of every request and answer, `docs/openapi.json`, and the clients in the CLI, the page
// and the agent. No implementation here.
//
// Operators talk to /v1 on loopback; every request wants the token of an operator as a bearer token.
// Agents talk to the routes of `agent.ts` over TLS on the rack's interface, with the certificate pinned.
import { Type } from 'typebox';
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

export function oneOf<const T extends readonly string[]>(...values: T) {
  return Type.Unsafe<T[number]>(Type.Union(values.map((value) => Type.Literal(value))));
}
