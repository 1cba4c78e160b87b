// Goes through the whole audit log: is it one chain, are the receipts signed by the keys that were kept, and does it say
// of every order, lift, receipt and step of an escalation what the inventory says? In pages, and each page in slices: others
// have their turn however long the log is.
import { Type, type Static } from 'typebox';
import { Compile } from 'typebox/compile';
import type { AuditEntry, AuditVerdict } from '../../protocol/api/audit.ts';
import { ChainCheck } from '../../protocol/records/audit.ts';
import { MalformedError } from '../../protocol/bytes.ts';
import { decodeHeartbeat } from '../../protocol/roll-call.ts';
import { inSlices, mapped, type Sliced, type SliceOptions } from '../slices.ts';
import type { AuditLog, StoredKey } from './audit.ts';
import { underPresentNames } from '../store/documents.ts';
import type { DocumentsThen } from './documents-then.ts';
import { type Audited, entriesOf, keyOf, type NewEntry } from './entries.ts';

const pageLimit = 100;
const problemLimit = 100;

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

/** `documentsNow` is called when the log stands still. Throws StorageError where the log cannot be read. */
export async function verifyAudit(
  log: AuditLog,
  { documentsNow, turns }: { documentsNow: () => DocumentsThen; turns?: SliceOptions | undefined },
): Promise<AuditVerdict> {
  await log.flushed();
  const head = log.head;
  const waiting = log.waiting();
  using documents = documentsNow();
  const check = new Check(documents);
  const chain = new ChainCheck();
  if (waiting.size > 0 && log.troubled) check.report(`${waiting.size} entries wait for a disk that takes none`);
  // Below the first number as well: nothing of ours stands there.
  for (let after = Number.MIN_SAFE_INTEGER; ;) {
    const page = (await log.entries({ after, limit: pageLimit })).filter(({ sequence }) => sequence <= head.sequence);
    const last = page.at(-1);
    if (last === undefined) break;
    const read = mapped(page, (entry) => {
      for (const problem of chain.add(entry)) check.report(problem);
      return { entry, body: check.entry(entry) };
    });
    const told = await inSlices(read, turns);
    const spoken = told.flatMap(({ body }) => (receiptSchema.Check(body) ? [body.session] : []));
    const keys = new Map((await log.keys([...new Set(spoken)])).map((key) => [key.session, key]));
    await inSlices(
      mapped(told, (each) => check.receipt(each, keys)),
      turns,
    );
    after = last.sequence;
  }
  if (chain.head !== head.hash)
    check.report(
      `the log ends with ${chain.head.slice(0, 12)}…, the last entry written was ${head.hash.slice(0, 12)}…`,
    );
  await inSlices(check.end(waiting), turns);
  return {
    entries: chain.entries,
    head: chain.head,
    receipts: check.receipts,
    late: check.late,
    problems: check.problems,
  };
}

interface Told {
  entry: AuditEntry;
  body: Static<typeof Body>;
}

class Check {
  receipts = 0;
  late = 0;
  readonly #problems: string[] = [];
  #more = 0;
  readonly #documents: DocumentsThen;
  /** Key → sequence of the entry that told it. */
  readonly #told = new Map<string, number>();

  constructor(documents: DocumentsThen) {
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
    const known = this.#documents.get('orders', subject);
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
  receipt({ entry: { sequence, kind, subject }, body }: Told, keys: ReadonlyMap<string, StoredKey>): void {
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
  *end(waiting: ReadonlySet<string>): Sliced<void> {
    for (const audited of this.#documents.all()) {
      for (const entry of entriesOf(audited)) {
        const key = keyOf(entry);
        if (!this.#told.has(key) && !waiting.has(key)) this.report(`no entry tells of ${inWords(entry)}`);
      }
      yield;
    }
  }

  #entriesOf({ kind, subject, body }: NewEntry): NewEntry[] {
    const id = `${subject}/${String(body['node'])}`;
    switch (kind) {
      case 'drill':
        return this.#entriesAt('drills', subject);
      case 'receipt':
        return this.#entriesAt('receipts', id);
      case 'escalation':
        return this.#entriesAt('escalations', id);
      default:
        return this.#entriesAt('orders', subject);
    }
  }

  #entriesAt(collection: Audited['collection'], id: string): NewEntry[] {
    const document = this.#documents.get(collection, id);
    return document === undefined ? [] : entriesOf({ collection, document } as Audited); // the collection ties the two
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
