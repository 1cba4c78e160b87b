// Reading a manifest of megabytes takes a fifth of a second where somebody means it: that is a thread's, one at a time.
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { fileURLToPath } from 'node:url';
import { pushedManifest, type PushedManifest } from './pushed-manifest.ts';
import { RegistryError, type RegistryCode } from './registry-error.ts';

/** So much is read in a millisecond. */
const smallBytes = 1 << 16;
const limitMs = 10_000;

interface Wanted {
  bytes: Uint8Array;
  contentType: string | undefined;
}

type Said = { manifest: PushedManifest } | { status: number; code: RegistryCode; message: string };

let last: Promise<unknown> = Promise.resolve();

/** As `pushedManifest`. */
export async function readManifest(bytes: Buffer, contentType: string | undefined): Promise<PushedManifest> {
  if (bytes.length <= smallBytes) return pushedManifest(bytes, contentType);
  const reading = last.then(() => readApart({ bytes, contentType }));
  last = reading.catch(() => undefined);
  const said = await reading;
  if ('manifest' in said) return said.manifest;
  throw new RegistryError([said.status, said.code], said.message);
}

async function readApart(wanted: Wanted): Promise<Said> {
  const worker = new Worker(fileURLToPath(import.meta.url), { name: 'manifest', workerData: wanted });
  const { promise, resolve, reject } = Promise.withResolvers<Said>();
  worker.once('message', resolve).once('error', reject);
  worker.once('exit', () => reject(new Error('cannot read the manifest: its thread ended without a word')));
  const timer = setTimeout(() => void worker.terminate(), limitMs);
  try {
    return await promise;
  } finally {
    clearTimeout(timer);
    await worker.terminate();
  }
}

function answer({ bytes, contentType }: Wanted): Said {
  try {
    return { manifest: pushedManifest(Buffer.from(bytes), contentType) };
  } catch (error) {
    if (!(error instanceof RegistryError)) throw error;
    const { status, code, message } = error;
    return { status, code, message };
  }
}

// The thread's own part: it was given a manifest and nothing else.
if (!isMainThread && isWanted(workerData)) parentPort?.postMessage(answer(workerData));

function isWanted(value: unknown): value is Wanted {
  return typeof value === 'object' && value !== null && 'bytes' in value && value.bytes instanceof Uint8Array;
}
