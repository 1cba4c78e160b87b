// What became of one test, as plain data: it goes from process to process.
import { inspect } from 'node:util';
import type { TestEvent } from 'node:test/reporters';

export interface Outcome {
  /** Of the test. The runner reports each file as a test around its tests, named by its path. */
  name: string;
  /** Absolute, of the file that called `test`: it may be a fixture. */
  file: string;
  result: 'passed' | 'failed' | 'skipped';
  isSuite: boolean;
  /** 0 for a test of a file, 1 for a test within a test. */
  nesting: number;
  durationMs: number;
  /** Why it failed, in a line or some, and in full. Both empty where it did not. */
  reason: string;
  details: string;
}

/** Undefined for an event that ends no test. */
export function outcomeOf(event: TestEvent): Outcome | undefined {
  if (event.type !== 'test:pass' && event.type !== 'test:fail') return undefined;
  const { name, file = '', nesting, details, skip, todo } = event.data;
  const test = { name, file, nesting, isSuite: details.type === 'suite', durationMs: details.duration_ms };
  if (event.type === 'test:pass')
    return {
      ...test,
      result: skip === undefined && todo === undefined ? 'passed' : 'skipped',
      reason: '',
      details: '',
    };
  const { error } = event.data.details;
  const cause = error.cause ?? error;
  return {
    ...test,
    result: 'failed',
    reason: cause instanceof Error ? cause.message : String(cause),
    details: inspect(cause),
  };
}
