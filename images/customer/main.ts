// The program of `import-process.ts`.
import { once } from 'node:events';
import { setPriority } from 'node:os';
import { createInterface } from 'node:readline';
import { errorChain } from '../../protocol/error-chain.ts';
import { importImage } from './import.ts';
import type { ImportLine, ImportRequest } from './import-process.ts';

process.title = 'muster-import';
// The machine also runs heartbeats; an import can wait, once its program is loaded.
setPriority(10);

const caller = new AbortController();
const input = createInterface({ input: process.stdin });
const [text] = await once(input, 'line');
// Nobody waits for it any more.
input.once('close', () => caller.abort(new Error('the controller ended')));
const { nowMs, ...options } = JSON.parse(String(text)) as ImportRequest; // our own caller wrote it

function say(line: ImportLine): Promise<void> {
  return new Promise((resolve, reject) =>
    process.stdout.write(`${JSON.stringify(line)}\n`, (error) => (error ? reject(error) : resolve())),
  );
}

try {
  const progress = {
    step(name: string) {
      void say({ step: name });
      return { done: () => undefined };
    },
  };
  await say({ image: await importImage({ ...options, now: () => nowMs, progress, signal: caller.signal }) });
} catch (error) {
  await say({ error: errorChain(error), ...codeOf(error) });
}
process.exit(0);

/** Of the system's error at the bottom: what kind of failure it was. */
function codeOf(error: unknown): { code?: string } {
  let code: string | undefined;
  for (let at: unknown = error; at instanceof Error; at = at.cause)
    if ('code' in at && typeof at.code === 'string') code = at.code;
  return code === undefined ? {} : { code };
}
