// Workloads: what customers want to run, and why one does not run as wanted.
import { isDeepStrictEqual } from 'node:util';
import type { WorkloadPatch, WorkloadSpec } from '../../protocol/api/workloads.ts';
import { configurationProblem } from '../../protocol/desired-state.ts';
import { patchedSpec } from '../../protocol/workload-patch.ts';
import type { Refused } from '../refused.ts';
import type { Cache } from '../store/cache.ts';
import type {
  ConfigurationDocument,
  CustomerDocument,
  ImageDocument,
  InstanceDocument,
  WorkloadDocument,
} from '../store/documents.ts';
import type { Transaction } from '../store/transaction.ts';
import type { Transact } from '../store/writer.ts';
import { configurationOf, forgetConfigurations } from './configurations.ts';
import { imageFor } from './images.ts';
import { unknownCustomer, unknownImage } from './unknown.ts';
import { mebibyte, workloadLimits } from './workload-limits.ts';
import type { WorkloadProblems } from './workload-problems.ts';

export interface NewWorkload {
  customer: string;
  name: string;
  spec: WorkloadSpec;
}

export interface PatchedWorkload {
  customer: string;
  name: string;
  patch: WorkloadPatch;
}

/** So many instances are removed in one transaction: some milliseconds of the event loop. */
const removedAtOnce = 100;

/** Documents that it returns are shared and must not be changed. `by`: the operator who asked, for the events. */
export interface WorkloadBook {
  all(): WorkloadDocument[];
  get(customer: string, name: string): WorkloadDocument | undefined;
  put(workload: NewWorkload, by?: string): Promise<WorkloadDocument | Refused>;
  /** What it does not name stays, also the image as it was deployed: its name may stand for another one by now. */
  patch(workload: PatchedWorkload, by?: string): Promise<WorkloadDocument | Refused>;
  /** Its instances go with it: all are gone when it resolves. Where it ends before, the scheduler removes the rest. */
  remove(workload: Pick<NewWorkload, 'customer' | 'name'>, by?: string): Promise<{ removed: string } | Refused>;
  /** The configuration of that digest, which a desired state names. */
  configuration(sha256: string): ConfigurationDocument | undefined;
  /** Why a workload does not run as wanted, as the scheduler sees it; memory only. An empty map clears all. */
  setProblems(problems: ReadonlyMap<string, string>): void;
  /** By `<customer>/<workload>`; empty when there is none. */
  problemOf(customer: string, name: string): string;
}

export function workloadBook({
  cache,
  transact,
  transactOnReserve,
  now,
  problems,
}: {
  cache: Cache;
  transact: Transact;
  transactOnReserve: Transact;
  now: () => number;
  problems: WorkloadProblems;
}): WorkloadBook {
  return {
    all: () => [...cache.all('workloads').values()],
    get: (customer, name) => cache.get('workloads', `${customer}/${name}`),
    put: (workload, by) => transact((transaction) => decidePutWorkload(transaction, { ...workload, now: now() }), by),
    patch: (workload, by) =>
      transact((transaction) => decidePatchWorkload(transaction, { ...workload, now: now() }), by),
    remove: async (workload, by) => {
      const removed = await transactOnReserve((transaction) => decideRemoveWorkload(transaction, workload), by);
      if ('refused' in removed) return removed;
      const instances = cache.instancesOf(workload.customer, workload.name);
      for (let from = 0; from < instances.length; from += removedAtOnce) {
        const some = instances.slice(from, from + removedAtOnce);
        await transactOnReserve((transaction) => removeInstances(transaction, some));
      }
      return removed;
    },
    configuration: (sha256) => cache.get('configurations', sha256),
    setProblems: (found) => problems.set(found),
    problemOf: (customer, name) => problems.of(customer, name),
  };
}

export function decidePutWorkload(
  transaction: Transaction,
  { customer: owner, name, spec, image: kept, now }: NewWorkload & { image?: ImageDocument | undefined; now: number },
): WorkloadDocument | Refused {
  const customer = transaction.get('customers', owner);
  if (customer === undefined) return unknownCustomer(owner);
  const image = kept ?? imageFor(transaction, { customer: owner, name: spec.image });
  if (image === undefined) return unknownImage(spec.image);
  const excess = overLimit(customer, spec);
  if (excess !== undefined) return { refused: excess };
  const id = `${owner}/${name}`;
  const problem = configurationProblem(configurationOf({ spec, image }));
  if (problem !== undefined)
    return { refused: `cannot deploy ${id}: with what image ${spec.image} brings, ${problem}` };
  const known = transaction.get('workloads', id);
  if (known === undefined) {
    const specRevision = 1 + lastRevision(transaction, id);
    const workload = { customer: owner, name, spec, image, specRevision, createdAt: now, changedAt: now };
    transaction.put('workloads', id, workload);
    transaction.event('workload', id, `created: ${spec.image}, ${spec.replicas} replicas`);
    return workload;
  }
  const changed = !isDeepStrictEqual(essence(known.spec, known.image), essence(spec, image));
  if (!changed && known.spec.replicas === spec.replicas) return known;
  const workload = { ...known, spec, image, specRevision: known.specRevision + (changed ? 1 : 0), changedAt: now };
  transaction.put('workloads', id, workload);
  transaction.event(
    'workload',
    id,
    changed
      ? `changed to revision ${workload.specRevision}: ${spec.image}, ${spec.replicas} replicas`
      : `${known.spec.replicas} → ${spec.replicas} replicas`,
  );
  return workload;
}

function decidePatchWorkload(
  transaction: Transaction,
  { customer, name, patch, now }: PatchedWorkload & { now: number },
): WorkloadDocument | Refused {
  const known = transaction.get('workloads', `${customer}/${name}`);
  if (known === undefined) return { refused: `there is no workload ${customer}/${name}` };
  const image = patch.image === undefined ? known.image : undefined;
  return decidePutWorkload(transaction, { customer, name, spec: patchedSpec(known.spec, patch), image, now });
}

/** Of what is left of an earlier workload of that name, which the new one must not take for its own; else 0. */
function lastRevision(transaction: Transaction, id: string): number {
  let last = 0;
  for (const [key, { specRevision }] of transaction.all('instances'))
    if (key.startsWith(`${id}/`)) last = Math.max(last, specRevision);
  return last;
}

/** What an instance would notice. */
function essence(spec: WorkloadSpec, image: ImageDocument) {
  return { ...spec, ...workloadLimits(spec), replicas: 0, digest: image.digest, squashfs: image.squashfs.sha256 };
}

function overLimit(customer: CustomerDocument, spec: WorkloadSpec): string | undefined {
  const { memoryBytes, processes } = workloadLimits(spec);
  if (memoryBytes > customer.memoryBytes)
    return `an instance would get ${Math.ceil(memoryBytes / mebibyte)} MiB, want at most the ${Math.floor(customer.memoryBytes / mebibyte)} MiB that ${customer.name} may use on a node`;
  if (processes > customer.processes)
    return `an instance would get ${processes} processes, want at most the ${customer.processes} that ${customer.name} may use on a node`;
  return undefined;
}

function decideRemoveWorkload(
  transaction: Transaction,
  { customer, name }: Pick<NewWorkload, 'customer' | 'name'>,
): { removed: string } | Refused {
  const id = `${customer}/${name}`;
  if (transaction.get('workloads', id) === undefined) return { refused: `there is no workload ${id}` };
  transaction.remove('workloads', id);
  transaction.event('workload', id, 'removed');
  return { removed: id };
}

/** Those of a removed workload that nobody else has removed meanwhile. */
function removeInstances(transaction: Transaction, instances: readonly InstanceDocument[]): void {
  const there = instances.flatMap(({ id }) => {
    const key = transaction.instanceKey(id);
    return key === undefined ? [] : (transaction.get('instances', key) ?? []);
  });
  for (const { customer, workload, id } of there) transaction.remove('instances', `${customer}/${workload}/${id}`);
  forgetConfigurations(transaction, there);
}
