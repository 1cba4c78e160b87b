// Instances: containers of workloads on their nodes, as placed by the scheduler and as their nodes report them.
import type { InstanceReport } from '../../protocol/api/agent.ts';
import type { Mac } from '../../protocol/mac.ts';
import type { Cache } from '../store/cache.ts';
import type { DiskReserve } from '../store/disk-reserve.ts';
import type { InstanceDocument } from '../store/documents.ts';
import type { Transact } from '../store/writer.ts';
import {
  decideMissing,
  decidePlacement,
  decideReport,
  nextInstanceNumber,
  type Placement,
  reportNews,
} from './placement.ts';

/** Documents that it returns are shared and must not be changed. */
export interface InstanceBook {
  all(): InstanceDocument[];
  get(id: string): InstanceDocument | undefined;
  on(mac: Mac): InstanceDocument[];
  of(customer: string, workload?: string): InstanceDocument[];
  /**
   * All that is on that node. Stores what changed; ids that are not placed there are ignored, and an instance that is placed
   * there and not named does not run.
   */
  report(mac: Mac, reports: InstanceReport[]): Promise<void>;
  /** For scheduler/execute.ts: all in one transaction; steps that are done already, or no longer fit, are left out. */
  apply(placements: Placement[]): Promise<{ applied: number }>;
  /** The number that the next new instance must have: ids are never used twice. */
  nextNumber(): number;
}

export function instanceBook({
  cache,
  transact,
  now,
  reserve,
}: {
  cache: Cache;
  transact: Transact;
  now: () => number;
  reserve: DiskReserve | undefined;
}): InstanceBook {
  return {
    all: () => [...cache.all('instances').values()],
    get: (id) => cache.get('instances', cache.instanceKey(id) ?? ''),
    on: (mac) => cache.instancesOn(mac),
    of: (customer, workload) => cache.instancesOf(customer, workload),
    report: async (mac, reports) => {
      const { news, missing } = reportNews(cache, { mac, reports });
      if (news.length + missing.length === 0) return;
      await transact((transaction) => {
        decideReport(transaction, { mac, reports: news, now: now() });
        decideMissing(transaction, { mac, ids: missing, now: now() });
      });
    },
    apply: (placements) =>
      // On a full disk a plan waits; the next one is made anew.
      reserve?.refusal() === undefined
        ? transact((transaction) => decidePlacement(transaction, { placements, now: now() }))
        : Promise.resolve({ applied: 0 }),
    nextNumber: () => nextInstanceNumber(cache),
  };
}
