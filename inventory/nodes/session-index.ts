// Sessions by their id, as 912 heartbeats a second look them up.
import type { Mac } from '../../protocol/mac.ts';
import type { SessionDocument } from '../store/documents.ts';
import type { DocumentChange, Cache } from '../store/cache.ts';

export interface Session {
  id: string;
  mac: Mac;
  key: Buffer;
  bootId: string;
}

export class SessionIndex {
  readonly #byId = new Map<string, Session>();
  readonly #byMac = new Map<Mac, Session>();

  constructor(cache: Cache) {
    for (const document of cache.all('sessions').values()) this.#add(document);
  }

  apply(change: DocumentChange): void {
    if (change.collection !== 'sessions') return;
    if (change.before !== undefined) this.#byId.delete(change.before.id);
    this.#byMac.delete(change.id);
    if (change.after !== undefined) this.#add(change.after);
  }

  byId(id: string): Session | undefined {
    return this.#byId.get(id);
  }

  of(mac: Mac): Session | undefined {
    return this.#byMac.get(mac);
  }

  #add({ id, mac, key, bootId }: SessionDocument): void {
    const session = { id, mac, key: Buffer.from(key, 'hex'), bootId };
    this.#byId.set(id, session);
    this.#byMac.set(mac, session);
  }
}
