// Events that a stranger can cause as often as he likes: one a minute for each source and reason, and how many more there were.

const windowMs = 60_000;
/** Sources and reasons that are told apart; beyond this they are told of together. */
const kindLimit = 64;

export interface RepeatedEvents {
  /** `kind` is what repetitions are known by: who, and for what reason. */
  note(event: { kind: string; subject: string; message: string }): void;
}

export function startRepeatedEvents({
  tell,
  now,
}: {
  tell: (subject: string, message: string) => void;
  /** ms. */
  now: () => number;
}): RepeatedEvents {
  const windows = new Map<string, { since: number; more: number; subject: string; message: string }>();

  return {
    note: ({ kind, subject, message }) => {
      const key = windows.has(kind) || windows.size < kindLimit ? kind : 'others';
      const window = windows.get(key);
      if (window !== undefined && now() - window.since < windowMs) {
        window.more++;
        return;
      }
      windows.set(key, { since: now(), more: 0, subject, message });
      tell(subject, message);
      // Unknown to the process's end: an event is no reason to stay.
      setTimeout(() => {
        const ended = windows.get(key);
        windows.delete(key);
        if (ended !== undefined && ended.more > 0)
          tell(ended.subject, `${ended.message} (and ${ended.more} more times within a minute)`);
      }, windowMs).unref();
    },
  };
}
