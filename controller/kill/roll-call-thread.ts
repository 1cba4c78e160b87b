// The roll call's own thread: whatever the main thread is busy with, permits go on as they were last told. It imports little and
// keeps little, reads nothing from disk, and knows nobody but the main thread, see `roll-call-link.ts`. An error here ends the
// process: without it nobody would get a permit.
import { createSocket, type Socket } from 'node:dgram';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { parentPort } from 'node:worker_threads';
import { killResendMs } from '../../protocol/timing.ts';
import { ReportQueue } from './report-queue.ts';
import type { FromThread, ToThread } from './roll-call-channel.ts';
import { type RollCallLoop, startRollCallLoop } from './roll-call-loop.ts';

if (parentPort === null) throw new Error('cannot take the roll call: want to be started as a thread');
const port = parentPort;

/** Younger orders are no matter for the escalation. */
const overdueMs = 1_000;

const queue = new ReportQueue();
let loop: RollCallLoop | undefined;
let now = (): number => 0;
const time = () => ({ now: now(), wall: Date.now() });
let done = 0;
let heardUpTo = 0;
let overdue: FromThread['overdue'] = [];
let isUnread = false;
/** There is something that should not wait for the next tick. */
let isUrgent = false;
let isTicking = false;

port.on('message', (message: ToThread) => {
  switch (message.type) {
    case 'start':
      start(message);
      break;
    case 'told':
      loop?.tell(message.told);
      break;
    case 'enforce':
      loop?.enforce(message.macs);
      break;
    case 'next':
      isUnread = false;
      if (isUrgent) post();
      return;
  }
  done = message.number;
  post();
});

function start({ fd, epoch, clockOrigin, told }: ToThread & { type: 'start' }): void {
  now = () => Number(process.hrtime.bigint() - clockOrigin) / 1e6;
  heardUpTo = now();
  loop = startRollCallLoop({
    socket: inherited(fd),
    epoch,
    report: (report) => {
      queue.add(report);
      if (report.type !== 'confirmed' || isUrgent) return;
      isUrgent = true;
      // With what else this turn of the event loop brings.
      setImmediate(post);
    },
    time,
    nextTurn,
  });
  loop.tell(told);
  setInterval(() => void tick(), killResendMs);
}

function inherited(fd: number): Socket {
  // Nobody is sent to by name, and Node's own look-up of an address waits a turn and makes some objects for each datagram.
  const socket = createSocket({ type: 'udp4', lookup: (address, _options, found) => found(null, address, 4) });
  socket.once('listening', () => {
    socket.removeAllListeners('error');
    // A send to a board that is gone reports here (ECONNREFUSED by ICMP); its silence is what counts.
    socket.on('error', () => undefined);
  });
  socket.bind({ fd });
  return socket;
}

async function tick(): Promise<void> {
  if (loop === undefined) return;
  const pursued = loop.pursue();
  if (isTicking) return pursued;
  isTicking = true;
  await pursued;
  heardUpTo = await loop.readUpTo();
  overdue = loop.state.overdue(overdueMs, time());
  isTicking = false;
  post();
}

/** One batch is on its way at a time: a main thread that stands still finds the sum of what happened meanwhile. */
function post(): void {
  if (loop === undefined) return;
  isUrgent = true;
  if (isUnread) return;
  isUrgent = false;
  isUnread = true;
  const { counters, listeningSince } = loop.state;
  const batch: FromThread = { done, heardUpTo, listeningSince, counters, reports: queue.take(), overdue };
  port.postMessage(batch);
}
