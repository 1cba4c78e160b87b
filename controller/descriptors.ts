// Files and sockets are counted together, and there is a limit to them (`ulimit -n`). Where connections used it up, nobody could
// ask for anything, not even that a customer is stopped: the connections that strangers can open stay below the limit.
import { readFileSync } from 'node:fs';

/** Databases, sockets that listen, boot files, SSH sessions, uploads, and what libraries open for a moment. */
const reserve = 160;
/** Where there are fewer, a rack cannot be served. */
export const leastOpenFiles = 256;

/** What each server would hold at most: dashboards and scripts; two or three of each of 684 boards; 684 boards that boot. */
const wanted = { operators: 256, agents: 2_048, boot: 4_096 } as const;

/**
 * How many connections each server may hold. An agent that fetches an image holds its file too. The operators' come first:
 * theirs is the kill order.
 */
export function connectionBudget(openFiles: number): { operators: number; agents: number; boot: number } {
  const left = Math.max(0, openFiles - reserve);
  const operators = Math.min(wanted.operators, Math.floor(left / 4));
  const agents = Math.min(wanted.agents, Math.floor((left - operators) / 4));
  return { operators, agents, boot: Math.min(wanted.boot, left - operators - 2 * agents) };
}

/** Of this process: Node has raised it as far as it may. Throws where it is too small. */
export function openFilesLimit(limits = readFileSync('/proc/self/limits', 'utf8')): number {
  const said = /^Max open files\s+(\d+|unlimited)/m.exec(limits)?.[1];
  const limit = said === 'unlimited' ? Infinity : Number(said);
  if (!(limit >= leastOpenFiles))
    throw new Error(
      `cannot start with ${said ?? 'an unknown number of'} open files, want at least ${leastOpenFiles} (ulimit -n, LimitNOFILE=)`,
    );
  return limit;
}
