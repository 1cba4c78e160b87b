// Customers: who they are, and what each may use.
import type { CustomerSpec } from '../../protocol/api/customers.ts';
import type { UnstoredOrders } from '../orders/unstored-orders.ts';
import type { Refused } from '../refused.ts';
import type { Cache } from '../store/cache.ts';
import type { CustomerDocument } from '../store/documents.ts';
import type { Transaction } from '../store/transaction.ts';
import type { Transact } from '../store/writer.ts';
import { unknownCustomer } from './unknown.ts';
import { mebibyte } from './workload-limits.ts';

/** Each customer's range of user ids. The first 16 ranges are the machine's own. */
const uidRange = 65_536;
const firstUidRange = 16;
const lastUidRange = 65_534;

const customerDefaults = { memoryBytes: 768 * mebibyte, processes: 512 };

/** Documents that it returns are shared and must not be changed. `by`: the operator who asked, for the events. */
export interface CustomerBook {
  all(): CustomerDocument[];
  get(name: string): CustomerDocument | undefined;
  add(spec: CustomerSpec, by?: string): Promise<CustomerDocument | Refused>;
  /** Refused while it has workloads or an order stops it. */
  remove(name: string, by?: string): Promise<{ removed: string } | Refused>;
}

export function customerBook({
  cache,
  transact,
  transactOnReserve,
  now,
  unstored,
}: {
  cache: Cache;
  transact: Transact;
  transactOnReserve: Transact;
  now: () => number;
  unstored: UnstoredOrders;
}): CustomerBook {
  return {
    all: () => [...cache.all('customers').values()],
    get: (name) => cache.get('customers', name),
    add: (spec, by) => transact((transaction) => decideAddCustomer(transaction, { spec, now: now() }), by),
    remove: (name, by) => {
      const order = unstored.standingFor(name);
      if (order !== undefined)
        return Promise.resolve({
          refused: `order ${order.number} stops ${name}, and is not stored yet: lift it first`,
        });
      return transactOnReserve((transaction) => decideRemoveCustomer(transaction, name), by);
    },
  };
}

/** `uidBase`: a range that this very customer had before; a new one where left out. */
export function decideAddCustomer(
  transaction: Transaction,
  { spec, now, uidBase }: { spec: CustomerSpec; now: number; uidBase?: number | undefined },
): CustomerDocument | Refused {
  if (transaction.get('customers', spec.name) !== undefined)
    return { refused: `customer ${spec.name} is there already` };
  const range = uidBase === undefined ? firstUidRange + transaction.count('uids') - 1 : uidBase / uidRange;
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
  transaction.put('customers', spec.name, customer);
  transaction.event('customer', spec.name, 'added');
  return customer;
}

export function decideRemoveCustomer(transaction: Transaction, name: string): { removed: string } | Refused {
  if (transaction.get('customers', name) === undefined) return unknownCustomer(name);
  const kill = transaction.get('kill', name);
  if (kill !== undefined) return { refused: `order ${kill.number} stops ${name}: lift it first` };
  const workloads = Array.from(transaction.all('workloads'), ([, workload]) => workload).filter(
    ({ customer }) => customer === name,
  );
  if (workloads.length > 0)
    return { refused: `${name} has ${workloads.map((workload) => workload.name).join(', ')}: remove them first` };
  // A later customer of that name must not be theirs.
  const deployers = Array.from(transaction.all('operators'), ([, each]) => each).filter(
    ({ customer }) => customer === name,
  );
  if (deployers.length > 0)
    return {
      refused: `${name} has the deployers ${deployers.map((each) => each.name).join(', ')}: remove them first (muster operator remove)`,
    };
  transaction.remove('customers', name);
  transaction.event('customer', name, 'removed');
  return { removed: name };
}
