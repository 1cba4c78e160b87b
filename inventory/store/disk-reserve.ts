// Room on the disk for what must not wait for an operator to make some: kill orders, lifts, what boards acknowledge, fences,
// removals and the audit log. It is a file of nothing in the state directory. When the disk takes no more, the file is
// removed, and until there is room again only those are stored; everything else is refused, or it would use up their room.
//
//   making    not there (yet), and there is room for it ─▶ held
//   held      there                                      ─▶ released, when a write fails for want of room
//   released  gone; only what makes things safer is stored ─▶ making, when there is twice its size free
import { statfsSync, statSync } from 'node:fs';
import { open, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { StorageError } from './store.ts';

/**
 * A stop of a rack of 684 boards costs 1 MB, once in the databases; SQLite's logs may grow by 4 MB each before they are used
 * again. On a small disk a sixteenth of it.
 */
const mostBytes = 8 * 2 ** 20;
const diskShare = 1 / 16;
/** Written and flushed in pieces: a flush of the inventory may have to wait for one of them. */
const pieceBytes = 64 * 2 ** 10;
const lookMs = 1_000;
/** Where the room that the disk has is not for us (a quota), it is looked at ever less often. */
const longestLookMs = 60_000;
/** Joins and permits of a start come first. */
const firstLookMs = 2_000;

export class DiskReserve implements AsyncDisposable {
  readonly #file: string;
  readonly #random: (bytes: number) => Buffer;
  readonly #sizeBytes: number;
  #state: 'making' | 'held' | 'released';
  #making: Promise<void> | undefined;
  /** One more with each release: what is being made for an earlier one ends. */
  #round = 0;
  #removing: Promise<void> = Promise.resolve();
  #timer: NodeJS.Timeout | undefined;
  #log: ((message: string) => void) | undefined;
  #isSaid = false;
  #lookMs = lookMs;
  #closed = false;

  /** It is made after `begin`. */
  constructor(file: string, { random }: { random: (bytes: number) => Buffer }) {
    this.#file = file;
    this.#random = random;
    const { bsize, blocks } = statfsSync(dirname(file));
    const pieces = Math.floor(Math.min(mostBytes, bsize * blocks * diskShare) / pieceBytes);
    this.#sizeBytes = Math.max(1, pieces) * pieceBytes;
    const found = statSync(file, { throwIfNoEntry: false })?.size ?? 0;
    // On a disk that is full still, this process must not take what the one before left of it.
    if (found >= this.#sizeBytes) this.#state = 'held';
    else this.#state = found + this.#freeBytes() >= this.#wantedBytes ? 'making' : 'released';
    // The half of one is room as well.
    if (this.#state === 'released') this.#removing = this.#remove();
  }

  /** `say`: for an operator to read. */
  begin(log: (message: string) => void): void {
    this.#log = log;
    this.#tell();
    this.#schedule(firstLookMs);
  }

  /** Only what makes things safer is to be written. */
  get isReleased(): boolean {
    return this.#state === 'released';
  }

  /** Why nothing else can be stored now. Looks whether there is room again. */
  refusal(): StorageError | undefined {
    if (this.#state !== 'released' || this.#hasRoom()) return undefined;
    return new StorageError(
      'cannot store this: the disk is full; nothing was changed, make room and try again ' +
        '(kill orders, lifts and removals are stored all the same)',
      { kind: 'full' },
    );
  }

  problem(): string | undefined {
    if (this.#state !== 'released') return undefined;
    return (
      `the disk is full: of ${dirname(this.#file)} only kill orders, lifts, removals, fences and the audit log are stored, in ` +
      `the room that was kept for them; everything else is refused until ${megabytes(this.#wantedBytes)} are free`
    );
  }

  /** A write failed for want of room: try it again when this resolves. */
  async release(): Promise<void> {
    if (this.#state !== 'released') {
      if (this.#state === 'making') this.#lookMs = Math.min(longestLookMs, 2 * this.#lookMs);
      this.#state = 'released';
      this.#round++;
      this.#removing = this.#remove();
      this.#tell();
    }
    await this.#removing;
  }

  /** Does the work, and where the disk has no room for it once more, with the reserve. */
  async lend<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      if (!isFull(error)) throw error;
      await this.release();
      return work();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    await this.#making;
    await this.#removing;
  }

  get #wantedBytes(): number {
    return 2 * this.#sizeBytes;
  }

  #tell(): void {
    const problem = this.problem();
    if (problem === undefined || this.#log === undefined || this.#isSaid) return;
    this.#isSaid = true;
    this.#log(problem);
  }

  #schedule(delayMs: number): void {
    if (this.#closed) return;
    this.#timer = setTimeout(() => {
      this.#hasRoom();
      if (this.#state === 'making') this.#making ??= this.#make().finally(() => (this.#making = undefined));
      this.#schedule(this.#lookMs);
    }, delayMs).unref();
  }

  #hasRoom(): boolean {
    if (this.#state === 'released' && this.#freeBytes() >= this.#wantedBytes) this.#state = 'making';
    return this.#state !== 'released';
  }

  /** Synchronous: it asks the kernel, not the disk, and a refusal must not wait for threads that wait for the disk. */
  #freeBytes(): number {
    const { bsize, bavail, bfree } = statfsSync(dirname(this.#file));
    return bsize * (process.getuid?.() === 0 ? bfree : bavail);
  }

  async #make(): Promise<void> {
    const round = this.#round;
    await this.#removing;
    try {
      await using file = await open(this.#file, 'w', 0o600);
      // Some file systems keep no room for zeros.
      const piece = this.#random(pieceBytes);
      for (let made = 0; made < this.#sizeBytes; made += pieceBytes) {
        if (this.#closed || this.#round !== round) return;
        await file.write(piece);
        await file.datasync();
      }
    } catch (error) {
      // A disk that fails otherwise fails the inventory as well, which tells; the next look tries again.
      if (isNoSpace(error) && this.#round === round) void this.release();
      return;
    }
    if (this.#round !== round) return;
    this.#state = 'held';
    this.#lookMs = lookMs;
    if (!this.#isSaid) return;
    this.#isSaid = false;
    this.#log?.('there is room on the disk again: everything is stored as before');
  }

  async #remove(): Promise<void> {
    // Not while it is being written: an open file keeps its room.
    await this.#making;
    await rm(this.#file, { force: true }).catch((error: unknown) => {
      this.#log?.(`cannot give the room of ${this.#file} to orders: ${String(error)}`);
    });
  }
}

export function isFull(error: unknown): boolean {
  return error instanceof StorageError && error.kind === 'full';
}

function isNoSpace(error: unknown): boolean {
  return error instanceof Error && 'code' in error && (error.code === 'ENOSPC' || error.code === 'EDQUOT');
}

function megabytes(bytes: number): string {
  return `${Math.round((10 * bytes) / 2 ** 20) / 10} MiB`;
}
