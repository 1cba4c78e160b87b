// Why workloads do not run as wanted, as the scheduler sees it. In memory only: it finds out again.
import type { Change } from '../store/changes.ts';
import type { Memory } from '../store/cache.ts';
import type { NewEvent } from '../store/transaction.ts';

export class WorkloadProblems {
  readonly #memory: Memory;
  readonly #addEvent: (event: NewEvent) => void;
  readonly #tell: (change: Change) => void;
  /** By `<customer>/<workload>`. */
  readonly #problems = new Map<string, string>();

  constructor(options: { memory: Memory; addEvent: (event: NewEvent) => void; tell: (change: Change) => void }) {
    this.#memory = options.memory;
    this.#addEvent = options.addEvent;
    this.#tell = options.tell;
  }

  set(found: ReadonlyMap<string, string>): void {
    const names = new Set([...this.#problems.keys(), ...found.keys()]);
    for (const id of names) {
      const text = found.get(id) ?? '';
      if (text === (this.#problems.get(id) ?? '')) continue;
      if (text === '') this.#problems.delete(id);
      else this.#problems.set(id, text);
      const workload = this.#memory.get('workloads', id);
      if (workload === undefined) continue;
      this.#addEvent({ kind: 'workload', subject: id, message: text === '' ? 'runs as wanted again' : text });
      this.#tell({ kind: 'workload', customer: workload.customer, name: workload.name });
    }
  }

  of(customer: string, workload: string): string {
    return this.#problems.get(`${customer}/${workload}`) ?? '';
  }
}
