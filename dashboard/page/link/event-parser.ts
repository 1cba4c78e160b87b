// The format of server-sent events, as far as our controller speaks it: lines `id:`, `event:` and `data:`, an empty line after each
// event, comments that begin with a colon. It comes in pieces that end anywhere.

export interface ServerEvent {
  event: string;
  data: string;
  /** To go on after it: `Last-Event-ID`. */
  id?: string;
}

/** Gives the events that each piece completes. */
export function eventParser(): (piece: string) => ServerEvent[] {
  let rest = '';
  return (piece) => {
    // The end of an event may be cut in two.
    let from = Math.max(0, rest.length - 1);
    rest += piece;
    const events: ServerEvent[] = [];
    for (let end = rest.indexOf('\n\n', from); end >= 0; end = rest.indexOf('\n\n', from)) {
      const event = eventOf(rest.slice(0, end));
      if (event !== undefined) events.push(event);
      rest = rest.slice(end + 2);
      from = 0;
    }
    return events;
  };
}

/** Undefined where there is no data: a comment, or the time to wait before the next attempt. */
function eventOf(text: string): ServerEvent | undefined {
  let event = 'message';
  let id: string | undefined;
  const data: string[] = [];
  for (const line of text.split('\n')) {
    const [, name, value = ''] = /^([^:]*): ?(.*)$/s.exec(line) ?? [];
    if (name === 'event') event = value;
    if (name === 'id') id = value;
    if (name === 'data') data.push(value);
  }
  if (data.length === 0) return undefined;
  return { event, data: data.join('\n'), ...(id === undefined ? {} : { id }) };
}
