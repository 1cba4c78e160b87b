// What the kernel keeps for a customer's processes and takes down one by one when they die: descriptions of their memory,
// open files, timers, watches. It counts towards the customer's limit of memory, but no limit of its own can be set, and
// 240 MB of it, as a chain of processes that share their memory, were 3 to 6 s of dying (two busy cores of x86-64), where
// 240 MB of plain memory are 0.1 s. So what takes too much of it is ended while that is still quick.

/** 48 MB: 400 processes with 300 mappings and 20 files each have some 45. */
export const kernelMemoryLimitBytes = 48 * 2 ** 20;

/** How often it is looked at. A hoard grows no faster than it would die. */
export const kernelMemoryPollMs = 500;

/** From the text of a control group's memory.stat; 0 where the host has no memory controller. */
export function unreclaimableBytes(memoryStat: string | undefined): number {
  return Number(/^slab_unreclaimable (\d+)$/m.exec(memoryStat ?? '')?.[1] ?? 0);
}

/** Which instance of a customer ends, and why; undefined while all of them together take no more than they may. */
export function hoarder(
  customerBytes: number,
  instances: () => { id: string; bytes: number }[],
): { id: string; reason: string } | undefined {
  if (customerBytes <= kernelMemoryLimitBytes) return undefined;
  const [most] = instances().toSorted((one, other) => other.bytes - one.bytes);
  return (
    most && {
      id: most.id,
      reason: `too much kernel memory: ${megabytes(most.bytes)} MB of its customer's ${megabytes(customerBytes)}, want ${megabytes(kernelMemoryLimitBytes)} at most`,
    }
  );
}

function megabytes(bytes: number): string {
  return (bytes / 2 ** 20).toFixed(0);
}
