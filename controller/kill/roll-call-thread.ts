// The roll call's own thread: whatever the main thread is busy with, permits go on as they were last told. It imports little and
// keeps little, reads nothing from disk, and knows nobody but the main thread, see `roll-call-link.ts`. An error here ends the
// process: without it nobody would get a permit.
import { createSocket, type Socket } from 'node:dgram';
import { writeSync } from 'node:fs';
import { flushCompileCache } from 'node:module';
import { setPriority } from 'node:os';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { type MessagePort, parentPort } from 'node:worker_threads';
import { killResendMs } from '../../protocol/timing.ts';
import { QuietWatch } from './quiet-watch.ts';
import { ReportQueue } from './report-queue.ts';
import type { FromThread, ToThread } from './roll-call-channel.ts';
import { startRollCallLoop } from './roll-call-loop.ts';

/** Younger orders are no matter for the escalation. */
const overdueMs = 1_000;
const flushCacheMs = 5_000;
/** A main thread that stands still for so long takes no orders: better nobody runs than somebody whom nobody can stop. */
const standstillLimitMs = 60_000;
/** Three times the share of an ordinary thread: a flood of datagrams must leave the main thread enough for an order. */
const threadPriority = -5;

if (parentPort === null) throw new Error('cannot take the roll call: want to be started as a thread');
hurry();
serve(parentPort);

/** Of this thread alone, where we may: a permit waits for no other work of this machine, and is none itself. */
function hurry(): void {
  try {
    setPriority(threadPriority);
  } catch {
    // Without CAP_SYS_NICE it is a thread like the others.
  }
}

function serve(port: MessagePort): void {
  port.once('message', (message: ToThread) => {
    if (message.type !== 'start') throw new Error(`cannot begin with ${message.type}: want start`);
    const { begun, carryOut } = begin(port, message);
    port.on('message', carryOut);
    begun();
  });
}

function begin(
  port: MessagePort,
  { fd, epoch, clockOrigin, told, number }: ToThread & { type: 'start' },
): { begun: () => void; carryOut: (message: ToThread) => void } {
  const now = () => Number(process.hrtime.bigint() - clockOrigin) / 1e6;
  const time = () => ({ now: now(), wall: Date.now() });
  const queue = new ReportQueue();
  let done = number;
  let heardUpTo = now();
  let overdue: FromThread['overdue'] = [];
  let isUnread = false;
  /** There is something that should not wait for the next tick. */
  let isUrgent = false;
  let isTicking = false;
  /** Runs while a batch is unread. */
  const watch = new QuietWatch({ now: heardUpTo, longestGapMs: 2 * killResendMs });

  const loop = startRollCallLoop({
    socket: inherited(fd),
    epoch,
    report: (report) => {
      queue.add(report);
      if (report.type !== 'stopped' || isUrgent) return;
      isUrgent = true;
      // With what else this turn of the event loop brings.
      setImmediate(post);
    },
    time,
    nextTurn,
  });
  loop.tell(told);

  function carryOut(message: ToThread): void {
    switch (message.type) {
      case 'start':
        throw new Error('cannot begin twice');
      case 'told':
        loop.tell(message.told);
        break;
      case 'enforce':
        loop.enforce(message.macs);
        break;
      case 'next':
        isUnread = false;
        watch.spoke();
        if (isUrgent) post();
        return;
    }
    done = message.number;
    post();
  }

  async function tick(): Promise<void> {
    const quietMs = watch.look(now());
    if (!isUnread) watch.spoke();
    else if (quietMs > standstillLimitMs) endProcess(`the main thread has stood still for ${Math.round(quietMs)} ms`);
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
    isUrgent = isUnread;
    if (isUnread) return;
    isUnread = true;
    const { counters, listeningSince } = loop.state;
    const batch: FromThread = { done, heardUpTo, listeningSince, counters, reports: queue.take(), overdue };
    port.postMessage(batch);
  }

  return {
    carryOut,
    begun: () => {
      setInterval(() => void tick(), killResendMs);
      // For the next start, which permits wait for: a process that is killed writes nothing at its end.
      setTimeout(flushCompileCache, flushCacheMs);
      post();
    },
  };
}

/** The main thread, which would end it, does not run. */
function endProcess(why: string): void {
  writeSync(2, `muster: ${why}: the controller ends\n`);
  process.kill(process.pid, 'SIGKILL');
}

/** A UDP socket that was bound by the launcher. */
function inherited(fd: number): Socket {
  // Nobody is sent to by name, and Node's own look-up of an address waits a turn and makes some objects for each datagram.
  const socket = createSocket({ type: 'udp4', lookup: (address, _options, found) => found(null, address, 4) });
  // A send to a board that is gone reports here (ECONNREFUSED by ICMP); its silence is what counts.
  socket.once('listening', () => socket.on('error', () => undefined));
  socket.bind({ fd });
  return socket;
}
