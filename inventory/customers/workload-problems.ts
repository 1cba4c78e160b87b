// Why workloads do not run as wanted, as the scheduler sees it. In memory only: it finds out again.
import { isServing } from './placement.ts';
import type { Change } from '../store/changes.ts';
import type { Cache } from '../store/cache.ts';
import type { WorkloadDocument } from '../store/documents.ts';
import type { NewEvent } from '../store/transaction.ts';
import { wantedReplicas } from './workload-limits.ts';

export class WorkloadProblems {
  readonly #cache: Cache;
  readonly #addEvent: (event: NewEvent) => void;
  readonly #tell: (change: Change) => void;
  /** By `<customer>/<workload>`. */
  readonly #problems = new Map<string, string>();
  /** Nothing is in the way any more, and not all of them are ready yet. */
  readonly #recovering = new Set<string>();
  /** When each workload was changed last; undefined before the first pass, which finds them as they are. */
  #changedAt: Map<string, number> | undefined;
  /** Changed, and not all of them as wanted yet. */
  readonly #changing = new Set<string>();

  constructor(options: { cache: Cache; addEvent: (event: NewEvent) => void; tell: (change: Change) => void }) {
    this.#cache = options.cache;
    this.#addEvent = options.addEvent;
    this.#tell = options.tell;
  }

  /** Called by each pass of the scheduler. That a workload runs again is said when it does. */
  set(found: ReadonlyMap<string, string>): void {
    const names = new Set([...this.#problems.keys(), ...found.keys()]);
    for (const id of names) {
      const text = found.get(id) ?? '';
      if (text === (this.#problems.get(id) ?? '')) continue;
      if (text === '') this.#problems.delete(id);
      else this.#problems.set(id, text);
      const workload = this.#cache.get('workloads', id);
      if (workload === undefined) continue;
      if (text === '') this.#recovering.add(id);
      else {
        this.#recovering.delete(id);
        this.#addEvent({ kind: 'workload', subject: id, message: text });
      }
      this.#tell({ kind: 'workload', customer: workload.customer, name: workload.name });
    }
    this.#noteChanges();
    for (const id of this.#recovering) {
      const workload = this.#cache.get('workloads', id);
      if (workload !== undefined && !this.#runs(workload)) continue;
      this.#recovering.delete(id);
      this.#changing.delete(id);
      if (workload !== undefined) this.#addEvent({ kind: 'workload', subject: id, message: 'runs as wanted again' });
    }
  }

  /** A workload that was deployed or changed runs as wanted when all that is wanted is ready and nothing else is left. */
  #noteChanges(): void {
    const before = this.#changedAt;
    const now = new Map<string, number>();
    for (const [id, { changedAt }] of this.#cache.all('workloads')) {
      now.set(id, changedAt);
      if (before !== undefined && before.get(id) !== changedAt) this.#changing.add(id);
    }
    this.#changedAt = now;
    for (const id of this.#changing) {
      const workload = this.#cache.get('workloads', id);
      if (workload !== undefined && (this.#problems.has(id) || !this.#runs(workload))) continue;
      this.#changing.delete(id);
      if (workload === undefined || this.#recovering.has(id)) continue;
      const wanted = wantedReplicas(workload.spec);
      const message =
        wanted === 0 ? 'none of it runs, as wanted' : `runs as wanted: ${wanted} of ${workload.spec.image}`;
      this.#addEvent({ kind: 'workload', subject: id, message });
    }
  }

  #runs({ customer, name, specRevision, spec }: WorkloadDocument): boolean {
    const instances = this.#cache.instancesOf(customer, name);
    const holds = this.#cache.get('customers', customer)?.onSilence === 'hold';
    return (
      instances.length === wantedReplicas(spec) &&
      instances.every(
        (instance) =>
          instance.specRevision === specRevision &&
          isServing(instance, { node: this.#cache.get('nodes', instance.node), holds }),
      )
    );
  }

  of(customer: string, workload: string): string {
    return this.#problems.get(`${customer}/${workload}`) ?? '';
  }
}
