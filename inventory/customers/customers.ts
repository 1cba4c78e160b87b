// Decisions about customers, images and workloads.
import { isDeepStrictEqual } from 'node:util';
import type { CustomerSpec, WorkloadSpec } from '../../protocol/api.ts';
import { configurationProblem } from '../../protocol/desired-state.ts';
import { configurationOf, forgetConfigurations } from './configurations.ts';
import type { CustomerDocument, ImageDocument, InstanceDocument, WorkloadDocument } from '../store/documents.ts';
import type { Draft } from '../store/transaction.ts';
import type { Refused } from '../inventory.ts';

/** Each customer's range of user ids. The first 16 ranges are the machine's own. */
const uidRange = 65_536;
const firstUidRange = 16;
const lastUidRange = 65_534;

const mebibyte = 2 ** 20;
const customerDefaults = { memoryBytes: 768 * mebibyte, processes: 512 };
const workloadDefaults = { memoryBytes: 64 * mebibyte, cpu: 1, processes: 128 };

/** What one instance may use. */
export function workloadLimits(spec: WorkloadSpec): { memoryBytes: number; cpu: number; processes: number } {
  return {
    memoryBytes: spec.memoryBytes ?? workloadDefaults.memoryBytes,
    cpu: spec.cpu ?? workloadDefaults.cpu,
    processes: spec.processes ?? workloadDefaults.processes,
  };
}

/** `uidBase`: a range that this very customer had before; a new one where left out. */
export function decideAddCustomer(
  draft: Draft,
  spec: CustomerSpec,
  { now, uidBase }: { now: number; uidBase?: number | undefined },
): CustomerDocument | Refused {
  if (draft.get('customers', spec.name) !== undefined) return { refused: `customer ${spec.name} is there already` };
  const range = uidBase === undefined ? firstUidRange + draft.count('uids') - 1 : uidBase / uidRange;
  if (range > lastUidRange)
    return { refused: `all ${lastUidRange - firstUidRange + 1} ranges of user ids are used up` };
  const customer = {
    name: spec.name,
    onSilence: spec.onSilence === 'hold' ? ('hold' as const) : ('stop' as const),
    memoryBytes: spec.memoryBytes ?? customerDefaults.memoryBytes,
    processes: spec.processes ?? customerDefaults.processes,
    uidBase: range * uidRange,
    createdAt: now,
  };
  draft.put('customers', spec.name, customer);
  draft.event('customer', spec.name, 'added');
  return customer;
}

export function decideRemoveCustomer(draft: Draft, name: string): { removed: string } | Refused {
  if (draft.get('customers', name) === undefined) return unknownCustomer(name);
  const kill = draft.get('kill', name);
  if (kill !== undefined) return { refused: `order ${kill.number} stops ${name}: lift it first` };
  const workloads = Array.from(draft.all('workloads'), ([, workload]) => workload).filter(
    ({ customer }) => customer === name,
  );
  if (workloads.length > 0)
    return { refused: `${name} has ${workloads.map((workload) => workload.name).join(', ')}: remove them first` };
  draft.remove('customers', name);
  draft.event('customer', name, 'removed');
  return { removed: name };
}

export function decideRemoveImage(draft: Draft, name: string): { removed: string } | Refused {
  if (draft.get('images', name) === undefined) return unknownImage(name);
  const users = Array.from(draft.all('workloads'), ([id, { spec }]) => (spec.image === name ? id : '')).filter(
    (id) => id !== '',
  );
  if (users.length > 0) return { refused: `image ${name} is used by ${users.slice(0, 5).join(', ')}` };
  draft.remove('images', name);
  draft.event('image', name, 'removed');
  return { removed: name };
}

export function decidePutWorkload(
  draft: Draft,
  { customer: owner, name, spec }: { customer: string; name: string; spec: WorkloadSpec },
  now: number,
): WorkloadDocument | Refused {
  const customer = draft.get('customers', owner);
  if (customer === undefined) return unknownCustomer(owner);
  const image = draft.get('images', spec.image);
  if (image === undefined) return unknownImage(spec.image);
  const excess = overLimit(customer, spec);
  if (excess !== undefined) return { refused: excess };
  const id = `${owner}/${name}`;
  const problem = configurationProblem(configurationOf({ spec, image }));
  if (problem !== undefined)
    return { refused: `cannot deploy ${id}: with what image ${spec.image} brings, ${problem}` };
  const known = draft.get('workloads', id);
  if (known === undefined) {
    const workload = { customer: owner, name, spec, image, specRevision: 1, createdAt: now, changedAt: now };
    draft.put('workloads', id, workload);
    draft.event('workload', id, `created: ${spec.image}, ${spec.replicas} replicas`);
    return workload;
  }
  const changed = !isDeepStrictEqual(essence(known.spec, known.image), essence(spec, image));
  if (!changed && known.spec.replicas === spec.replicas) return known;
  const workload = { ...known, spec, image, specRevision: known.specRevision + (changed ? 1 : 0), changedAt: now };
  draft.put('workloads', id, workload);
  draft.event(
    'workload',
    id,
    changed
      ? `changed to revision ${workload.specRevision}: ${spec.image}, ${spec.replicas} replicas`
      : `${known.spec.replicas} → ${spec.replicas} replicas`,
  );
  return workload;
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

export function decideRemoveWorkload(
  draft: Draft,
  { customer, name }: { customer: string; name: string },
): { removed: string } | Refused {
  const id = `${customer}/${name}`;
  if (draft.get('workloads', id) === undefined) return { refused: `there is no workload ${id}` };
  draft.remove('workloads', id);
  const removed: InstanceDocument[] = [];
  for (const [key, instance] of draft.all('instances')) if (key.startsWith(`${id}/`)) removed.push(instance);
  for (const instance of removed) draft.remove('instances', `${id}/${instance.id}`);
  forgetConfigurations(draft, removed);
  draft.event('workload', id, 'removed');
  return { removed: id };
}

export function unknownCustomer(name: string): Refused {
  return { refused: `there is no customer ${name}` };
}

function unknownImage(name: string): Refused {
  return { refused: `there is no image ${name}: import it first` };
}
