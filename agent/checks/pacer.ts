// How close behind each other checks start, for all instances of the node together. The thread that obeys permits makes them,
// so however many there are, and however often each wants to be asked, it spends a bounded share of its time on them. What
// waits too long is asked less often, and that is all. Customers take turns: one with a thousand instances, or with checks
// that hang, keeps nobody else's waiting.

export interface Pacer {
  /** Runs `check` in the customer's turn. Rejects with the signal's reason when it aborts while it waits. */
  paced: <T>(check: () => Promise<T>, options: { customer: string; signal: AbortSignal }) => Promise<T>;
}

export interface PacerOptions {
  /** Between two starts, ms. */
  gapMs: number;
  /** Of one customer. */
  atOnce: number;
}

/** A connection costs a board's processor some 0.5 ms: 100 in a second are 5 % of one core. One that hangs costs nothing. */
export const connectionPace: PacerOptions = { gapMs: 10, atOnce: Infinity };
/** A command is a process of crun's, whose start takes the thread some ms: as many at once as there are customers, at most. */
export const commandPace: PacerOptions = { gapMs: 250, atOnce: 1 };

interface Line {
  waiting: (() => void)[];
  running: number;
}

export function pacer({ gapMs, atOnce }: PacerOptions, now = (): number => performance.now()): Pacer {
  /** In the order of their turns. */
  const lines = new Map<string, Line>();
  let timer: NodeJS.Timeout | undefined;
  let nextMs = 0;

  function startNext(): void {
    if (timer !== undefined) return;
    for (const [customer, line] of lines) {
      if (line.waiting.length === 0 || line.running >= atOnce) continue;
      const pauseMs = nextMs - now();
      if (pauseMs > 0) {
        timer = setTimeout(() => {
          timer = undefined;
          startNext();
        }, pauseMs);
        return;
      }
      nextMs = now() + gapMs;
      lines.delete(customer);
      lines.set(customer, line);
      line.running++;
      line.waiting.shift()?.();
      return startNext();
    }
  }

  function turnOf(line: Line, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const start = (): void => {
        signal.removeEventListener('abort', abort);
        resolve();
      };
      const abort = (): void => {
        line.waiting = line.waiting.filter((each) => each !== start);
        // The reason is whatever the signal was aborted with.
        reject(signal.reason as Error);
      };
      signal.addEventListener('abort', abort, { once: true });
      line.waiting.push(start);
      startNext();
    });
  }

  return {
    async paced(check, { customer, signal }) {
      signal.throwIfAborted();
      const line = lines.get(customer) ?? { waiting: [], running: 0 };
      lines.set(customer, line);
      await turnOf(line, signal);
      try {
        return await check();
      } finally {
        line.running--;
        if (line.running === 0 && line.waiting.length === 0 && lines.get(customer) === line) lines.delete(customer);
        startNext();
      }
    },
  };
}
