// What containers printed, as lines, on its way to the controller. Bounded for all and for each instance.

const linesLimit = 2_000;
const linesPerInstanceLimit = 500;
/** What a quiet instance may add while others fill the queue. */
const reservedLines = 2;
/** The controller takes lines every 2 s; it is not there when it has taken none for so long. */
const awayAfterMs = 5_000;

export interface RuntimeLogLine {
  /** `performance.now()` of this process, ms. */
  at: number;
  instance: string;
  stream: 'stdout' | 'stderr' | 'muster';
  /** At most 4096 characters. */
  text: string;
}

interface Loss {
  lines: number;
  bytes: number;
}

const floods = 'it prints faster than the node passes on';
const crowd = 'the instances of this node print more than it passes on';
const away = 'the controller took no lines meanwhile';

export class LogQueue {
  #lines: RuntimeLogLine[] = [];
  #takenAt: number;
  readonly #waiting = new Map<string, number>();
  readonly #lost = new Map<string, Map<string, Loss>>();

  constructor(now: number) {
    this.#takenAt = now;
  }

  /** `beyond`: so many more than the bounds, for lines that matter most. */
  hasRoom(instance: string, beyond = 0): boolean {
    const waiting = this.#waiting.get(instance) ?? 0;
    return (
      waiting < linesPerInstanceLimit + beyond && (this.#lines.length < linesLimit || waiting < reservedLines + beyond)
    );
  }

  /** One that finds no room is lost, and counted. */
  push(line: RuntimeLogLine, beyond = 0): void {
    const { instance, at } = line;
    if (!this.hasRoom(instance, beyond)) this.lose(instance, { lines: 1, at });
    else {
      this.#waiting.set(instance, (this.#waiting.get(instance) ?? 0) + 1);
      this.#lines.push(line);
    }
  }

  lose(instance: string, { lines = 0, bytes = 0, at }: { lines?: number; bytes?: number; at: number }): void {
    const reasons = this.#lost.get(instance) ?? new Map<string, Loss>();
    const isFlood = (this.#waiting.get(instance) ?? 0) >= linesPerInstanceLimit;
    const reason = at - this.#takenAt > awayAfterMs ? away : isFlood ? floods : crowd;
    const lost = reasons.get(reason) ?? { lines: 0, bytes: 0 };
    reasons.set(reason, { lines: lost.lines + lines, bytes: lost.bytes + bytes });
    this.#lost.set(instance, reasons);
  }

  take(limit: number, now: number): RuntimeLogLine[] {
    this.#takenAt = now;
    const notices: RuntimeLogLine[] = [];
    for (const [instance, reasons] of this.#lost) {
      if (notices.length >= limit) break;
      this.#lost.delete(instance);
      const text = Array.from(reasons, ([reason, loss]) => `${amount(loss)} dropped: ${reason}`).join('; ');
      notices.push({ at: now, instance, stream: 'muster', text });
    }
    const taken = this.#lines.splice(0, Math.max(0, limit - notices.length));
    for (const { instance } of taken) {
      const left = (this.#waiting.get(instance) ?? 1) - 1;
      if (left === 0) this.#waiting.delete(instance);
      else this.#waiting.set(instance, left);
    }
    return [...taken, ...notices];
  }
}

function amount({ lines, bytes }: Loss): string {
  return [lines > 0 ? `${lines} line${lines === 1 ? '' : 's'}` : '', bytes > 0 ? `${bytes} bytes` : '']
    .filter((part) => part !== '')
    .join(' and ');
}
