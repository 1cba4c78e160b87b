// Kill orders on their way to the disk. An order is in force from the moment in which it is asked for: permits leave the
// customer out before anything is written, however slow or full the disk is. It is written until the disk has taken it,
// one attempt a second; so is its lift, and what nodes acknowledge meanwhile.
//
//   kill   in force at once ───────────▶ on disk
//   lift   asked for ─▶ on disk, in force. An order that the disk has refused is not there to stand again: its lift is
//          in force in memory as soon as the disk refuses that too
//
// What is only here is lost with the process: whoever asked is told so, see `isStored`.
import type { Mac } from '../../protocol/mac.ts';
import { everything } from '../../protocol/roll-call.ts';
import { unknownCustomer } from '../customers/unknown.ts';
import type { Decide, Transact } from '../store/writer.ts';
import type { OrderDocument, ReceiptDocument } from '../store/documents.ts';
import type { Refused } from '../refused.ts';
import type { Cache } from '../store/cache.ts';
import { named, notStanding } from './orders.ts';
import { StorageError } from '../store/store.ts';

const retryMs = 1_000;
/** After this long without an answer of the disk it is said. */
const slowMs = 1_000;
/** Orders and lifts that wait at once, and receipts: a disk that takes nothing must not cost all memory. */
const waitingLimit = 1_000;
const receiptLimit = 20_000;

/** Each is called at most once. */
export interface OrderHooks {
  /** Not refused: the order that is given, or the one that is to be lifted. Before the call returns. */
  accepted?: (order: OrderDocument) => void;
  /** From now on permits read otherwise. An order: before the call returns. */
  inForce?: (order: OrderDocument) => void;
}

export interface KillRequest {
  /** A customer's name or `*`. */
  scope: string;
  reason: string;
  by: string;
  targets: Mac[];
}

export type LiftRequest = Omit<KillRequest, 'targets'>;

/** Decides on the order as it stands here already, or on the one to be lifted. */
type DecideOrder<T> = (order: OrderDocument) => Decide<T>;

/** `decide` is taken until its writes are on disk. */
interface Given<T> {
  hooks: OrderHooks;
  decide: DecideOrder<T | Refused>;
}

interface Waiting {
  /** Of the order that is given or lifted. */
  number: number;
  lift: Pick<OrderDocument, 'liftReason' | 'liftedBy'> | undefined;
  attempt: () => Promise<void>;
  reject: (error: unknown) => void;
  /** Of a lift: told once. */
  inForce: () => void;
}

interface Heard {
  receipt: ReceiptDocument;
  /** Resolves with whether an order for it is on disk. */
  store: () => Promise<boolean>;
  isWaiting: boolean;
}

export interface UnstoredOrdersOptions {
  cache: Cache;
  transact: Transact;
  /** Milliseconds since 1970. */
  now: () => number;
  pause: (ms: number) => Promise<void>;
  /** It shows otherwise now, and no document changed. */
  onOrder: (number: number) => void;
  /** For an operator to read at once. */
  log: (message: string) => void;
}

export class UnstoredOrders {
  readonly #options: UnstoredOrdersOptions;
  /** Given and not on disk; `liftedAt` is set where the lift is in force here. */
  readonly #orders = new Map<number, OrderDocument>();
  readonly #heard = new Map<string, Heard>();
  #waiting: Waiting[] = [];
  #lastNumber = 0;
  #trouble: string | undefined;
  /** Since the last time in which nothing waited. */
  readonly #said = new Set<string>();
  #wake = Promise.withResolvers<void>();
  #isRunning = false;
  #running: Promise<void> | undefined;
  #closed = false;

  constructor(options: UnstoredOrdersOptions) {
    this.#options = options;
  }

  /** The order stands when this returns, unless it is refused. */
  async kill<T extends object>(request: KillRequest, { hooks, decide }: Given<T>): Promise<T | Refused> {
    const refusal = this.killRefusal(request.scope);
    if (refusal !== undefined) return refusal;
    const lifts = { liftedAt: null, liftReason: null };
    const targets = [...new Set(request.targets)];
    const order = { ...request, targets, number: this.nextNumber(), at: this.#options.now(), ...lifts };
    this.#orders.set(order.number, order);
    try {
      hooks.accepted?.(order);
      hooks.inForce?.(order);
      return await this.#stored({ number: order.number, decide: decide(order) });
    } finally {
      // On disk, or refused after all: its customer was removed at the same time.
      this.#orders.delete(order.number);
      if (this.#trouble !== undefined) this.#options.onOrder(order.number);
    }
  }

  /** In force when `hooks.inForce` is told. */
  async lift<T extends object>({ scope, reason, by }: LiftRequest, { hooks, decide }: Given<T>): Promise<T | Refused> {
    const order = this.toBeLifted(scope);
    if ('refused' in order) return order;
    hooks.accepted?.(order);
    let isInForce = false;
    const inForce = () => {
      if (!isInForce) hooks.inForce?.(order);
      isInForce = true;
    };
    const lift = { liftReason: reason, liftedBy: by };
    const answer = await this.#stored({ number: order.number, decide: decide(order), lift, inForce });
    if (!('refused' in answer)) inForce();
    return answer;
  }

  /** Never given twice, also where an order that has it is not on disk yet. */
  nextNumber(): number {
    const stored = this.#options.cache.get('counters', 'orders')?.value ?? 0;
    this.#lastNumber = Math.max(this.#lastNumber, stored) + 1;
    return this.#lastNumber;
  }

  /** Nothing of this order waits for the disk: neither itself nor its lift. */
  isStored(number: number): boolean {
    return !this.#orders.has(number) && !this.#waiting.some((each) => each.number === number);
  }

  get isEmpty(): boolean {
    return this.#orders.size === 0;
  }

  order(number: number): OrderDocument | undefined {
    const order = this.#orders.get(number);
    // What is on disk is the truth about it, but for a lift that is in force here only.
    return order?.liftedAt === null ? (this.#options.cache.get('orders', String(number)) ?? order) : order;
  }

  /** The orders that are not in the cache as documents. */
  orders(): OrderDocument[] {
    return [...this.#orders.values()].filter(
      ({ number }) => this.#options.cache.get('orders', String(number)) === undefined,
    );
  }

  standing(): OrderDocument[] {
    return this.orders().filter(({ liftedAt }) => liftedAt === null);
  }

  /** The order of this very scope. */
  standingFor(scope: string): OrderDocument | undefined {
    return this.isEmpty ? undefined : this.standing().find((order) => order.scope === scope);
  }

  /** Counts from now on; `store` is tried again until it is on disk. False where it counts already, or there is no room. */
  async hear(receipt: ReceiptDocument, store: () => Promise<boolean>): Promise<void> {
    const key = `${receipt.number}/${receipt.mac}`;
    if (this.#heard.has(key) || this.#heard.size >= receiptLimit) return;
    const heard = { receipt, store, isWaiting: false };
    this.#heard.set(key, heard);
    if (this.#trouble !== undefined) this.#options.onOrder(receipt.number);
    await this.#keep(key, heard);
    if (heard.isWaiting) this.#run();
  }

  receipt(number: number, mac: Mac): ReceiptDocument | undefined {
    return this.#heard.size === 0 ? undefined : this.#heard.get(`${number}/${mac}`)?.receipt;
  }

  /** Acknowledged, and not on disk. */
  receipts(number: number): ReceiptDocument[] {
    return Array.from(this.#heard.values(), ({ receipt }) => receipt).filter((receipt) => receipt.number === number);
  }

  /** One sentence while something waits longer than it should. */
  problem(): string | undefined {
    return this.#trouble;
  }

  /** What is on its way is waited for, nothing is tried again. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#wake.resolve();
    await this.#running;
    const names = this.#names();
    if (names !== '') this.#options.log(`${names}: not stored when the controller ended, and lost with it`);
    const error = new StorageError('cannot store the order: the controller ends');
    for (const { reject } of this.#waiting) reject(error);
  }

  killRefusal(scope: string): Refused | undefined {
    const { cache } = this.#options;
    if (scope !== everything && cache.get('customers', scope) === undefined) return unknownCustomer(scope);
    const stored = cache.get('kill', scope)?.number;
    const number = this.standingFor(scope)?.number ?? (stored !== undefined && !this.#isLifting(stored) ? stored : 0);
    if (number > 0)
      return {
        refused: `order ${number} stops ${named(scope)} already${this.isStored(number) ? '' : ', and is not stored yet'}`,
      };
    return this.#fullRefusal();
  }

  toBeLifted(scope: string): OrderDocument | Refused {
    const { cache } = this.#options;
    const number = this.standingFor(scope)?.number ?? cache.get('kill', scope)?.number;
    const order = number === undefined ? undefined : (this.order(number) ?? cache.get('orders', String(number)));
    if (order === undefined)
      return notStanding(cache, {
        scope,
        above: (this.standingFor(everything) ?? cache.get('kill', everything))?.number,
      });
    if (this.#isLifting(order.number))
      return { refused: `the lift of order ${order.number} was asked for already, and is not stored yet` };
    return this.#fullRefusal() ?? order;
  }

  #fullRefusal(): Refused | undefined {
    if (this.#waiting.length < waitingLimit) return undefined;
    return { refused: `${waitingLimit} orders and lifts wait for the disk already: look at the controller's disk` };
  }

  #isLifting(number: number): boolean {
    return this.#waiting.some((each) => each.number === number && each.lift !== undefined);
  }

  #stored<T>({
    number,
    decide,
    lift,
    inForce = () => undefined,
  }: {
    number: number;
    decide: Decide<T>;
    lift?: Waiting['lift'];
    inForce?: () => void;
  }): Promise<T> {
    if (this.#closed) return Promise.reject(new StorageError('cannot store the order: the controller ends'));
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    const waiting: Waiting = {
      number,
      lift,
      reject,
      inForce,
      attempt: async () => {
        const answer = await this.#options.transact(decide);
        this.#waiting = this.#waiting.filter((each) => each !== waiting);
        resolve(answer);
      },
    };
    this.#waiting.push(waiting);
    this.#wake.resolve();
    this.#run();
    return promise;
  }

  #run(): void {
    if (this.#isRunning) return;
    this.#isRunning = true;
    this.#running = this.#work();
  }

  async #work(): Promise<void> {
    while (!this.#closed && this.#isAnyWaiting()) {
      this.#wake = Promise.withResolvers();
      const failure = await this.#attempt();
      if (failure === undefined) continue;
      this.#troubled(failure.message);
      this.#liftWhatIsNowhere();
      await Promise.race([this.#options.pause(retryMs), this.#wake.promise]);
    }
    if (this.#trouble !== undefined && !this.#closed) this.#options.log('every order and lift is stored now');
    this.#trouble = undefined;
    this.#said.clear();
    // In the same turn as the last look at what waits: what comes from now on begins anew.
    this.#isRunning = false;
  }

  #isAnyWaiting(): boolean {
    return this.#waiting.length > 0 || [...this.#heard.values()].some(({ isWaiting }) => isWaiting);
  }

  /** All that waits, in the order in which it was asked for: the one writer takes it into one transaction. */
  async #attempt(): Promise<StorageError | undefined> {
    let failure: StorageError | undefined;
    const batch = [...this.#waiting];
    const settled = Promise.allSettled(batch.map(({ attempt }) => attempt()));
    let isSettled = false;
    void this.#options.pause(slowMs).then(() => {
      if (!isSettled && batch.length > 0 && !this.#closed)
        this.#troubled(`the disk has not answered for ${slowMs / 1_000} s`);
    });
    for (const [index, result] of (await settled).entries()) {
      const waiting = batch[index];
      if (result.status === 'fulfilled') continue;
      if (result.reason instanceof StorageError) failure = result.reason;
      else {
        // A fault of ours, in this one's decision: whoever asked hears of it.
        this.#waiting = this.#waiting.filter((each) => each !== waiting);
        waiting?.reject(result.reason);
      }
    }
    isSettled = true;
    if (failure !== undefined) return failure;
    const late = [...this.#heard].filter(([, { isWaiting }]) => isWaiting);
    const kept = await Promise.all(late.map(([key, heard]) => this.#keep(key, heard)));
    return kept.find((each) => each !== undefined);
  }

  async #keep(key: string, heard: Heard): Promise<StorageError | undefined> {
    try {
      // An order that is not there any more needs no receipt; one that the disk has not taken yet does.
      heard.isWaiting = !(await heard.store()) && this.#orders.has(heard.receipt.number);
    } catch (error) {
      if (!(error instanceof StorageError)) throw error;
      heard.isWaiting = true;
      return error;
    } finally {
      if (!heard.isWaiting) this.#heard.delete(key);
    }
    return undefined;
  }

  #liftWhatIsNowhere(): void {
    for (const { number, lift, inForce } of this.#waiting) {
      const order = this.#orders.get(number);
      if (lift === undefined || order === undefined || order.liftedAt !== null) continue;
      this.#orders.set(number, { ...order, ...lift, liftedAt: this.#options.now() });
      inForce();
      this.#options.onOrder(number);
    }
  }

  #troubled(why: string): void {
    const names = this.#names();
    this.#trouble =
      names === ''
        ? `what nodes acknowledged cannot be stored: ${why}`
        : `${names}: in memory only, and lost if the controller ends before the disk takes it (tried again each second): ${why}`;
    // Mostly the disk answers within milliseconds: only now a screen has something to show.
    for (const { number } of this.#waiting) this.#options.onOrder(number);
    if (this.#said.has(this.#trouble)) return;
    this.#said.add(this.#trouble);
    this.#options.log(this.#trouble);
  }

  /** `order 3 on acme is enforced, the lift of order 2 is not in force` */
  #names(): string {
    const texts = this.#waiting.map(({ number, lift }) => {
      const order = this.#orders.get(number);
      if (lift === undefined)
        return order?.liftedAt === null ? `order ${number} on ${named(order.scope)} is enforced` : '';
      return `the lift of order ${number} is ${order?.liftedAt == null ? 'not ' : ''}in force`;
    });
    const shown = texts.filter((text) => text !== '');
    return `${shown.slice(0, 5).join(', ')}${shown.length > 5 ? ` and ${shown.length - 5} more` : ''}`;
  }
}
