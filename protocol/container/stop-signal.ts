// How a container is asked to end: an image's `StopSignal` or its workload's own, as docker reads it: `SIGQUIT`, `quit`, `3`,
// `SIGRTMIN+3`. The numbers are Linux's on arm64 and x86-64. A kill order asks nobody: it kills.

/** Docker's default on `rm`, and ours. */
export const defaultStopGraceMs = 10_000;
export const longestStopGraceMs = 300_000;
export const stopSignalPattern =
  '^((SIG)?(HUP|INT|QUIT|ABRT|USR1|USR2|ALRM|TERM|CONT|WINCH|PWR|KILL|RTMIN(\\+([0-9]|[12][0-9]|30))?)|[1-9]|[1-5][0-9]|6[0-4])$';

const numbers: Record<string, number> = {
  HUP: 1,
  INT: 2,
  QUIT: 3,
  ABRT: 6,
  KILL: 9,
  USR1: 10,
  USR2: 12,
  ALRM: 14,
  TERM: 15,
  CONT: 18,
  WINCH: 28,
  PWR: 30,
  // The C library's: the kernel's own two first ones are in its use.
  RTMIN: 34,
};
const form = new RegExp(stopSignalPattern);

/** SIGTERM where none is named; undefined where it is no signal's name. */
export function stopSignalNumber(name: string | undefined): number | undefined {
  if (name === undefined || name === '') return numbers.TERM;
  const upper = name.toUpperCase();
  if (!form.test(upper)) return undefined;
  if (/^[0-9]+$/.test(upper)) return Number(upper);
  const [word = '', more = '0'] = upper.replace(/^SIG/, '').split('+');
  return (numbers[word] ?? 0) + Number(more);
}
