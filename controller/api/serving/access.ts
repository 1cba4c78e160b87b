// What a role may ask. Pure: the route says which roles it is for, the request whose it is.
import type { Operator } from '../../../protocol/api/operators.ts';
import { rolesOf, type Route } from '../../../protocol/api/route.ts';

export type Asking = Pick<Operator, 'name' | 'role' | 'customer' | 'expiresAt'>;

/** Why this one may not ask that; undefined where it may. Says nothing about whether there is such a thing. */
export function accessRefusal(
  { name, role, customer }: Asking,
  { route, params, query }: { route: Route; params: unknown; query: unknown },
): string | undefined {
  const allowed = rolesOf(route);
  if (!allowed.includes(role))
    return `${name} is a ${role} and may not ${route.method} ${route.path}: want a token with the role ${allowed.join(' or ')}`;
  if (role !== 'deployer') return undefined;
  const about = customerIn(params) ?? customerIn(query);
  if (about === undefined || about === customer) return undefined;
  return `${name} is a deployer of ${customer ?? 'nobody'} and may not ask about ${about}`;
}

/** Whose things a list is of: one customer's, or everybody's where this is undefined. */
export function ownCustomer({ role, customer }: Asking): string | undefined {
  // One without a customer, which nobody can make, sees nothing.
  return role === 'deployer' ? (customer ?? '') : undefined;
}

/**
 * Why this one may not have that image run: a name that begins with another customer's is that customer's. `customers`: the
 * names of all.
 */
export function imageRefusal(
  asking: Asking,
  { image, customers }: { image: string; customers: readonly string[] },
): string | undefined {
  const own = ownCustomer(asking);
  const [first = ''] = image.split('/');
  if (own === undefined || !image.includes('/') || first === own || !customers.includes(first)) return undefined;
  return `${asking.name} is a deployer of ${own} and may not use ${image}, which is of ${first}`;
}

function customerIn(value: unknown): string | undefined {
  if (typeof value !== 'object' || value === null || !('customer' in value)) return undefined;
  return String(value.customer);
}
