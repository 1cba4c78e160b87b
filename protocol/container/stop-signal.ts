// How a container is asked to end: an image's `StopSignal` or its workload's own, as docker reads it: `SIGQUIT`, `quit`, `3`,
// `SIGRTMIN+3`. The numbers are Linux's on arm64 and x86-64. A kill order asks nobody: it kills.

/** Docker's default on `rm`, and ours. */
export const defaultStopGraceMs = 10_000;
export const longestStopGraceMs = 300_000;

/** Linux's, from 1. */
const names =
  'HUP INT QUIT ILL TRAP ABRT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM STKFLT CHLD CONT STOP TSTP TTIN TTOU URG XCPU XFSZ VTALRM PROF WINCH IO PWR SYS'.split(
    ' ',
  );
/** The C library's: the kernel's own two first ones are in its use. */
const firstRealTime = 34;
const lastRealTime = 64;
const realTime = '(RTMIN(\\+([0-9]|[12][0-9]|30))?|RTMAX(-([0-9]|[12][0-9]|30))?)';

export const stopSignalPattern = `^((SIG)?(${names.join('|')}|${realTime})|[1-9]|[1-5][0-9]|6[0-4])$`;
const form = new RegExp(stopSignalPattern);

/** SIGTERM where none is named; undefined where it is no signal's name. */
export function stopSignalNumber(wanted: string | undefined): number | undefined {
  const upper = (wanted ?? '').toUpperCase() || 'TERM';
  if (!form.test(upper)) return undefined;
  if (/^[0-9]+$/.test(upper)) return Number(upper);
  const name = upper.replace(/^SIG/, '');
  const [word, more = '0'] = name.split(/[+-]/);
  if (word === 'RTMIN') return firstRealTime + Number(more);
  if (word === 'RTMAX') return lastRealTime - Number(more);
  return names.indexOf(name) + 1;
}
