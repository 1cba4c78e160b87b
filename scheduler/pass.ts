// What one pass has decided so far, and where it finds places.
import { instanceId, type Placement } from '../inventory/customers/placement.ts';
import type { Mac } from '../protocol/mac.ts';
import type { Capacity } from './capacity.ts';
import type { WorldCustomer, WorldInstance, WorldWorkload } from './world.ts';

/** The rest comes in the next pass, 100 ms later: a pass stays short however much is asked for at once. */
const placementLimit = 100;

/** Of all workloads. */
export class Pass {
  readonly capacity: Capacity;
  readonly now: number;
  readonly actions: Placement[] = [];
  readonly problems = new Map<string, string>();
  dueAt = Infinity;
  #placements = 0;
  #nextNumber: number;

  constructor(capacity: Capacity, { now, nextInstanceNumber }: { now: number; nextInstanceNumber: number }) {
    this.capacity = capacity;
    this.now = now;
    this.#nextNumber = nextInstanceNumber;
  }

  get isFull(): boolean {
    return this.#placements >= placementLimit;
  }

  /** Whether it is as late as that; else the world is looked at again then. */
  isDue(at: number): boolean {
    if (this.now < at) this.dueAt = Math.min(this.dueAt, at);
    return this.now >= at;
  }

  place(workload: WorldWorkload, { node, ...why }: { node: Mac; attempt: number; reason: string }): void {
    const { customer, name, specRevision, memoryBytes, processes, needsPort } = workload;
    const number = this.#nextNumber++;
    const port = needsPort ? this.capacity.freePort(node, number) : null;
    const id = instanceId(name, number);
    this.actions.push({ kind: 'place', id, customer, workload: name, node, port, specRevision, ...why });
    this.capacity.add(node, { customer, memoryBytes, processes, port });
    this.#placements++;
  }

  /** It gets no new traffic from now on, and is removed when what it has is done. */
  drain({ id }: WorldInstance, reason: string): void {
    this.actions.push({ kind: 'drain', id, reason });
  }

  remove({ id }: WorldInstance, reason: string): void {
    this.actions.push({ kind: 'remove', id, reason });
  }
}

/** Finds places for one workload. */
export class Placer {
  placed = 0;
  /** Why the last one found no place, in words. Nothing is freed within a pass: the next one finds none either. */
  refusal: string | undefined;
  readonly #pass: Pass;
  readonly #workload: WorldWorkload;
  readonly #customer: WorldCustomer;
  readonly #own = new Map<Mac, number>();
  readonly #staying = new Map<Mac, number>();

  constructor(pass: Pass, { workload, customer }: { workload: WorldWorkload; customer: WorldCustomer }) {
    this.#pass = pass;
    this.#workload = workload;
    this.#customer = customer;
  }

  count(mac: Mac, { stays }: { stays: boolean }): void {
    this.#own.set(mac, (this.#own.get(mac) ?? 0) + 1);
    if (stays) this.#staying.set(mac, (this.#staying.get(mac) ?? 0) + 1);
  }

  place({ avoid, ...why }: { attempt: number; avoid: Mac | undefined; reason: string }): boolean {
    const workload = this.#workload;
    if (this.#pass.isFull || this.refusal !== undefined) return false;
    if (workload.unusable !== undefined) {
      this.refusal = `${workload.unusable}; deploy it again without`;
      return false;
    }
    const own = this.#own;
    const staying = this.#staying;
    const chosen = this.#pass.capacity.choose({ workload, customer: this.#customer, avoid, own, staying });
    if ('refusal' in chosen) {
      this.refusal = chosen.refusal;
      return false;
    }
    this.#pass.place(workload, { node: chosen.mac, ...why });
    this.count(chosen.mac, { stays: true });
    this.placed++;
    return true;
  }

  wouldFitInsteadOf({ node, desired: leaving }: WorldInstance): boolean {
    const workload = this.#workload;
    if (workload.unusable !== undefined) return false;
    return this.#pass.capacity.hasRoomInsteadOf(node, { workload, customer: this.#customer, leaving });
  }
}
