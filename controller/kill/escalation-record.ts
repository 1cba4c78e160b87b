// What an escalation writes down: attempts with their outcome, what counts as a stop, fences, and what operators are told. Save
// first, then act, as long as the disk answers: one that takes nothing holds none of this up for more than some tenths of a
// second, and has it later.
import type { EscalationStep } from '../../protocol/api/orders.ts';
import type { Mac } from '../../protocol/mac.ts';
import type { OrderDocument } from '../../inventory/store/documents.ts';
import type { Inventory } from '../../inventory/inventory.ts';
import { StorageError } from '../../inventory/store/store.ts';
import type { RollCall } from './roll-call/roll-call.ts';

/** How long is waited for the disk. */
const storingMs = 700;
const storeAgainMs = 1_000;

export interface EscalationRecordOptions {
  inventory: Inventory;
  rollCall: Pick<RollCall, 'sinceGiven'>;
  pause: (ms: number) => Promise<unknown>;
  /** A change that could not be stored. */
  onFailure: (error: unknown) => void;
}

/** A node that has to acknowledge this order. */
interface NodeOfOrder {
  order: OrderDocument;
  mac: Mac;
}

export class EscalationRecord {
  readonly #options: EscalationRecordOptions;
  /** Boards that were told about: `3 02:00:…` loses its power for order 3. */
  readonly #announced = new Set<string>();
  /** Boards whose fence is on its way to disk. */
  readonly #fencing = new Map<Mac, Promise<void>>();
  #ended = false;

  constructor(options: EscalationRecordOptions) {
    this.#options = options;
  }

  get hasEnded(): boolean {
    return this.#ended;
  }

  /** Nothing is tried again, and no failure is told any more. */
  end(): void {
    this.#ended = true;
  }

  failed(error: unknown): void {
    if (!this.#ended) this.#options.onFailure(error);
  }

  note({ order, mac }: NodeOfOrder, step: Omit<EscalationStep, 'afterMs'>): Promise<void> {
    const detail = step.detail.slice(0, 500);
    return this.#options.inventory.orders.addEscalationStep({
      number: order.number,
      mac,
      step: {
        ...step,
        detail,
        afterMs: this.#sinceGiven(order),
      },
    });
  }

  /** Nothing of the order is left on that node. */
  async stopped(
    { order, mac }: NodeOfOrder,
    { by, detail, processes }: { by: 'ssh' | 'power'; detail: string; processes: number },
  ): Promise<void> {
    await this.note({ order, mac }, { by, outcome: 'stopped', detail });
    const evidenceAfterMs = this.#sinceGiven(order);
    const receipt = { evidence: by, evidenceAfterMs, stoppedAfterMs: null, processes };
    await this.#shortly(this.#options.inventory.orders.saveReceipt({ number: order.number, mac, receipt }));
  }

  async fence(mac: Mac, by: string): Promise<void> {
    const stored = this.#fencing.get(mac) ?? this.#untilFenced(mac, by).finally(() => this.#fencing.delete(mac));
    this.#fencing.set(mac, stored);
    await this.#shortly(stored);
  }

  async #untilFenced(mac: Mac, by: string): Promise<void> {
    for (;;)
      try {
        await this.#options.inventory.nodes.patch(mac, { fenced: true, by });
        return;
      } catch (error) {
        if (this.#ended || !(error instanceof StorageError)) throw error;
        await this.#options.pause(storeAgainMs);
      }
  }

  /** What counts already, or is tried until it is stored. */
  async #shortly(stored: Promise<void>): Promise<void> {
    stored.catch((error: unknown) => this.failed(error));
    await Promise.race([stored, this.#options.pause(storingMs)]);
  }

  announce({ order, mac }: NodeOfOrder, text: string): void {
    const key = `${order.number} ${mac} ${text}`;
    if (this.#announced.has(key)) return;
    this.#announced.add(key);
    this.#options.inventory.events.add({ kind: 'node', subject: mac, message: text });
  }

  #sinceGiven(order: OrderDocument): number {
    return Math.round(10 * this.#options.rollCall.sinceGiven(order)) / 10;
  }
}
