// Puts a backup back in its place while no controller runs. Nothing is overwritten: what was there is moved into a directory of
// its own. The audit log that is there stays where it goes on from the backup's: orders that it knows as given and not
// lifted then stand again at the next start (`inventory/recovery.ts`), and who was stopped stays stopped.
import { execFile } from 'node:child_process';
import { cp, lstat, mkdir, mkdtemp, open, readdir, rename, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Connection } from '../../inventory/store/connection.ts';
import { StorageError } from '../../inventory/store/store.ts';

export interface Restored {
  from: string;
  stateDirectory: string;
  files: string[];
  /** Where what was there is now; undefined where nothing was. */
  replaced: string | undefined;
  /** The audit log that was there stays, and knows more than the backup. */
  keptAudit: boolean;
  /** Why the audit log that was there does not stay, where it may know orders that the backup does not. */
  lostAudit: 'unreadable' | 'diverging' | undefined;
  /** What was given and lifted since, a sentence each, oldest first. */
  newer: string[];
  /** Digests of customers' images that the inventory names and the state directory lacks. */
  missingImages: string[];
}

const databases = ['inventory.sqlite', 'audit.sqlite'] as const;
const secrets = ['tls-certificate.pem', 'tls-key.pem', 'ssh-key', 'operator-token'] as const;
const companions = ['', '-wal', '-shm', '-journal'] as const;
/** A backup holds the databases, four small files and customers' images. */
const unpackMs = 30 * 60_000;

interface OrderEntry {
  sequence: number;
  at: number;
  kind: 'order' | 'lift';
  subject: string;
  body: string;
}

/** Throws one sentence where it is refused; then nothing has changed. */
export async function restore({
  from,
  stateDirectory,
  now,
}: {
  /** The directory that `muster backup` made, or a tar of it. */
  from: string;
  stateDirectory: string;
  now: number;
}): Promise<Restored> {
  await using stack = new AsyncDisposableStack();
  const source = await directoryOf(from, stack);
  const found = await readdir(source);
  const lacking = [...databases, ...secrets].filter((name) => !found.includes(name));
  if (lacking.length > 0)
    throw new Error(`cannot restore ${from}: it lacks ${lacking.join(', ')}, want what muster backup made`);
  await mkdir(stateDirectory, { recursive: true, mode: 0o700 });
  const isOurs = await useAlone(stateDirectory, stack);

  const staged = join(stateDirectory, 'restoring');
  await rm(staged, { recursive: true, force: true });
  await mkdir(staged, { mode: 0o700 });
  stack.defer(() => rm(staged, { recursive: true, force: true }));
  for (const name of [...databases, ...secrets]) await copyPlain(join(source, name), join(staged, name));
  for (const name of databases) await checkDatabase(join(staged, name), join(from, name));

  const audit = await compareAudit(join(staged, 'audit.sqlite'), join(stateDirectory, 'audit.sqlite'));
  const files = [...databases, ...secrets].filter((name) => name !== 'audit.sqlite' || !audit.isNewer);
  await addImages(join(source, 'images'), join(stateDirectory, 'images'));
  const missingImages = await imagesLacking(join(staged, 'inventory.sqlite'), join(stateDirectory, 'images'));
  await isOurs?.[Symbol.asyncDispose]();

  const replaced = join(stateDirectory, `replaced-${new Date(now).toISOString().replaceAll(/[:.]/g, '-')}`);
  await mkdir(replaced, { mode: 0o700 });
  const old = [...files.flatMap((name) => companions.map((end) => name + end)), 'inventory.revision'];
  let moved = 0;
  for (const name of old) if (await moveIfThere(join(stateDirectory, name), join(replaced, name))) moved++;
  for (const name of files) await rename(join(staged, name), join(stateDirectory, name));
  if (moved === 0) await rm(replaced, { recursive: true });
  await synchronize(stateDirectory);
  return {
    from,
    stateDirectory,
    files,
    replaced: moved === 0 ? undefined : replaced,
    keptAudit: audit.isNewer,
    lostAudit: audit.lost,
    newer: audit.newer,
    missingImages,
  };
}

/** A tar is unpacked into a directory that goes with the stack. */
async function directoryOf(from: string, stack: AsyncDisposableStack): Promise<string> {
  const kind = await stat(from).catch((cause: unknown) => {
    if (cause instanceof Error && 'code' in cause && cause.code === 'ENOENT')
      throw new Error(
        `cannot restore ${from}: there is no such directory or file, want a directory that muster backup made, or a tar of it`,
      );
    throw new Error(
      `cannot restore ${from}: it cannot be read, want a directory that muster backup made, or a tar of it`,
      {
        cause,
      },
    );
  });
  if (kind.isDirectory()) return from;
  const unpacked = await mkdtemp(join(tmpdir(), 'muster-restore-'));
  stack.defer(() => rm(unpacked, { recursive: true, force: true }));
  await promisify(execFile)('tar', ['-xf', from, '-C', unpacked, '--no-same-owner'], { timeout: unpackMs }).catch(
    (cause: unknown) => {
      throw new Error(`cannot restore ${from}: it is no tar that can be unpacked`, { cause });
    },
  );
  for (const directory of [unpacked, ...(await readdir(unpacked)).map((name) => join(unpacked, name))])
    if ((await readdir(directory).catch((): string[] => [])).includes('inventory.sqlite')) return directory;
  throw new Error(`cannot restore ${from}: there is no inventory.sqlite in it, want a tar of what muster backup made`);
}

/** Holds the lock that a controller would hold. Undefined where there is no inventory, or none that can be opened. */
async function useAlone(stateDirectory: string, stack: AsyncDisposableStack): Promise<Connection | undefined> {
  const file = join(stateDirectory, 'inventory.sqlite');
  if ((await stat(file).catch(() => undefined)) === undefined) return undefined;
  try {
    const connection = await openAsItIs(file);
    stack.defer(() => connection[Symbol.asyncDispose]().catch(() => undefined));
    return connection;
  } catch (error) {
    if (error instanceof StorageError && error.kind === 'damaged') return undefined;
    throw new Error(`cannot restore to ${stateDirectory}: stop the controller that uses it first`, { cause: error });
  }
}

function openAsItIs(file: string): Promise<Connection> {
  // Whatever version it has: the controller decides whether it can read it.
  return Connection.open(file, { synchronous: 'NORMAL', version: Number.MAX_SAFE_INTEGER, schema: '' });
}

async function copyPlain(from: string, to: string): Promise<void> {
  if (!(await lstat(from)).isFile())
    throw new Error(`cannot restore ${from}: it is no plain file, want what muster backup made`);
  await cp(from, to);
  const file = await open(to, 'r+');
  try {
    await file.chmod(0o600);
    await file.sync();
  } finally {
    await file.close();
  }
}

/** `original` is where the copy came from: what an operator can look at. */
async function checkDatabase(copy: string, original: string): Promise<void> {
  const refusal = (why: string) => new Error(`cannot restore ${original}: it is damaged (${why}), want another backup`);
  let problems: string[];
  try {
    await using connection = await openAsItIs(copy);
    const rows = await connection.all<{ integrity_check: string }>('PRAGMA integrity_check(5)');
    problems = rows.map((row) => row.integrity_check).filter((text) => text !== 'ok');
  } catch (error) {
    if (!(error instanceof StorageError && error.kind === 'damaged')) throw error;
    // The store's sentence is about the copy, and says to restore it: only SQLite's own words help here.
    throw refusal(error.cause instanceof Error ? error.cause.message : 'SQLite cannot read it');
  }
  if (problems.length > 0) throw refusal(problems.join('; '));
}

interface AuditComparison {
  /** The log that is there goes on from the backup's. */
  isNewer: boolean;
  lost: Restored['lostAudit'];
  newer: string[];
}

/** Whether the log that is there goes on from the backup's, and what it tells beyond it. */
async function compareAudit(backup: string, present: string): Promise<AuditComparison> {
  const none: AuditComparison = { isNewer: false, lost: undefined, newer: [] };
  await using copy = await openAsItIs(backup);
  const head = await lastEntry(copy);
  if ((await stat(present).catch(() => undefined)) === undefined) return none;
  try {
    await using log = await openAsItIs(present);
    const from = head?.sequence ?? 0;
    if (head !== undefined && (await hashAt(log, from)) !== head.hash) {
      const last = await lastEntry(log);
      const isOlder = last === undefined || (await hashAt(copy, last.sequence)) === last.hash;
      return isOlder ? none : { ...none, lost: 'diverging' };
    }
    const rows = await log.all<OrderEntry>(
      "SELECT sequence, at, kind, subject, body FROM entries WHERE sequence > ? AND kind IN ('order', 'lift') ORDER BY sequence",
      from,
    );
    return { isNewer: true, lost: undefined, newer: rows.map(sentence) };
  } catch (error) {
    // It cannot be read: it is moved aside with the rest.
    if (error instanceof StorageError) return { ...none, lost: 'unreadable' };
    throw error;
  }
}

interface AuditHead {
  sequence: number;
  hash: string;
}

async function lastEntry(log: Connection): Promise<AuditHead | undefined> {
  const [last] = await log.all<AuditHead>('SELECT sequence, hash FROM entries ORDER BY sequence DESC LIMIT 1');
  return last;
}

async function hashAt(log: Connection, sequence: number): Promise<string | undefined> {
  const [entry] = await log.all<{ hash: string }>('SELECT hash FROM entries WHERE sequence = ?', sequence);
  return entry?.hash;
}

function sentence({ at, kind, subject, body }: OrderEntry): string {
  const told: { scope?: unknown; by?: unknown; reason?: unknown } = JSON.parse(body);
  const whom = told.scope === '*' ? 'everything' : String(told.scope);
  const verb = kind === 'order' ? 'stops' : 'was lifted for';
  return `order ${subject} ${verb} ${whom}, by ${String(told.by)} at ${new Date(at).toISOString()}: ${String(told.reason)}`;
}

/** Copies the images that are not there yet: a file is named by its digest. */
async function addImages(from: string, to: string): Promise<void> {
  if ((await stat(from).catch(() => undefined)) === undefined) return;
  await mkdir(to, { recursive: true, mode: 0o700 });
  const present = new Set(await readdir(to));
  for (const name of await readdir(from)) {
    if (present.has(name) || !(await lstat(join(from, name))).isFile()) continue;
    await copyPlain(join(from, name), join(to, `${name}.restoring`));
    await rename(join(to, `${name}.restoring`), join(to, name));
  }
}

async function imagesLacking(inventory: string, directory: string): Promise<string[]> {
  await using connection = await openAsItIs(inventory);
  const rows = await connection.all<{ sha256: string }>(
    "SELECT DISTINCT json_extract(value, '$.squashfs.sha256') AS sha256 FROM documents WHERE key LIKE 'images/%' AND value IS NOT NULL",
  );
  const present = await readdir(directory).catch((): string[] => []);
  return rows.map(({ sha256 }) => sha256).filter((sha256) => !present.some((name) => name.startsWith(sha256)));
}

async function moveIfThere(from: string, to: string): Promise<boolean> {
  try {
    await rename(from, to);
    return true;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return false;
    throw error;
  }
}

async function synchronize(directory: string): Promise<void> {
  const file = await open(directory);
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}

export function restoredText(restored: Restored): string {
  const { from, stateDirectory, replaced, keptAudit, lostAudit, newer, missingImages } = restored;
  const lost = lostAudit === 'unreadable' ? 'cannot be read' : 'does not go on from the backup';
  const lines = [
    `restored ${from} to ${stateDirectory}`,
    ...(replaced === undefined ? [] : [`what was there is in ${replaced}: remove it when all is well`]),
    keptAudit
      ? 'the audit log that was there goes on from the backup, and stays: orders that it knows as not lifted stand again'
      : 'the audit log is that of the backup: orders that were given since are not known; give them before anything else',
    ...(lostAudit === undefined
      ? []
      : [`WARNING: audit.sqlite that was here ${lost}, it is in ${replaced}; customers stopped since may run again`]),
    ...(newer.length === 0
      ? []
      : ['WARNING: these are newer than the backup; look at them with muster kills after the start:']),
    ...newer.map((text) => `  ${text}`),
    ...(missingImages.length === 0
      ? []
      : [
          `WARNING: ${missingImages.length} images are not in ${stateDirectory}/images: copy them there, or import them again`,
        ]),
    'now start the controller',
  ];
  return `${lines.join('\n')}\n`;
}
