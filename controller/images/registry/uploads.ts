// Blobs on their way in: written to a file piece by piece and hashed meanwhile, never held in memory. An upload lives over
// many requests; one that breaks off goes on where it was.
import { createHash, type Hash } from 'node:crypto';
import { mkdir, open, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { blobPath, syncPath } from './repositories.ts';
import { RegistryError } from './registry-error.ts';

export interface UploadLimits {
  uploads: number;
  uploadsOfOne: number;
  blobBytes: number;
  /** From its first request to its last. */
  wholeMs: number;
  /** Between two requests. */
  idleMs: number;
}

export interface Upload {
  id: string;
  repository: string;
  by: string;
  sizeBytes: number;
}

interface Open extends Upload {
  path: string;
  hash: Hash;
  startedAt: number;
  usedAt: number;
  busy: boolean;
}

/** Throws where there is no room for so many bytes more. */
export type Admit = (bytes: number) => Promise<void>;

/** An upload by the path that its client asks for. */
export type UploadPath = Pick<Upload, 'id' | 'repository'>;

/** Its bytes, and who is asked before each piece is written. */
export interface Appended {
  body: Readable;
  admit: Admit;
}

/** One write for so much: pieces of TLS are 16 KiB. */
const writeBytes = 1 << 18;

interface UploadsOptions {
  directory: string;
  limits: UploadLimits;
  random: (bytes: number) => Buffer;
  now: () => number;
}

export async function openUploads(options: UploadsOptions): Promise<Uploads> {
  const folder = join(options.directory, 'uploads');
  // Those of an earlier process lost their hashes.
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder, { recursive: true });
  return new Uploads(options);
}

/** Owns what is below `uploads/`. */
export class Uploads {
  readonly #options: UploadsOptions;
  readonly #all = new Map<string, Open>();

  constructor(options: UploadsOptions) {
    this.#options = options;
  }

  async start({ repository, by }: Pick<Upload, 'repository' | 'by'>): Promise<Upload> {
    const { directory, limits, random, now } = this.#options;
    await this.#expire();
    const own = [...this.#all.values()].filter((each) => each.by === by).length;
    if (this.#all.size >= limits.uploads || own >= limits.uploadsOfOne)
      throw new RegistryError(
        [429, 'TOOMANYREQUESTS'],
        `cannot start an upload: ${this.#all.size} are under way, ${own} of them by ${by}; want at most ${limits.uploads} and ${limits.uploadsOfOne}`,
        { 'retry-after': '10' },
      );
    const id = random(16).toString('hex');
    const path = join(directory, 'uploads', id);
    const at = now();
    const hash = createHash('sha256');
    const upload: Open = { id, repository, by, sizeBytes: 0, path, hash, startedAt: at, usedAt: at, busy: false };
    this.#all.set(id, upload);
    await writeFile(path, '', { flag: 'wx' });
    return view(upload);
  }

  /** Throws a RegistryError where the repository has no such upload. */
  get({ id, repository }: UploadPath): Upload {
    const upload = this.#known(id);
    if (upload.repository !== repository) throw unknownUpload(id);
    return view(upload);
  }

  /** What came before a body broke off stays; an upload that is refused ends. */
  async append(id: string, { body, admit }: Appended): Promise<Upload> {
    const { limits, now } = this.#options;
    const upload = this.#alone(id);
    upload.busy = true;
    try {
      await written(upload, { body, admit, limits, now });
    } catch (error) {
      // What was refused takes nobody's room.
      if (error instanceof RegistryError || isOfSystem(error)) await this.#end(upload);
      throw error;
    } finally {
      upload.busy = false;
      upload.usedAt = now();
    }
    return view(upload);
  }

  /** Makes it a blob. Throws a RegistryError where its bytes have another digest; it is gone then. */
  async finish(id: string, sha256: string): Promise<{ sizeBytes: number }> {
    const { directory } = this.#options;
    const upload = this.#alone(id);
    upload.busy = true;
    try {
      const found = upload.hash.digest('hex');
      if (found !== sha256)
        throw new RegistryError(
          [400, 'DIGEST_INVALID'],
          `cannot store the blob: its digest is sha256:${found}, want sha256:${sha256}`,
        );
      await syncPath(upload.path);
      await rename(upload.path, blobPath(directory, sha256));
      await syncPath(join(directory, 'blobs/sha256'));
      return { sizeBytes: upload.sizeBytes };
    } finally {
      await this.#end(upload);
    }
  }

  cancel(id: string): Promise<void> {
    return this.#end(this.#alone(id));
  }

  /** What they all take. */
  usedBytes(owned: (repository: string) => boolean = () => true): number {
    let sum = 0;
    for (const { repository, sizeBytes } of this.#all.values()) sum += owned(repository) ? sizeBytes : 0;
    return sum;
  }

  async #expire(): Promise<void> {
    const { limits, now } = this.#options;
    const at = now();
    for (const upload of this.#all.values())
      if (!upload.busy && (at - upload.usedAt > limits.idleMs || at - upload.startedAt > limits.wholeMs))
        await this.#end(upload);
  }

  async #end(upload: Open): Promise<void> {
    this.#all.delete(upload.id);
    await rm(upload.path, { force: true });
  }

  #known(id: string): Open {
    const upload = this.#all.get(id);
    if (upload === undefined) throw unknownUpload(id);
    return upload;
  }

  #alone(id: string): Open {
    const upload = this.#known(id);
    if (upload.busy)
      throw new RegistryError([409, 'BLOB_UPLOAD_INVALID'], `cannot go on with upload ${id}: another request is at it`);
    return upload;
  }
}

function unknownUpload(id: string): RegistryError {
  return new RegistryError(
    [404, 'BLOB_UPLOAD_UNKNOWN'],
    `there is no upload ${JSON.stringify(id.slice(0, 60))}: it was finished, took too long, or the controller was started again; want a new one`,
  );
}

function view({ id, repository, by, sizeBytes }: Open): Upload {
  return { id, repository, by, sizeBytes };
}

interface Writing extends Appended {
  limits: UploadLimits;
  now: () => number;
}

/** What came before the body broke off counts, for whoever goes on. */
async function written(upload: Open, { body, admit, limits, now }: Writing): Promise<void> {
  await using file = await open(upload.path, 'r+');
  let pieces: Buffer[] = [];
  let bytes = 0;
  const write = async (): Promise<void> => {
    if (bytes === 0) return;
    const whole = Buffer.concat(pieces);
    [pieces, bytes] = [[], 0];
    if (upload.sizeBytes + whole.length > limits.blobBytes)
      throw new RegistryError(
        [413, 'SIZE_INVALID'],
        `cannot store the blob: it is more than ${limits.blobBytes} bytes`,
      );
    if (now() - upload.startedAt > limits.wholeMs)
      throw new RegistryError(
        [408, 'BLOB_UPLOAD_INVALID'],
        `cannot go on: the upload took longer than ${limits.wholeMs / 1000} s`,
      );
    await admit(whole.length);
    for (let at = 0; at < whole.length;) {
      const { bytesWritten } = await file.write(whole, at, whole.length - at, upload.sizeBytes + at);
      at += bytesWritten;
    }
    upload.hash.update(whole);
    upload.sizeBytes += whole.length;
  };
  try {
    for await (const piece of body.iterator({ destroyOnReturn: false })) {
      pieces.push(piece as Buffer); // a request's body without an encoding
      bytes += (piece as Buffer).length;
      if (bytes >= writeBytes) await write();
    }
  } catch (error) {
    if (!(error instanceof RegistryError) && !isOfSystem(error)) await write();
    throw error;
  }
  await write();
}

/** A disk that refused one write is not asked for the next. */
function isOfSystem(error: unknown): boolean {
  return error instanceof Error && 'syscall' in error && error.syscall === 'write';
}
