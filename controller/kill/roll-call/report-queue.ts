// What the roll call's thread has for the inventory, until the main thread takes it: of heartbeats the last of each node, so
// that a main thread that stands still finds no more than there are nodes and orders.
import type { Mac } from '../../../protocol/mac.ts';
import type { Report } from './roll-call-messages.ts';

/** Beacons prove nothing: nobody misses those beyond it. */
const beaconLimit = 1_024;

export class ReportQueue {
  readonly #heard = new Map<Mac, Report & { type: 'heard' }>();
  #others: Report[] = [];
  #beacons: Report[] = [];

  add(report: Report): void {
    switch (report.type) {
      case 'heard': {
        // One that answered a permit of ours proves whose place it is, whatever came after it.
        const isReplay = report.isReplay && this.#heard.get(report.mac)?.isReplay !== false;
        this.#heard.set(report.mac, isReplay === report.isReplay ? report : { ...report, isReplay });
        return;
      }
      case 'beacon':
        if (this.#beacons.length < beaconLimit) this.#beacons.push(report);
        return;
      default:
        this.#others.push(report);
    }
  }

  /** All of it, once: heartbeats, then permits and evidence in their order, then beacons. */
  take(): Report[] {
    const all = [...this.#heard.values(), ...this.#others, ...this.#beacons];
    this.#heard.clear();
    this.#others = [];
    this.#beacons = [];
    return all;
  }
}
