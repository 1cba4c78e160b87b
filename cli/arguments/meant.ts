// A name that the controller does not know: perhaps another one was meant.
import { ApiError, type Api } from '../api/api.ts';
import { suggestion } from './suggestion.ts';

/**
 * For `catch`: adds to the controller's refusal the name that was probably meant. `names` are asked for only then, and whatever
 * comes in between leaves the refusal as it was.
 */
export function orMeant(typed: string, names: () => Promise<string[]>): (error: unknown) => Promise<never> {
  return async (error) => {
    if (!(error instanceof ApiError) || (error.status !== 404 && error.status !== 409)) throw error;
    const known = await names().catch((): string[] => []);
    const meant = known.includes(typed) ? undefined : suggestion(typed, known);
    if (meant === undefined) throw error;
    const { status, code } = error;
    throw new ApiError(`${error.message}, did you mean ${meant}?`, { status, code, cause: error });
  };
}

export async function customerNames(api: Api): Promise<string[]> {
  const { customers } = await api.ask<{ customers: { name: string }[] }>({ path: '/v1/customers' });
  return customers.map(({ name }) => name);
}

export async function nodeNames(api: Api): Promise<string[]> {
  const { nodes } = await api.ask<{ nodes: { name: string }[] }>({ path: '/v1/nodes' });
  return nodes.map(({ name }) => name);
}
