// What the page shows, as the part of its address behind the `#`: it comes back with the browser's buttons, can be sent to a
// colleague, and never reaches a server or its logs. No DOM here, so that it is tested in Node.
import type { NodeState } from '../../protocol/api/nodes.ts';

export const onlyWords = [
  'ready',
  'seen',
  'loading',
  'joining',
  'silent',
  'lost',
  'fenced',
] as const satisfies readonly (NodeState | 'fenced')[];
export type Only = (typeof onlyWords)[number];

export interface View {
  /** MAC of the node that is shown; names change. */
  node: string | undefined;
  /** What is searched for in the rack. */
  find: string;
  /** The one state that is not faded. */
  only: Only | undefined;
  /** What events must hold. */
  events: string;
  /** Number of the order whose timeline is open. */
  order: number | undefined;
}

/** An address comes from anywhere: what is longer than this was not written by the page. */
const textLimit = 100;

export function viewOf(hash: string): View {
  const fields = new URLSearchParams(hash.replace(/^#/, ''));
  const text = (name: string) => (fields.get(name) ?? '').slice(0, textLimit);
  const node = text('node').toLowerCase();
  const order = text('order');
  return {
    node: /^([0-9a-f]{2}:){5}[0-9a-f]{2}$/.test(node) ? node : undefined,
    find: text('find'),
    only: onlyWords.find((each) => each === text('only')),
    events: text('events'),
    order: /^[1-9]\d{0,8}$/.test(order) ? Number(order) : undefined,
  };
}

/** Empty for the page as it opens. */
export function hashOf({ node, find, only, events, order }: View): string {
  const fields = new URLSearchParams();
  const put = (name: string, value: string | undefined) => {
    if (value !== undefined && value !== '') fields.set(name, value.slice(0, textLimit));
  };
  put('node', node);
  put('find', find);
  put('only', only);
  put('events', events);
  put('order', order === undefined ? undefined : String(order));
  const text = fields.toString().replaceAll('%3A', ':');
  return text === '' ? '' : `#${text}`;
}
