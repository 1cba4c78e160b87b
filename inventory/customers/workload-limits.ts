// The limits of a container: what its workload says, else the defaults.
import type { WorkloadSpec } from '../../protocol/api/workloads.ts';

export const mebibyte = 2 ** 20;
const workloadDefaults = { memoryBytes: 64 * mebibyte, cpu: 1, processes: 128 };

/** How many are to run now. */
export function wantedReplicas({ replicas, stopped }: WorkloadSpec): number {
  return stopped === true ? 0 : replicas;
}

/** What one instance may use. */
export function workloadLimits(spec: WorkloadSpec): { memoryBytes: number; cpu: number; processes: number } {
  return {
    memoryBytes: spec.memoryBytes ?? workloadDefaults.memoryBytes,
    cpu: spec.cpu ?? workloadDefaults.cpu,
    processes: spec.processes ?? workloadDefaults.processes,
  };
}
