// The numbers of the real leash, read from its source: whoever changes one there changes it here, and in the bound.
import { readFileSync } from 'node:fs';

export interface LeashNumbers {
  /** Waits this long for a line, ms. */
  readWaitMs: number;
  /** Sweeps no sooner than this after the last sweep, ms. */
  leastGapMs: number;
  /** Accepts no deadline further off, ms. */
  clampMs: number;
  /** A customer that outlives its kill this long keeps the watchdog from being fed, ms. */
  stuckMs: number;
  /** The hardware resets the board this long after it was fed last, ms. */
  watchdogMs: number;
}

export function leashNumbers(): LeashNumbers {
  const leash = read('../../images/node/leash.sh');
  const init = read('../../images/node/init.sh');
  return {
    readWaitMs: 1_000 * number(leash, /read -r -n 1 -t ([\d.]+) first/),
    leastGapMs: 10 * number(leash, /\[ \$\(\(now - swept\)\) -ge (\d+) \] \|\| continue/),
    clampMs: 10 * number(leash, /"\$deadline" -gt \$\(\(now \+ (\d+)\)\) \] && deadline=\$\(\(now \+ \1\)\)/),
    stuckMs: 10 * number(leash, /\[ \$\(\(now - killed\)\) -gt (\d+) \] && stuck=/),
    watchdogMs: 1_000 * number(init, /modprobe -q i6300esb heartbeat=(\d+)/),
  };
}

function read(path: string): string {
  return readFileSync(new URL(path, import.meta.url), 'utf8');
}

function number(text: string, pattern: RegExp): number {
  const found = pattern.exec(text)?.[1];
  if (found === undefined) throw new Error(`cannot find ${String(pattern)} in the leash: has it changed its form?`);
  return Number(found);
}
