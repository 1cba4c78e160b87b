// What the main thread and the roll call's thread say to each other. In order, each way.
import type { Mac } from '../../../protocol/mac.ts';
import type { Overdue, Report, RollCallCounters, Told } from './roll-call-messages.ts';

/** `number` counts up: the thread says up to which it has carried out all. */
export type ToThread =
  /** First. The socket is inherited; `clockOrigin`: ns of `process.hrtime` at which the main thread's clock was zero. */
  | { type: 'start'; fd: number; epoch: number; clockOrigin: bigint; told: readonly Told[]; number: number }
  | { type: 'told'; told: readonly Told[]; number: number }
  | { type: 'enforce'; macs: readonly Mac[]; number: number }
  /** The last batch has been read: there may be another. */
  | { type: 'next' };

/** At most one at a time is on its way. */
export interface FromThread {
  done: number;
  /** Monotonic ms, by the main thread's clock: all that arrived until then is in this batch or one before it. */
  heardUpTo: number;
  listeningSince: number;
  counters: RollCallCounters;
  reports: readonly Report[];
  overdue: readonly Overdue[];
}
