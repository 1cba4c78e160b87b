// What is known of a board's restart: whether somebody asked for it, and if nobody did, how the board was last seen.
import type { Event } from '../../protocol/api/events.ts';
import type { NodeDocument } from '../store/documents.ts';

/** How many of a node's newest events are looked through: a boot leaves some fifteen. */
export const restartEventsLimit = 60;

const askedFor = /^reboot asked for|^\S+ switched .* (on|off)$|^loses its power|^fenced: its power/;

/** Whether a join is that of a board which ran before, in another boot. */
export function isRestart(before: NodeDocument | undefined, bootId: string): before is NodeDocument {
  return before !== undefined && before.bootId !== null && before.bootId !== bootId;
}

/** `events`: the node's newest, oldest first; `heardAt`: its last heartbeat before; undefined where this process heard none. */
export function restartText({
  before,
  heardAt,
  uptimeSeconds,
  events,
}: {
  before: NodeDocument;
  heardAt: number | undefined;
  uptimeSeconds: number | undefined;
  events: readonly Event[];
}): string {
  // What was asked for in an earlier boot explains nothing.
  const begun = events.findLastIndex(({ message }) => message.includes(`joined with boot ${before.bootId}`));
  const cause = events.slice(begun + 1).findLast(({ kind, message }) => kind === 'node' && askedFor.test(message));
  if (cause !== undefined) return `restarted: ${cause.message}`;
  const known = [
    ...(uptimeSeconds === undefined ? [] : [`it had been up for ${duration(uptimeSeconds)}`]),
    ...(heardAt === undefined || before.firstDhcpAt === null
      ? []
      : [
          `its last heartbeat came ${duration((before.firstDhcpAt - heardAt) / 1_000)} before its firmware asked for an address`,
        ]),
  ];
  return (
    `restarted, and nobody asked for it${known.length === 0 ? '' : `: ${known.join(', ')}`}. ` +
    'Its power, its watchdog, or a panic of its kernel: the last lines of its serial console tell which'
  );
}

function duration(seconds: number): string {
  if (seconds < 120) return `${Math.max(0, seconds).toFixed(1)} s`;
  if (seconds < 7_200) return `${Math.round(seconds / 60)} min`;
  return `${Math.round(seconds / 3_600)} h`;
}
