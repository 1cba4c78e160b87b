// What the boot process has to tell its controller of, without haste: signs of life, log lines, troubles. Gathered and sent
// together, one batch at a time, bounded, and without what changes nothing: a board that asks ten times is one event.
import type { BootEvent } from '../host.ts';
import { type BootSays, eventsLimit, linesLimit } from './message.ts';

type Note = Extract<BootSays, { type: 'note' }>;

/** As much as comes within a few seconds from a rack that powers on at once. */
const waitingLimit = 4_096;
const troublesLimit = 4;
/** The same sign of life again within this says nothing new: a boot whose steps repeat so soon is the same boot. */
const sameMs = 5_000;
const rememberedLimit = 8_192;
/** Log lines: a rack's at once, and then as many a second as somebody may read later. */
const lineBurst = 1_000;
const linesPerSecond = 100;
const sentenceLength = 2_000;
const detailLength = 200;

export class Outbox {
  readonly #now: () => number;
  readonly #send: (note: Note) => void;
  #events: BootEvent[] = [];
  #lines: string[] = [];
  #troubles: string[] = [];
  /** When each was told; the oldest first. */
  readonly #told = new Map<string, number>();
  #left = { lines: lineBurst, at: 0 };
  #skipped = { lines: 0, events: 0 };
  #isAwaited = false;

  /** `now` in ms, from any moment on. */
  constructor({ now, send }: { now: () => number; send: (note: Note) => void }) {
    this.#now = now;
    this.#send = send;
    this.#left.at = now();
  }

  event(event: BootEvent): void {
    const { mac, stage, ip, firmware, detail } = event;
    const key = `${mac} ${stage} ${ip} ${firmware} ${detail}`;
    const now = this.#now();
    const told = this.#told.get(key);
    if (told !== undefined && now - told < sameMs) return;
    if (this.#events.length >= waitingLimit) {
      this.#skipped.events++;
      return;
    }
    this.#told.delete(key);
    this.#told.set(key, now);
    const [oldest] = this.#told.keys();
    if (this.#told.size > rememberedLimit && oldest !== undefined) this.#told.delete(oldest);
    this.#events.push(detail === undefined ? event : { ...event, detail: detail.slice(0, detailLength) });
  }

  line(make: () => string): void {
    if (this.#takesLine()) this.#lines.push(make().slice(0, sentenceLength));
    else this.#skipped.lines++;
  }

  trouble(message: string): void {
    if (this.#troubles.length < troublesLimit) this.#troubles.push(message.slice(0, sentenceLength));
  }

  /** Sends what waits, unless the last batch was not taken yet. Called again and again. */
  flush(): void {
    if (this.#isAwaited) return;
    const { lines, events } = this.#skipped;
    if (lines + events > 0 && this.#takesLine()) {
      this.#lines.push(`too much at once: ${lines} lines and ${events} signs of life were left out`);
      this.#skipped = { lines: 0, events: 0 };
    }
    if (this.#events.length + this.#lines.length + this.#troubles.length === 0) return;
    this.#isAwaited = true;
    this.#send({
      type: 'note',
      events: this.#events.splice(0, eventsLimit),
      lines: this.#lines.splice(0, linesLimit),
      troubles: this.#troubles.splice(0),
    });
  }

  noted(): void {
    this.#isAwaited = false;
  }

  #takesLine(): boolean {
    const now = this.#now();
    this.#left.lines = Math.min(lineBurst, this.#left.lines + ((now - this.#left.at) / 1_000) * linesPerSecond);
    this.#left.at = now;
    if (this.#left.lines < 1) return false;
    this.#left.lines--;
    return true;
  }
}
