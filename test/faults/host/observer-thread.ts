// The observer's own thread: it reads control groups and interfaces from outside, every few milliseconds, and tells each
// change with the time on CLOCK_MONOTONIC. It believes nothing that agent or controller say, and waits for neither.
import { readFileSync } from 'node:fs';
import { parentPort, workerData } from 'node:worker_threads';
import { Type } from 'typebox';
import { Parse } from 'typebox/value';

const pollMs = 4;
/** Who comes this late was kept from the processor. */
const starvedNs = 50_000_000n;

const Watched = Type.Object({
  /** Shared with the owner: 0 go on, 1 end. */
  end: Type.Any(),
  groups: Type.Array(Type.Object({ key: Type.String(), events: Type.String() })),
});
const { groups } = Parse(Watched, workerData);
const end: unknown = workerData.end;
if (!(end instanceof Int32Array)) throw new Error('cannot observe: want a shared Int32Array to be ended by');

function isPopulated(events: string): boolean {
  try {
    return readFileSync(events, 'latin1').includes('populated 1');
  } catch {
    // No group: no process.
    return false;
  }
}

const last = new Map<string, boolean>();
let lookedNs = process.hrtime.bigint();
// Waits on the shared value, so that no timer and no other work of this process comes between two looks.
while (Atomics.wait(end, 0, 0, pollMs) === 'timed-out') {
  const nowNs = process.hrtime.bigint();
  if (nowNs - lookedNs > starvedNs) parentPort?.postMessage({ starvedNs: nowNs - lookedNs });
  lookedNs = nowNs;
  for (const { key, events } of groups) {
    const populated = isPopulated(events);
    if (last.get(key) === populated) continue;
    last.set(key, populated);
    parentPort?.postMessage({ key, populated, atNs: process.hrtime.bigint() });
  }
}
