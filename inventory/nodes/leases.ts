// The addresses that boards have, for the DHCP server.
import type { Decide, Take } from '../store/writer.ts';
import type { LeaseDocument } from '../store/documents.ts';
import type { Memory } from '../store/cache.ts';

export type Lease = LeaseDocument;

/** Where leases survive a restart. A lease that `save` has not resolved for was not given: the answer waits for it. */
export interface LeaseStore {
  load(): Promise<Lease[]>;
  save(leases: Lease[]): Promise<void>;
}

export function leaseStore({
  memory,
  take,
  takeOnReserve,
}: {
  memory: Memory;
  take: Take;
  takeOnReserve: Take;
}): LeaseStore {
  // A board that could not keep its address would stop within the lease: a renewal takes no more room than it has.
  const isRenewal = ({ ip, mac }: Lease) => memory.get('leases', ip)?.mac === mac;
  return {
    load: () => Promise.resolve([...memory.all('leases').values()]),
    save: async (leases) => {
      const renewed = leases.filter(isRenewal);
      const given = leases.filter((lease) => !renewed.includes(lease));
      await Promise.all([takeOnReserve(put(renewed)), take(put(given))]);
    },
  };
}

function put(leases: Lease[]): Decide<void> {
  return (draft) => {
    for (const lease of leases) draft.put('leases', lease.ip, lease);
  };
}
