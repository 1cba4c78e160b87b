// What the rest of Muster asks of the local tables: events, the latest samples, log lines.
import type { Event } from '../../protocol/api/events.ts';
import type { LogPage } from '../../protocol/api/logs.ts';
import type { Sample } from '../../protocol/api/samples.ts';
import type { Mac } from '../../protocol/mac.ts';
import type { NewEvent } from '../store/transaction.ts';
import type { InstanceLogLine, LocalTables } from './local-tables.ts';
import type { WantedLogs } from './log-query.ts';

export interface EventBook {
  /** Queued, bounded, never throws. */
  add(event: NewEvent): void;
  /** Oldest first. With `after`: those that followed it; without: the newest. */
  list(wanted: { after?: number; limit: number; subject?: string }): Promise<Event[]>;
}

export interface SampleBook {
  add(samples: ReadonlyMap<Mac, Sample>, at: number): void;
  latest(mac: Mac): Sample | undefined;
}

export interface LogBook {
  add(lines: InstanceLogLine[]): void;
  /** Oldest first, the last `tail` lines. */
  list(wanted: WantedLogs): Promise<LogPage>;
}

export function localBooks(
  tables: LocalTables,
  addEvent: (event: NewEvent) => void,
): { events: EventBook; samples: SampleBook; logs: LogBook } {
  return {
    events: {
      add: addEvent,
      list: (wanted) => tables.events(wanted),
    },
    samples: {
      add: (samples, at) => tables.addSamples(samples, at),
      latest: (mac) => tables.latestSample(mac),
    },
    logs: {
      add: (lines) => tables.addLogs(lines),
      list: (wanted) => tables.logs(wanted),
    },
  };
}
