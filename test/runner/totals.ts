// What a run has come to, and telling it: a line for each test, and its failures once more at the end.
import type { Outcome } from './outcome.ts';

export interface Totals {
  passed: number;
  skipped: number;
  /** The headline of each failure and its reason: a long log ends with them. */
  failed: string[];
}

/** `path`: of the test's file, from the project's root. */
export type FileOutcome = Outcome & { path: string };

export function count(totals: Totals, outcome: FileOutcome): void {
  if (outcome.result === 'failed') {
    countFailure(totals, outcome);
    return;
  }
  if (outcome.isSuite || isFileItself(outcome)) return;
  totals[outcome.result] += 1;
  if (outcome.result === 'passed') print(`✓ ${outcome.path}: ${outcome.name}  ${Math.round(outcome.durationMs)} ms`);
}

function countFailure(totals: Totals, { path, name, reason, details, ...outcome }: FileOutcome): void {
  if (isFileItself({ name, ...outcome })) {
    // Its own tests have been counted; what is left is a crash, a leak or a time limit of the whole file.
    if (reason.includes('subtest')) return;
    fail(totals, { headline: `${path}: its process crashed, or did not end (${reason})` });
    print(`  again: npm test -- ${path}`);
    return;
  }
  // A suite fails because a test in it failed: that one has been counted.
  if (outcome.isSuite && reason.includes('subtest')) return;
  fail(totals, { headline: `${path}: ${name}`, reason });
  print(details);
  // A test within a test does not run without it.
  const which = outcome.nesting > 0 ? '' : ` -t '${name.replaceAll("'", '.')}'`;
  print(`  again: npm test -- ${path}${which}`);
}

/** The runner reports each file as a test around its tests, named by its path; that one only counts when it fails. */
function isFileItself({ name, file }: Pick<Outcome, 'name' | 'file'>): boolean {
  return name === file;
}

export function fail(totals: Totals, { headline, reason = '' }: { headline: string; reason?: string }): void {
  totals.failed.push(reason === '' ? headline : `${headline}\n${reason.slice(0, 2_000)}`);
  print(`✗ ${headline}`);
}

/** 0 for success. A run without a test is none. */
export function close({ passed, failed, skipped }: Totals): number {
  if (failed.length > 0) print(`\n${failed.map((each) => `✗ ${each}`).join('\n')}`);
  print(`\n${passed} passed, ${failed.length} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`);
  return failed.length > 0 || passed === 0 ? 1 : 0;
}

function print(text: string): void {
  process.stdout.write(`${text}\n`);
}
