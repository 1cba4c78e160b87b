import { spawn } from 'node:child_process';

const keptBytes = 4_096;

/** Ended by itself with another status than 0, or by the time limit. `message` ends with the last of what it wrote to stderr. */
export class ToolError extends Error {}

/** Runs a program of the node to its end, with nothing of ours but what is given. Throws ToolError. */
export async function runTool(
  [command, ...args]: [command: string, ...args: string[]],
  { timeoutMs, input }: { timeoutMs: number; input?: string },
): Promise<void> {
  const child = spawn(command, args, { stdio: [input === undefined ? 'ignore' : 'pipe', 'ignore', 'pipe'] });
  let said = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    said = (said + text).slice(-keptBytes);
  });
  // A program that ends before it has read its input is judged by its status.
  child.stdin?.on('error', () => undefined).end(input);
  let timedOut = false;
  const timer = setTimeout(() => {
    timedOut = true;
    child.kill('SIGKILL');
  }, timeoutMs);
  try {
    await new Promise<void>((resolve, reject) => {
      child.once('error', (cause: NodeJS.ErrnoException) =>
        reject(
          new ToolError(
            cause.code === 'ENOENT' ? `cannot run ${command}: it is not installed` : `cannot run ${command}`,
            { cause },
          ),
        ),
      );
      child.once('close', (code, signal) => {
        if (code === 0) resolve();
        else if (timedOut) reject(new ToolError(`${command} took longer than ${timeoutMs} ms: ${args.join(' ')}`));
        else reject(new ToolError(`${command} ended with ${code ?? signal}: ${said.trim() || args.join(' ')}`));
      });
    });
  } finally {
    clearTimeout(timer);
  }
}

/** One line: the chain of causes, outermost first, cut to what a report may carry. */
export function explain(error: unknown): string {
  const parts: string[] = [];
  for (let at: unknown = error; at instanceof Error && parts.length < 4; at = at.cause)
    if (!parts.some((part) => part.includes(at instanceof Error ? at.message : ''))) parts.push(at.message);
  return (parts.join(': ') || String(error)).replaceAll(/\s+/g, ' ').slice(0, 480);
}
