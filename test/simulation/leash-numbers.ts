// The numbers of the real leash, read from its source: whoever changes one there changes it here, and in the bound.
import { readFileSync } from 'node:fs';

export interface LeashNumbers {
  /** Waits this long for a line, ms. */
  readWaitMs: number;
  /** Looks no sooner than this after its last look, ms. */
  leastGapMs: number;
  /** Both while a customer dies, ms. */
  dyingWaitMs: number;
  dyingGapMs: number;
  /** Accepts no deadline further off, ms. */
  clampMs: number;
  /** A customer that outlives its kill for more looks than this takes the board along. */
  patientLooks: number;
  /** The hardware resets the board this long after it was fed last, ms. */
  watchdogMs: number;
}

export function leashNumbers(): LeashNumbers {
  const leash = read('../../images/node/leash.sh');
  const init = read('../../images/node/init.sh');
  return {
    readWaitMs: 1_000 * number(leash, /^ {2}pause=([\d.]+)$/m),
    leastGapMs: 10 * number(leash, /then gap=(\d+); else gap=\d+; fi/),
    dyingWaitMs: 1_000 * number(leash, /^ {6}pause=([\d.]+)$/m),
    dyingGapMs: 10 * number(leash, /then gap=\d+; else gap=(\d+); fi/),
    clampMs: 10 * number(leash, /"\$deadline" -gt \$\(\(now \+ (\d+)\)\) \] && deadline=\$\(\(now \+ \1\)\)/),
    patientLooks: number(leash, /\[ \$looks -le (\d+) \] \|\| stuck=/),
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
