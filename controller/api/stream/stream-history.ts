// What the event stream said last, so that a listener that was cut off misses nothing: each message has an id, and whoever names
// the last one that it heard gets those after it. An id of another process, or one from before what is kept, is no use any more.
// Pure.

/** Minutes of a quiet rack. Of more a snapshot is cheaper. */
export const messagesLimit = 10_000;
export const charactersLimit = 2 ** 20;

export interface StreamHistory {
  /** Keeps the message; its text with its id. */
  add(name: string, data: unknown): string;
  /** The id of the newest. */
  lastId(): string;
  /** The messages after this one, or why they cannot be had. */
  after(id: string): { texts: readonly string[] } | { reset: string };
  /** From here on something is not recorded: what came before cannot be resumed. */
  forget(): void;
}

/** `epoch` is another number in each process. */
export function streamHistory(epoch: number): StreamHistory {
  const texts: string[] = [];
  let characters = 0;
  /** Number of the newest message. */
  let last = 0;
  /** False after `forget` until an id is given again: to forget once is enough. */
  let isWhole = true;
  return {
    add: (name, data) => {
      isWhole = true;
      const text = streamMessage(name, { data, id: `${epoch}-${++last}` });
      texts.push(text);
      characters += text.length;
      let over = 0;
      while (texts.length - over > messagesLimit || characters > charactersLimit)
        characters -= texts[over++]?.length ?? 0;
      // Some at a time: each removal from the front moves all others.
      if (over > 0) texts.splice(0, over);
      return text;
    },
    lastId: () => {
      isWhole = true;
      return `${epoch}-${last}`;
    },
    after: (id) => {
      const [, of, number] = /^([0-9]{1,15})-([0-9]{1,15})$/.exec(id) ?? [];
      if (of === undefined) return { reset: 'the id is none of this stream' };
      if (Number(of) !== epoch) return { reset: 'the controller was started again' };
      const missed = last - Number(number);
      if (missed < 0) return { reset: 'the id is none of this stream' };
      if (missed > texts.length) return { reset: 'what came since is remembered no more' };
      return { texts: missed === 0 ? [] : texts.slice(-missed) };
    },
    forget: () => {
      if (!isWhole) return;
      isWhole = false;
      texts.length = 0;
      characters = 0;
      // Ids that were handed out are older from now on than anything that is kept.
      last++;
    },
  };
}

/** One server-sent event. */
export function streamMessage(name: string, { data, id }: { data: unknown; id?: string }): string {
  return streamText(name, { text: JSON.stringify(data), ...(id === undefined ? {} : { id }) });
}

/** `text`: the data as JSON. */
export function streamText(name: string, { text, id }: { text: string; id?: string }): string {
  return `${id === undefined ? '' : `id: ${id}\n`}event: ${name}\ndata: ${text}\n\n`;
}
