// Which events of the inventory are worth a raised voice in the log. All of them are in it: an event is what an operator sees
// on the screens, and after a bad night the two have to tell the same.
import type { Event } from '../../protocol/api/events.ts';
import type { LogLine } from './log.ts';

/** By kind; where a pattern is named, only messages that fit. */
const warnings: Readonly<Record<string, RegExp | undefined>> = {
  controller: undefined,
  kill: /^stop |^lifted |SSH|power|failed/,
  node: /→ (silent|lost)|two machines|refused|fenced|restarted|wrong outlet|loses its power/,
  boot: /^(fenced|refused)/,
  instance: /^exited/,
};

export function logLineOf({ kind, subject, message }: Pick<Event, 'kind' | 'subject' | 'message'>): LogLine {
  const isWarning = kind in warnings && (warnings[kind]?.test(message) ?? true);
  return { level: isWarning ? 'warn' : 'info', subject: kind, about: subject, message };
}
