// Customers' images: an archive comes in over HTTP, a process of its own makes one squashfs by digest of it.
import { createWriteStream } from 'node:fs';
import { mkdir, readdir, rename, rm, stat, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { errorChain } from '../../protocol/error-chain.ts';
import { squashfsName } from '../../protocol/names.ts';
import { importInProcess, type ImportRequest } from '../../images/customer/import-process.ts';
import type { RegistryLogin } from '../../images/customer/registry-source.ts';
import type { Inventory } from '../../inventory/inventory.ts';
import { Mutex } from '../../inventory/store/mutex.ts';
import { usersOf } from '../../inventory/customers/images.ts';
import type { Image, ImageImport, PrunedImages } from '../../protocol/api/images.ts';
import { RefusedError } from '../api/serving/http.ts';
import { FairSemaphore } from './fair-semaphore.ts';
import { prunedImages } from './prune.ts';

/** Each takes what cores it finds, at low priority, and up to half a gigabyte: more at once would only share that. */
const conversionLimits = { most: 3, mostOfOne: 2, mostWaiting: 32 };
/** The largest image that is taken, 4 GiB in 500,000 files, needs a minute or two on two cores. */
const patienceMs = 300_000;
const patienceMsPerMegabyte = 1_000;
/** What a pull is given time for: an hour. */
const pulledBytes = 3_300e6;

export interface ImageStore {
  /** Takes a docker or OCI archive of that operator and answers when it is stored for good. */
  receive(archive: Readable, of: { name: string; by: string }): Promise<Image>;
  /** The same of a layout that is there already, of that many bytes. */
  convert(layout: string, of: { name: string; by: string; sizeBytes: number }): Promise<Image>;
  /** The same of a registry's image, `docker://host/name:tag`. */
  pull(source: string, of: PulledImage): Promise<Image>;
  /** Gives an image one more name; false where it is gone by now. */
  alias(known: Image, name: string): Promise<boolean>;
  /** The imports under way, oldest first. */
  imports(): ImageImport[];
  remove(name: string): Promise<void>;
  /** Removes what nothing uses, oldest first, until all together take `keepBytes` at most. */
  prune(wanted: { keepBytes: number; dryRun: boolean }): Promise<PrunedImages>;
}

export interface PulledImage {
  name: string;
  by: string;
  login?: RegistryLogin | undefined;
  checksCertificate: boolean;
}

export interface ImageStoreOptions {
  directory: string;
  inventory: Inventory;
  random: (bytes: number) => Buffer;
  wallClock: () => number;
  /** How long an archive of that size may take. */
  limitMs?: (archiveBytes: number) => number;
}

export async function openImageStore({
  directory,
  inventory,
  random,
  wallClock,
  limitMs = (archiveBytes) => patienceMs + (archiveBytes / 1e6) * patienceMsPerMegabyte,
}: ImageStoreOptions): Promise<ImageStore> {
  const incoming = incomingIn(directory);
  // Whatever an earlier process was receiving was never acknowledged.
  await rm(incoming, { recursive: true, force: true });
  for (const name of await readdir(directory).catch(() => []))
    if (name.startsWith('.import-')) await rm(join(directory, name), { recursive: true, force: true });
  await mkdir(incoming, { recursive: true });
  // Else a file is removed between its coming and its name's.
  const files = new Mutex();
  const receiver = new Receiver({ directory, inventory, random, wallClock, limitMs, files });
  return {
    receive: (archive, of) => receiver.receive(archive, of),
    convert: (layout, of) => receiver.convert(layout, of),
    pull: (source, of) => receiver.pull(source, of),
    alias: (known, name) =>
      files.run(async () => {
        if (inventory.images.get(known.name)?.squashfs.sha256 !== known.squashfs.sha256) return false;
        const { history: _, ...same } = known;
        await inventory.images.save({ ...same, name, importedAt: wallClock() });
        return true;
      }),
    imports: () => receiver.imports(),
    remove: (name) => files.run(() => removeImage(name, { directory, inventory })),
    prune: (wanted) => files.run(() => pruneImages(wanted, { directory, inventory })),
  };
}

interface Conversion extends Pick<ImportRequest, 'source' | 'workDirectory' | 'login' | 'checksCertificate'> {
  sizeBytes: number;
}

interface ReceiverOptions extends Required<ImageStoreOptions> {
  files: Mutex;
}

class Receiver {
  readonly #options: ReceiverOptions;
  readonly #semaphore = new FairSemaphore(conversionLimits);
  readonly #underWay = new Set<ImageImport>();

  constructor(options: ReceiverOptions) {
    this.#options = options;
  }

  imports(): ImageImport[] {
    return [...this.#underWay].map((each) => ({ ...each }));
  }

  receive(archive: Readable, { name, by }: { name: string; by: string }): Promise<Image> {
    return this.#within({ name, by }, async (told, workDirectory) => {
      const source = join(workDirectory, 'archive');
      // A request that is destroyed takes its connection along, and nobody would read why.
      const pieces = archive.iterator({ destroyOnReturn: false });
      await pipeline(pieces, (read) => this.#whileThereIsRoom(read), createWriteStream(source));
      return this.#converted(told, { source, workDirectory, sizeBytes: (await stat(source)).size });
    });
  }

  convert(source: string, { name, by, sizeBytes }: { name: string; by: string; sizeBytes: number }): Promise<Image> {
    return this.#within({ name, by }, (told, workDirectory) =>
      this.#converted(told, { source, workDirectory, sizeBytes }),
    );
  }

  pull(source: string, { name, by, login, checksCertificate }: PulledImage): Promise<Image> {
    return this.#within({ name, by }, (told, workDirectory) =>
      // How large it is, is known when it is here.
      this.#converted(told, { source, workDirectory, sizeBytes: pulledBytes, login, checksCertificate }),
    );
  }

  /** Throws a RefusedError whatever goes wrong. */
  async #within<T>(
    { name, by }: { name: string; by: string },
    work: (told: ImageImport, workDirectory: string) => Promise<T>,
  ): Promise<T> {
    const { directory, random, wallClock } = this.#options;
    // What is killed leaves its files here, where they go with the archive.
    const workDirectory = join(incomingIn(directory), random(8).toString('hex'));
    const told: ImageImport = { name, by, doing: 'receiving', since: wallClock() };
    this.#underWay.add(told);
    try {
      await mkdir(workDirectory);
      return await work(told, workDirectory);
    } catch (cause) {
      if (cause instanceof RefusedError) throw cause;
      if (isDiskFull(cause)) throw new RefusedError(507, diskFullText(name, directory));
      throw new RefusedError(400, errorChain(cause));
    } finally {
      this.#underWay.delete(told);
      await rm(workDirectory, { recursive: true, force: true });
    }
  }

  async #converted(told: ImageImport, { sizeBytes, ...source }: Conversion): Promise<Image> {
    const { directory, inventory, wallClock, limitMs } = this.#options;
    const { name, by } = told;
    const now = (doing: string): void => void Object.assign(told, { doing, since: wallClock() });
    const acquired = this.#semaphore.acquire(by);
    if (acquired === undefined)
      throw new RefusedError(
        503,
        `cannot import ${name}: ${this.#semaphore.waiting} imports wait already, try again later`,
      );
    now('waiting');
    using _acquired = await acquired;
    this.#refuseWhenFull();
    now('starting');
    const full = new AbortController();
    const onStep = (doing: string): void => {
      now(doing);
      if (inventory.diskFull() !== undefined) full.abort();
    };
    const image = await importInProcess(
      { ...source, name, storeDirectory: source.workDirectory, nowMs: wallClock() },
      { limitMs: limitMs(sizeBytes), onStep, signal: full.signal },
    ).catch((cause: unknown) => {
      this.#refuseWhenFull();
      throw cause;
    });
    await this.#options.files.run(async () => {
      const file = squashfsName(image.squashfs.sha256);
      await rename(join(source.workDirectory, file), join(directory, file));
      await inventory.images.save(image);
      await collectOld({ directory, inventory });
    });
    inventory.events.add({ kind: 'image', subject: name, message: `imported, ${image.squashfs.sizeBytes} bytes` });
    return image;
  }

  /** What the disk has left then is for orders. */
  #refuseWhenFull(): void {
    const full = this.#options.inventory.diskFull();
    if (full !== undefined) throw new RefusedError(507, full);
  }

  async *#whileThereIsRoom(archive: AsyncIterable<Buffer>): AsyncIterable<Buffer> {
    for await (const piece of archive) {
      this.#refuseWhenFull();
      yield piece;
    }
  }
}

interface Stored {
  directory: string;
  inventory: Inventory;
}

async function removeImage(name: string, { directory, inventory }: Stored): Promise<void> {
  const image = inventory.images.get(name);
  if (image === undefined) throw new RefusedError(404, `there is no image ${name}`);
  const result = await inventory.images.remove(name);
  if ('refused' in result) throw new RefusedError(409, result.refused);
  const needed = neededFiles(inventory);
  for (const { squashfs } of [image, ...(image.history ?? [])]) {
    if (needed.has(squashfs.sha256)) continue;
    await rm(join(directory, squashfsName(squashfs.sha256)), { force: true });
  }
}

/** By sha256, with names and what they stood for. */
function neededFiles(inventory: Inventory): Set<string> {
  const named = inventory.images.all().flatMap(({ squashfs, history = [] }) => [{ squashfs }, ...history]);
  return new Set([...named.map(({ squashfs }) => squashfs.sha256), ...runningFiles(inventory)]);
}

/** A workload keeps the image that it was deployed with, its history those from before, and a node may still have to fetch it. */
function runningFiles(inventory: Inventory): Set<string> {
  return new Set([
    ...inventory.workloads.all().map(({ image }) => image.squashfs.sha256),
    ...inventory.workloads
      .histories()
      .flatMap(({ revisions }) => revisions.map(({ image: { squashfs } }) => squashfs.sha256)),
    ...inventory.instances.all().map(({ desired }) => desired.squashfs.sha256),
  ]);
}

/** What no name leads to may take a quarter of the disk together with what they do lead to; the oldest goes first. */
async function collectOld(stored: Stored): Promise<void> {
  const { blocks, bsize } = await statfs(stored.directory);
  await pruneImages({ keepBytes: (blocks * bsize) / 4, dryRun: false, keepsNames: true }, stored);
}

async function pruneImages(
  { keepBytes, dryRun, keepsNames = false }: { keepBytes: number; dryRun: boolean; keepsNames?: boolean },
  { directory, inventory }: Stored,
): Promise<PrunedImages> {
  const files = await squashfsFiles(directory);
  const pruning = prunedImages({
    images: inventory.images.all(),
    files,
    inUse: runningFiles(inventory),
    used: new Set(usersOf(inventory.workloads.all()).keys()),
    keepBytes,
    keepsNames,
  });
  const removed: string[] = [];
  if (dryRun) removed.push(...pruning.names);
  else for (const name of pruning.names) if (!('refused' in (await inventory.images.remove(name)))) removed.push(name);
  // What was deployed meanwhile stays.
  const spared = new Set([...runningFiles(inventory), ...(dryRun ? [] : currentFiles(inventory))]);
  let freedBytes = 0;
  for (const sha256 of pruning.files) {
    if (spared.has(sha256)) continue;
    if (!dryRun) await rm(join(directory, squashfsName(sha256)), { force: true });
    freedBytes += files.get(sha256) ?? 0;
  }
  const all = [...files.values()].reduce((sum, bytes) => sum + bytes, 0);
  return { removed, freedBytes, keptBytes: all - freedBytes };
}

function currentFiles(inventory: Inventory): string[] {
  return inventory.images.all().map(({ squashfs }) => squashfs.sha256);
}

/** Size by sha256. */
async function squashfsFiles(directory: string): Promise<Map<string, number>> {
  const found = new Map<string, number>();
  for (const name of await readdir(directory)) {
    const sha256 = /^([0-9a-f]{64})\.squashfs$/.exec(name)?.[1];
    const file = sha256 === undefined ? undefined : await stat(join(directory, name)).catch(() => undefined);
    if (sha256 !== undefined && file !== undefined) found.set(sha256, file.size);
  }
  return found;
}

function incomingIn(directory: string): string {
  return join(directory, 'incoming');
}

function diskFullText(name: string, directory: string): string {
  return (
    `cannot import ${name}: the disk of ${directory} has no room for it; nothing was kept of it: make room there ` +
    '(muster image remove NAME for one that nothing uses), or import a smaller image'
  );
}

function isDiskFull(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ENOSPC';
}
