// Workloads: what customers want to run, and why one does not run as wanted.
import { isDeepStrictEqual } from 'node:util';
import type { WorkloadPatch, WorkloadSpec } from '../../protocol/api/workloads.ts';
import { configurationProblem } from '../../protocol/desired-state.ts';
import { checksProblem } from '../../protocol/workload/checks.ts';
import { updateProblem } from '../../protocol/workload/update.ts';
import { patchedSpec } from '../../protocol/workload/workload-patch.ts';
import { specChanges } from '../../protocol/workload/changes.ts';
import { noted, type Note } from '../operators/audited.ts';
import type { Refused } from '../refused.ts';
import type { Cache } from '../store/cache.ts';
import type {
  ConfigurationDocument,
  CustomerDocument,
  HistoryDocument,
  ImageDocument,
  InstanceDocument,
  WorkloadDocument,
} from '../store/documents.ts';
import { Transaction } from '../store/transaction.ts';
import type { Transact } from '../store/writer.ts';
import { configurationOf, forgetConfigurations } from './configurations.ts';
import { earlierRevision, keepRevision } from './history.ts';
import { imageFor } from './images.ts';
import { unknownCustomer, unknownImage } from './unknown.ts';
import { mebibyte, workloadLimits } from './workload-limits.ts';
import type { WorkloadProblems } from './workload-problems.ts';

export interface WorkloadName {
  customer: string;
  name: string;
}

export interface NewWorkload {
  customer: string;
  name: string;
  spec: WorkloadSpec;
}

/** `dryRun`: says what would change, and changes nothing. */
export interface Asked {
  by?: string | undefined;
  dryRun?: boolean | undefined;
}

/** The workload as it is from now on, and what the change made of it, in phrases; none where it was like that already. */
export interface ChangedWorkload {
  workload: WorkloadDocument;
  changes: string[];
}

export interface PatchedWorkload {
  customer: string;
  name: string;
  patch: WorkloadPatch;
}

/** So many instances are removed in one transaction: some milliseconds of the event loop. */
const removedAtOnce = 100;

/** Documents that it returns are shared and must not be changed. `by`: the operator who asked, for events and audit log. */
export interface WorkloadBook {
  all(): WorkloadDocument[];
  get(customer: string, name: string): WorkloadDocument | undefined;
  put(workload: NewWorkload, asked?: Asked): Promise<ChangedWorkload | Refused>;
  /** What it does not name stays, also the image as it was deployed: its name may stand for another one by now. */
  patch(workload: PatchedWorkload, asked?: Asked): Promise<ChangedWorkload | Refused>;
  /** As it was at that revision, or before the present one; how many there are, and whether it is stopped, stays. */
  rollBack(workload: WorkloadName & { to?: number | undefined }, by?: string): Promise<ChangedWorkload | Refused>;
  /** All of its instances are replaced, as for a change. */
  restart(workload: WorkloadName, by?: string): Promise<ChangedWorkload | Refused>;
  /** Oldest first; undefined where nothing is kept, as of a workload that has not changed since there are histories. */
  history(customer: string, name: string): HistoryDocument | undefined;
  histories(): HistoryDocument[];
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
  audit,
}: {
  cache: Cache;
  transact: Transact;
  transactOnReserve: Transact;
  now: () => number;
  problems: WorkloadProblems;
  audit: Note;
}): WorkloadBook {
  /** Has `decide` taken as one decision about that workload. */
  const change = (
    { customer, name, by, dryRun = false }: Pick<NewWorkload, 'customer' | 'name'> & Asked,
    decide: (transaction: Transaction) => Decided | Refused,
  ): Promise<ChangedWorkload | Refused> => {
    const whole = (transaction: Transaction, note: Note) =>
      decideChange(transaction, { id: `${customer}/${name}`, by, note, decide });
    if (dryRun) return Promise.resolve(whole(new Transaction(cache), () => undefined));
    return noted(whole, { audit, transact: (decided) => transact(decided, by) });
  };
  return {
    all: () => [...cache.all('workloads').values()],
    get: (customer, name) => cache.get('workloads', `${customer}/${name}`),
    put: (workload, asked) =>
      change({ ...workload, ...asked }, (transaction) => decidePutWorkload(transaction, { ...workload, now: now() })),
    patch: (workload, asked) =>
      change({ ...workload, ...asked }, (transaction) => decidePatchWorkload(transaction, { ...workload, now: now() })),
    rollBack: (workload, by) =>
      change({ ...workload, by }, (transaction) => decideRollback(transaction, { ...workload, now: now() })),
    restart: (workload, by) =>
      change({ ...workload, by }, (transaction) => decideRestart(transaction, { ...workload, now: now() })),
    history: (customer, name) => cache.get('histories', `${customer}/${name}`),
    histories: () => [...cache.all('histories').values()],
    remove: async (workload, by) => {
      const removed = await noted((transaction, note) => decideRemoveWorkload(transaction, { ...workload, by, note }), {
        audit,
        transact: (decide) => transactOnReserve(decide, by),
      });
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

interface Change {
  id: string;
  by: string | undefined;
  note: Note;
  decide: (transaction: Transaction) => Decided | Refused;
}

/** `told`: what the documents do not say. */
type Decided = WorkloadDocument | { workload: WorkloadDocument; told: string };

function decideChange(transaction: Transaction, { id, by, note, decide }: Change): ChangedWorkload | Refused {
  const before = transaction.get('workloads', id);
  const decided = decide(transaction);
  if ('refused' in decided) return decided;
  const { workload, told } = 'told' in decided ? decided : { workload: decided, told: undefined };
  const changes = [...(told === undefined ? [] : [told]), ...changesOf(before, workload)];
  const { specRevision: revision } = workload;
  const isRevised = before === undefined || !isSameWish(before, workload);
  if (isRevised) keepRevision(transaction, { before, after: workload, by, changes });
  if (before === undefined || changes.length > 0)
    note(id, { step: before === undefined ? 'created' : 'changed', by: by ?? null, revision, changes });
  return { workload, changes };
}

function changesOf(before: WorkloadDocument | undefined, { spec, image, specRevision }: WorkloadDocument): string[] {
  if (before === undefined) return specChanges({}, spec);
  const changes = specChanges({ ...before.spec, ...workloadLimits(before.spec) }, { ...spec, ...workloadLimits(spec) });
  // The name says no more than before where another image was imported under it.
  const isNewImage = specRevision > before.specRevision && before.spec.image === spec.image;
  if (isNewImage && before.image.digest !== image.digest) changes.push(`image ${spec.image} as it was imported last`);
  return changes;
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
  const misfit = checksProblem(spec.checks, spec.port) ?? updateProblem(spec.update);
  if (misfit !== undefined) return { refused: `cannot deploy ${id}: ${misfit}` };
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
  const changed = !isSameWish(known, { ...known, spec, image });
  const isStopped = spec.stopped === true;
  const stops = isStopped !== (known.spec.stopped === true);
  const rollsOtherwise = !isDeepStrictEqual(known.spec.update, spec.update);
  if (!changed && !stops && !rollsOtherwise && known.spec.replicas === spec.replicas) return known;
  const workload = { ...known, spec, image, specRevision: known.specRevision + (changed ? 1 : 0), changedAt: now };
  transaction.put('workloads', id, workload);
  transaction.event(
    'workload',
    id,
    changed
      ? `changed to revision ${workload.specRevision}: ${spec.image}, ${spec.replicas} replicas`
      : stops
        ? `${isStopped ? 'stopped' : 'started'}: ${spec.replicas} replicas`
        : known.spec.replicas === spec.replicas
          ? 'its next changes will roll otherwise'
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
  const spec = patchedSpec(known.spec, patch);
  if ('refused' in spec) return spec;
  const image = patch.image === undefined ? known.image : undefined;
  return decidePutWorkload(transaction, { customer, name, spec, image, now });
}

function decideRollback(
  transaction: Transaction,
  { customer, name, to, now }: WorkloadName & { to?: number | undefined; now: number },
): Decided | Refused {
  const id = `${customer}/${name}`;
  const known = transaction.get('workloads', id);
  if (known === undefined) return { refused: `there is no workload ${id}` };
  const earlier = earlierRevision(transaction.get('histories', id), { id, to });
  if ('refused' in earlier) return earlier;
  const { replicas, stopped } = known.spec;
  const { stopped: _stopped, ...wish } = earlier.spec;
  const spec = { ...wish, replicas, ...(stopped === undefined ? {} : { stopped }) };
  const workload = decidePutWorkload(transaction, { customer, name, spec, image: earlier.image, now });
  if ('refused' in workload) return workload;
  return workload === known ? known : { workload, told: `back to revision ${earlier.revision}` };
}

function decideRestart(
  transaction: Transaction,
  { customer, name, now }: WorkloadName & { now: number },
): Decided | Refused {
  const id = `${customer}/${name}`;
  const known = transaction.get('workloads', id);
  if (known === undefined) return { refused: `there is no workload ${id}` };
  if (known.spec.stopped === true) return { refused: `cannot restart ${id}: it is stopped, start it` };
  const workload = { ...known, specRevision: known.specRevision + 1, changedAt: now };
  transaction.put('workloads', id, workload);
  transaction.event('workload', id, `restarted: revision ${workload.specRevision}`);
  return { workload, told: 'restarted' };
}

/** Of what is left of an earlier workload of that name, which the new one must not take for its own; else 0. */
function lastRevision(transaction: Transaction, id: string): number {
  let last = 0;
  for (const [key, { specRevision }] of transaction.all('instances'))
    if (key.startsWith(`${id}/`)) last = Math.max(last, specRevision);
  return last;
}

/** Whether an instance would notice no difference. */
function isSameWish(one: WorkloadDocument, other: WorkloadDocument): boolean {
  return isDeepStrictEqual(essence(one.spec, one.image), essence(other.spec, other.image));
}

function essence(spec: WorkloadSpec, image: ImageDocument) {
  const { digest, squashfs } = image;
  const wish = { ...spec, ...workloadLimits(spec), digest, squashfs: squashfs.sha256 };
  // How a change rolls is none.
  return { ...wish, replicas: 0, stopped: false, update: undefined };
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
  { customer, name, by, note }: Pick<NewWorkload, 'customer' | 'name'> & Pick<Change, 'by' | 'note'>,
): { removed: string } | Refused {
  const id = `${customer}/${name}`;
  if (transaction.get('workloads', id) === undefined) return { refused: `there is no workload ${id}` };
  transaction.remove('workloads', id);
  transaction.remove('histories', id);
  transaction.event('workload', id, 'removed');
  note(id, { step: 'removed', by: by ?? null });
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
