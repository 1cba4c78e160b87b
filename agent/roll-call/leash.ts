// The agent's end of the leash: it tells how long each customer may run, never merely that the agent is alive.
//
// The leash counts in hundredths of a second of /proc/uptime; permits are counted here on the clock of `sleepless-clock.ts`.
// Both run alike, through a suspend too, so a deadline is carried over at the moment of writing.
import { closeSync, constants, openSync, writeSync } from 'node:fs';

export interface Vouch {
  customer: string;
  /** On the machine's clock; 0: not at all. */
  untilMs: number;
}

/** A write of more than this may be torn where the pipe is nearly full (PIPE_BUF). */
const atomicBytes = 4_096;

/**
 * Writes to the FIFO without ever waiting, and gives what went wrong, in words, or undefined.
 * A full pipe (the leash hangs) and a missing one cost nothing but this write: each permit brings the next one, and a leash
 * that hears nothing stops everybody.
 */
export function writeLeash(fifo: string, chunks: readonly string[]): string | undefined {
  if (chunks.length === 0) return undefined;
  let file: number | undefined;
  try {
    // Opened for reading too: opening never waits for a reader, and writing never raises SIGPIPE.
    file = openSync(fifo, constants.O_RDWR | constants.O_NONBLOCK);
    for (const chunk of chunks) writeSync(file, chunk);
    return undefined;
  } catch (error) {
    return `cannot write to the leash: ${error instanceof Error ? error.message : String(error)}`;
  } finally {
    if (file !== undefined) closeSync(file);
  }
}

/** The lines, in pieces that a pipe takes whole or not at all. Deadlines are rounded down: never longer than permitted. */
export function leashChunks(
  vouches: readonly Vouch[],
  { nowMs, uptimeSeconds }: { nowMs: number; uptimeSeconds: number },
): string[] {
  const chunks: string[] = [];
  for (const { customer, untilMs } of vouches) {
    const leftMs = untilMs - nowMs;
    const line = `${customer} ${leftMs > 0 ? Math.floor((uptimeSeconds * 1000 + leftMs) / 10) : 0}\n`;
    const last = chunks.at(-1);
    if (last !== undefined && last.length + line.length <= atomicBytes) chunks[chunks.length - 1] = last + line;
    else chunks.push(line);
  }
  return chunks;
}
