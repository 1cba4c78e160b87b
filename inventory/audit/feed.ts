// Between the documents and the audit log: tells the log what changed, and what it may have missed.
import { DocumentsThen } from './documents-then.ts';
import { type Audited, entriesOf, entriesOfChange, type NewEntry } from './entries.ts';
import type { AuditLog, AuditSource, ReceiptProof } from './audit.ts';
import type { NodeDocument } from '../store/documents.ts';
import type { DocumentChange, Cache } from '../store/cache.ts';

export class AuditFeed implements AuditSource {
  readonly #cache: Cache;
  #revision: number;
  /** Signed datagrams of receipts that are on their way to disk. */
  readonly #proofs = new Map<string, ReceiptProof>();
  readonly #looks = new Set<DocumentsThen>();

  constructor(cache: Cache, revision: number) {
    this.#cache = cache;
    this.#revision = revision;
  }

  /** What one transaction changed, after it is on disk. */
  tell(log: AuditLog, changes: readonly DocumentChange[]): void {
    for (const change of changes) {
      this.#revision = Math.max(this.#revision, change.revision);
      for (const documents of this.#looks) documents.note(change);
      for (const entry of entriesOfChange(change)) {
        const proof = entry.body['evidence'] === 'receipt' ? this.#proofs.get(change.id) : undefined;
        log.append(entry, { revision: change.revision, proof });
      }
    }
  }

  /** While `work` stores the receipt, which has the key `receipts/<id>`. */
  async withProof<T>(
    { id, proof }: { id: string; proof: ReceiptProof | undefined },
    work: () => Promise<T>,
  ): Promise<T> {
    if (proof === undefined) return work();
    this.#proofs.set(id, proof);
    try {
      return await work();
    } finally {
      if (this.#proofs.get(id) === proof) this.#proofs.delete(id);
    }
  }

  revision(): number {
    return this.#revision;
  }

  entriesSince(revision: number): NewEntry[] {
    const entries: NewEntry[] = [];
    const collections = ['orders', 'receipts', 'escalations', 'drills'] as const;
    for (const collection of collections)
      for (const [id, document] of this.#cache.all(collection))
        if (this.#cache.revision(collection, id) > revision)
          entries.push(...entriesOf({ collection, document } as Audited)); // the table of this very collection
    return entries;
  }

  nodesSince(revision: number): NodeDocument[] {
    return [...this.#cache.all('nodes').values()].filter(({ mac }) => this.#cache.revision('nodes', mac) > revision);
  }

  /** Later changes do not show in it. To be disposed of. */
  documentsNow(): DocumentsThen {
    const documents = new DocumentsThen(this.#cache, () => this.#looks.delete(documents));
    this.#looks.add(documents);
    return documents;
  }
}
