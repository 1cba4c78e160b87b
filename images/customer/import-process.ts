// An import as a process of its own, at low priority: hostile or merely large, it costs the caller no turn of its event
// loop and none of its memory, and it can be ended at any point, with the programs that it runs.
//
//   caller ──options, one JSON document──▶ main.ts         stdin stays open: its end is the caller's
//   caller ◀──{step}, … then {image} or {error}── main.ts   a line each
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { Image } from '../../protocol/api/images.ts';
import type { ImportOptions } from './import.ts';

export type ImportRequest = Required<Pick<ImportOptions, 'source' | 'name' | 'storeDirectory' | 'workDirectory'>> &
  Pick<ImportOptions, 'login' | 'checksCertificate'> & { nowMs: number };

/** The program's own lines: written and read by this folder alone. */
export type ImportLine = { step: string } | { image: Image } | { error: string; code?: string };

export interface ProcessOptions {
  /** Then it is killed, with all that it runs. */
  limitMs: number;
  /** What it does now. */
  onStep?: (step: string) => void;
  signal?: AbortSignal | undefined;
}

const program = fileURLToPath(new URL('main.ts', import.meta.url));
const saidBytes = 2_000;

/** Throws one sentence, as `importImage` does; an error of the system keeps its code. */
export async function importInProcess(request: ImportRequest, options: ProcessOptions): Promise<Image> {
  const { limitMs, onStep, signal } = options;
  signal?.throwIfAborted();
  const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', program], {
    stdio: ['pipe', 'pipe', 'pipe'],
    // Its group is its own, so that one signal ends what it runs as well.
    detached: true,
  });
  const kill = (): void => {
    try {
      if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
    } catch (error) {
      // Gone in this moment: just what was wanted.
      if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error;
    }
  };
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    kill();
  }, limitMs);
  signal?.addEventListener('abort', kill, { once: true });
  let said = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => (said = (said + text).slice(-saidBytes)));
  const ended = new Promise<void>((resolve) => child.once('close', () => resolve()));
  const failed = new Promise<never>((_, reject) => child.once('error', reject));
  failed.catch(() => undefined);
  // One that is killed before it has read its request is judged by its end.
  child.stdin.on('error', () => undefined).write(`${JSON.stringify(request)}\n`);
  let last: Exclude<ImportLine, { step: string }> | undefined;
  try {
    await Promise.race([
      failed,
      (async () => {
        for await (const text of createInterface({ input: child.stdout })) {
          const line = JSON.parse(text) as ImportLine; // our own program wrote it
          if ('step' in line) onStep?.(line.step);
          else last = line;
        }
      })(),
    ]);
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', kill);
    kill();
    if (child.pid !== undefined) await ended;
  }
  signal?.throwIfAborted();
  if (late)
    throw new Error(
      `cannot import ${request.name}: it took longer than ${limitMs / 1000} s; want fewer files, or fewer hard links`,
    );
  if (last !== undefined && 'image' in last) return last.image;
  if (last !== undefined)
    throw Object.assign(new Error(last.error), last.code === undefined ? {} : { code: last.code });
  throw new Error(`cannot import ${request.name}: the import ended without a word: ${said.trim() || 'it was killed'}`);
}
