// What a kill order would stop, in words. What starts, or waits to start again, is stopped as well, and what is only wanted
// is kept from starting: none of it may be left out of the count. No DOM here, so that it is tested in Node.
import type { Instance, InstanceState } from '../../../protocol/api/instances.ts';
import type { Workload } from '../../../protocol/api/workloads.ts';
import { everything, type RackState } from '../rack-state.ts';
import { plural } from '../words.ts';

const groups: readonly { words: string; states: readonly InstanceState[] }[] = [
  { words: 'running', states: ['running'] },
  { words: 'starting', states: ['placed', 'fetching', 'starting'] },
  { words: 'waiting to start again', states: ['exited', 'failed'] },
];

/** `3 containers on 2 nodes (1 running, 2 starting), and 4 more that are not placed yet` */
export function killScope(state: RackState, scope: string): string {
  const isInScope = ({ customer }: Instance | Workload) => scope === everything || customer === scope;
  const instances = [...state.instances.values()].filter((each) => isInScope(each) && each.state !== 'stopped');
  const wanted = [...state.workloads.values()]
    .filter(isInScope)
    .reduce((sum, { replicas, stopped }) => sum + (stopped ? 0 : replicas), 0);
  const missing = Math.max(0, wanted - instances.length);
  if (instances.length === 0)
    return missing === 0 ? 'No container now' : `${plural(missing, 'container')}, none placed yet`;
  const nodes = new Set(instances.map(({ node }) => node)).size;
  const parts = groups.flatMap(({ words, states }) => {
    const count = instances.filter((each) => states.includes(each.state)).length;
    return count === 0 ? [] : [{ count, words }];
  });
  const [only] = parts;
  const detail =
    parts.length === 1 && only?.words === 'running'
      ? ''
      : ` (${parts.map(({ count, words }) => `${count} ${words}`).join(', ')})`;
  const more = missing === 0 ? '' : `, and ${missing} more not placed yet`;
  return `${plural(instances.length, 'container')} on ${plural(nodes, 'node')}${detail}${more}`;
}

/** Customers in the scope that hold on silence, by name. */
export function holdingIn(state: RackState, scope: string): string[] {
  return [...state.customers.values()]
    .filter(({ name, onSilence }) => onSilence === 'hold' && (scope === everything || scope === name))
    .map(({ name }) => name)
    .toSorted();
}
