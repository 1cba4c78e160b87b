// Goes through the whole audit log: is it one chain, are the receipts signed by the keys that were kept, and does it say
// of every order, lift, receipt and step of an escalation what the inventory says? In pages, so that permits go on.
import { Type, type Static } from 'typebox';
import { Compile } from 'typebox/compile';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { AuditEntry, AuditVerdict } from '../../protocol/api/audit.ts';
import { ChainCheck } from '../../protocol/records/audit.ts';
import { MalformedError } from '../../protocol/bytes.ts';
import { decodeHeartbeat } from '../../protocol/roll-call.ts';
import { type Audited, entriesOf, keyOf, type NewEntry } from './entries.ts';
import type { AuditLog, StoredKey } from './audit.ts';
import {
  type DrillDocument,
  type EscalationDocument,
  type OrderDocument,
  type ReceiptDocument,
  underPresentNames,
} from '../store/documents.ts';

/** A page takes some 3 ms, most of it for signatures. */
const pageLimit = 100;
const problemLimit = 100;

/** Documents as they were at one moment, by the rest of their keys. */
export interface AuditedDocuments {
  orders: ReadonlyMap<string, OrderDocument>;
  receipts: ReadonlyMap<string, ReceiptDocument>;
  escalations: ReadonlyMap<string, EscalationDocument>;
  drills: ReadonlyMap<string, DrillDocument>;
  /** Orders below this number may have been forgotten; 0 where none was. */
  forgottenBelow: number;
}

const Body = Type.Record(Type.String(), Type.Unknown());
const bodySchema = Compile(Body);
const ReceiptBody = Type.Object({
  node: Type.String(),
  evidence: Type.String(),
  stoppedAfterMs: Type.Union([Type.Number(), Type.Null()]),
  processes: Type.Number(),
  session: Type.String(),
  datagram: Type.String(),
});
const receiptSchema = Compile(ReceiptBody);

/** `documents` is called when the log stands still. Throws StorageError where the log cannot be read. */
export async function verifyAudit(log: AuditLog, documents: () => AuditedDocuments): Promise<AuditVerdict> {
  await log.flushed();
  const head = log.head;
  const waiting = log.waiting();
  const check = new Check(documents());
  const chain = new ChainCheck();
  if (waiting.size > 0 && log.troubled) check.report(`${waiting.size} entries wait for a disk that takes none`);
  // Below the first number as well: nothing of ours stands there.
  for (let after = Number.MIN_SAFE_INTEGER; ;) {
    const page = (await log.entries({ after, limit: pageLimit })).filter(({ sequence }) => sequence <= head.sequence);
    const last = page.at(-1);
    if (last === undefined) break;
    for (const entry of page) for (const problem of chain.add(entry)) check.report(problem);
    const bodies = page.map((entry) => check.entry(entry));
    const spoken = bodies.flatMap((body) => (receiptSchema.Check(body) ? [body.session] : []));
    const keys = new Map((await log.keys([...new Set(spoken)])).map((key) => [key.session, key]));
    for (const [i, entry] of page.entries()) check.receipt(entry, bodies[i], keys);
    after = last.sequence;
    await nextTurn();
  }
  if (chain.head !== head.hash)
    check.report(
      `the log ends with ${chain.head.slice(0, 12)}…, the last entry written was ${head.hash.slice(0, 12)}…`,
    );
  await check.end(waiting);
  return {
    entries: chain.entries,
    head: chain.head,
    receipts: check.receipts,
    late: check.late,
    problems: check.problems,
  };
}

class Check {
  receipts = 0;
  late = 0;
  readonly #problems: string[] = [];
  #more = 0;
  readonly #documents: AuditedDocuments;
  /** Key → sequence of the entry that told it. */
  readonly #told = new Map<string, number>();

  constructor(documents: AuditedDocuments) {
    this.#documents = documents;
  }

  get problems(): string[] {
    return this.#more === 0 ? this.#problems : [...this.#problems, `and ${this.#more} problems more`];
  }

  report(problem: string): void {
    if (this.#problems.length < problemLimit) this.#problems.push(problem);
    else this.#more++;
  }

  /** Compares with the documents; gives the body. */
  entry({ sequence, kind, subject, body: text }: AuditEntry): Static<typeof Body> {
    const body = parsed(text);
    if (body === undefined) {
      this.report(`entry ${sequence} cannot be read: its body is no JSON object`);
      return {};
    }
    if (body['late'] === true) this.late++;
    if (!['order', 'lift', 'receipt', 'escalation', 'drill'].includes(kind)) return body;
    const entry = { kind, subject, body };
    const key = keyOf(entry);
    const first = this.#told.get(key);
    // Of escalations and drills the inventory forgets the oldest by itself.
    const kept = kind !== 'escalation' && kind !== 'drill';
    if (first !== undefined && kept)
      this.report(`entry ${sequence} tells again what entry ${first} told: ${inWords(entry)}`);
    const number = Number(subject);
    const known = this.#documents.orders.get(subject);
    if (known === undefined && kind !== 'drill') {
      if (!(number < this.#documents.forgottenBelow))
        this.report(`entry ${sequence} tells of ${inWords(entry)}, but the inventory knows no such order`);
      return body;
    }
    this.#told.set(key, sequence);
    const expected = this.#entriesOf(entry).find((each) => keyOf(each) === key);
    if (expected === undefined && kept)
      this.report(`entry ${sequence} tells of ${inWords(entry)}, the inventory does not`);
    for (const [name, value] of Object.entries(expected?.body ?? {}))
      if (JSON.stringify(body[name]) !== JSON.stringify(value))
        this.report(
          `entry ${sequence}, ${inWords(entry)}: ${name} is ${brief(body[name])}, the inventory has ${brief(value)}`,
        );
    return body;
  }

  /** Checks the node's signature again. */
  receipt({ sequence, kind, subject }: AuditEntry, body: unknown, keys: ReadonlyMap<string, StoredKey>): void {
    if (kind !== 'receipt' || !receiptSchema.Check(body)) return;
    const { node, session, datagram, stoppedAfterMs, processes } = body;
    const stored = keys.get(session);
    if (stored === undefined) return this.report(`entry ${sequence}: the key of session ${session} is missing`);
    if (stored.mac !== node)
      return this.report(`entry ${sequence}: session ${session} is that of ${stored.mac}, not of ${node}`);
    try {
      const heartbeat = decodeHeartbeat(Buffer.from(datagram, 'base64'), Buffer.from(stored.key, 'hex'));
      const said = heartbeat.receipts.find(({ order }) => String(order) === subject);
      if (heartbeat.session.toString('hex') !== session)
        this.report(`entry ${sequence}: the signed datagram is of another session`);
      else if (said === undefined)
        this.report(`entry ${sequence}: the signed datagram does not acknowledge order ${subject}`);
      else if (said.stoppedAfterMs !== stoppedAfterMs || said.processes !== processes)
        this.report(
          `entry ${sequence}: the node signed ${said.stoppedAfterMs} ms and ${said.processes} processes, the entry says ${stoppedAfterMs} and ${processes}`,
        );
      else this.receipts++;
    } catch (error) {
      if (!(error instanceof MalformedError)) throw error;
      this.report(`entry ${sequence}: ${error.message}`);
    }
  }

  /** What the inventory knows and the log does not tell. */
  async end(waiting: ReadonlySet<string>): Promise<void> {
    const { orders, receipts, escalations, drills } = this.#documents;
    let looked = 0;
    const missing = async (audited: Audited) => {
      if (++looked % 1_000 === 0) await nextTurn();
      for (const entry of entriesOf(audited)) {
        const key = keyOf(entry);
        if (!this.#told.has(key) && !waiting.has(key)) this.report(`no entry tells of ${inWords(entry)}`);
      }
    };
    for (const document of orders.values()) await missing({ collection: 'orders', document });
    for (const document of receipts.values()) await missing({ collection: 'receipts', document });
    for (const document of escalations.values()) await missing({ collection: 'escalations', document });
    for (const document of drills.values()) await missing({ collection: 'drills', document });
  }

  #entriesOf({ kind, subject, body }: NewEntry): NewEntry[] {
    const id = `${subject}/${String(body['node'])}`;
    const { orders, receipts, escalations, drills } = this.#documents;
    if (kind === 'drill') {
      const document = drills.get(subject);
      return document === undefined ? [] : entriesOf({ collection: 'drills', document });
    }
    if (kind === 'receipt') {
      const document = receipts.get(id);
      return document === undefined ? [] : entriesOf({ collection: 'receipts', document });
    }
    if (kind === 'escalation') {
      const document = escalations.get(id);
      return document === undefined ? [] : entriesOf({ collection: 'escalations', document });
    }
    const document = orders.get(subject);
    return document === undefined ? [] : entriesOf({ collection: 'orders', document });
  }
}

function parsed(text: string): Static<typeof Body> | undefined {
  try {
    const value = underPresentNames(JSON.parse(text));
    return bodySchema.Check(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

function inWords({ kind, subject, body }: NewEntry): string {
  switch (kind) {
    case 'order':
      return `order ${subject}`;
    case 'lift':
      return `the lift of order ${subject}`;
    case 'receipt':
      return `the receipt of ${String(body['node'])} for order ${subject}`;
    case 'drill':
      return `drill ${subject}`;
    default:
      return `a step on ${String(body['node'])} for order ${subject}`;
  }
}

function brief(value: unknown): string {
  const text = JSON.stringify(value) ?? 'missing';
  return text.length > 60 ? `${text.slice(0, 57)}…` : text;
}
