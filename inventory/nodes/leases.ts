// The addresses that boards have, for the DHCP server.
import type { Decide, Transact } from '../store/writer.ts';
import type { LeaseDocument } from '../store/documents.ts';
import type { Cache } from '../store/cache.ts';

export type Lease = LeaseDocument;

/** Where leases survive a restart. A lease that `save` has not resolved for was not given: the answer waits for it. */
export interface LeaseStore {
  load(): Promise<Lease[]>;
  save(leases: Lease[]): Promise<void>;
}

export function leaseStore({
  cache,
  transact,
  transactOnReserve,
}: {
  cache: Cache;
  transact: Transact;
  transactOnReserve: Transact;
}): LeaseStore {
  // A board that could not keep its address would stop within the lease: a renewal takes no more room than it has.
  const isRenewal = ({ ip, mac }: Lease) => cache.get('leases', ip)?.mac === mac;
  return {
    load: () => Promise.resolve([...cache.all('leases').values()]),
    save: async (leases) => {
      const renewed = leases.filter(isRenewal);
      const given = leases.filter((lease) => !renewed.includes(lease));
      await Promise.all([transactOnReserve(put(renewed)), transact(put(given))]);
    },
  };
}

function put(leases: Lease[]): Decide<void> {
  return (transaction) => {
    for (const lease of leases) transaction.put('leases', lease.ip, lease);
  };
}
