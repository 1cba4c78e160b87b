// What each board does as it happens, from the controller's event stream.
import { setTimeout as delay } from 'node:timers/promises';
import { Check } from 'typebox/value';
import { Node } from '../../protocol/api/nodes.ts';

/** One thing to say of a board: `loading: kernel`, `ready as node-c20001, 10.77.0.50`. */
export type StageLine = { mac: string; text: string };

/** Calls `tell` for each change of state or stage, until the signal. A controller that restarts is asked again. */
export async function watchStages(
  url: string,
  { token, signal, tell }: { token: string; signal: AbortSignal; tell: (line: StageLine) => void },
): Promise<void> {
  const told = new Map<string, string>();
  while (!signal.aborted) {
    try {
      for await (const node of nodesOfStream(`${url}/v1/stream`, { token, signal })) {
        const text = lineOf(node);
        if (told.get(node.mac) !== text) tell({ mac: node.mac, text });
        told.set(node.mac, text);
      }
    } catch (error) {
      if (!(error instanceof Error)) throw error; // a broken connection: the controller restarts, or we were told to stop
    }
    await delay(250, undefined, { signal }).catch(() => undefined);
  }
}

function lineOf(node: Node): string {
  const state = node.state;
  if (state === 'ready') return `ready as ${node.name}${node.ip === null ? '' : `, ${node.ip}`}`;
  return state === 'silent' || state === 'lost' ? `${state}: ${node.reason}` : `${state}: ${node.stage}`;
}

// An event is a few hundred bytes; a snapshot of a full rack about one megabyte.
const eventLimit = 8 * 2 ** 20;

async function* nodesOfStream(
  url: string,
  { token, signal }: { token: string; signal: AbortSignal },
): AsyncGenerator<Node> {
  const response = await fetch(url, { signal, headers: { authorization: `Bearer ${token}` } });
  if (response.body === null) return;
  let text = '';
  for await (const chunk of response.body.pipeThrough(new TextDecoderStream())) {
    text += chunk;
    for (let end = text.indexOf('\n\n'); end >= 0; end = text.indexOf('\n\n')) {
      yield* nodesOfEvent(text.slice(0, end));
      text = text.slice(end + 2);
    }
    if (text.length > eventLimit) throw new Error('the event stream sent an event without an end');
  }
}

function* nodesOfEvent(text: string): Generator<Node> {
  const field = (name: string) => new RegExp(`^${name}: ?(.*)$`, 'm').exec(text)?.[1];
  const data = field('data');
  if (field('event') !== 'node' || data === undefined) return;
  const node: unknown = JSON.parse(data);
  if (Check(Node, node)) yield node;
}
