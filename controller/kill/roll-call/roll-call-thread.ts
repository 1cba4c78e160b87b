// The roll call's own thread: whatever the main thread is busy with, permits go on as they were last told. It imports little and
// keeps little, reads nothing from disk, and knows nobody but the main thread, see `roll-call-link.ts`. An error here ends the
// process: without it nobody would get a permit.
import { createSocket, type Socket } from 'node:dgram';
import { writeSync } from 'node:fs';
import { flushCompileCache } from 'node:module';
import { setPriority } from 'node:os';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { type MessagePort, parentPort } from 'node:worker_threads';
import { killResendMs } from '../../../protocol/timing.ts';
import { QuietWatch } from './quiet-watch.ts';
import { ReportQueue } from './report-queue.ts';
import type { FromThread, ToThread } from './roll-call-channel.ts';
import { startRollCallLoop } from './roll-call-loop.ts';
import type { Report } from './roll-call-messages.ts';

/** Younger orders are no matter for the escalation. */
const overdueMs = 1_000;
const settledMs = 5_000;
/** A main thread that stands still for so long takes no orders: better nobody runs than somebody whom nobody can stop. */
const standstillLimitMs = 60_000;
/**
 * At a start, which follows a crash, ahead of a main thread that hurries too. Then three times the share of an ordinary thread:
 * a flood of datagrams must leave the main thread enough for an order.
 */
const priority = { starting: -15, settled: -5 };

/** Of this thread alone, where we may: a permit waits for no other work of this machine, and is none itself. */
function hurry(niceness: number): void {
  try {
    setPriority(niceness);
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
  let done = number;
  let heardUpTo = now();
  let overdue: FromThread['overdue'] = [];
  let isTicking = false;
  /** Runs while a batch is unread. */
  const watch = new QuietWatch({ now: heardUpTo, longestGapMs: 2 * killResendMs });
  const batches = new Batches(port, () => {
    const { counters, listeningSince } = loop.state;
    return { done, heardUpTo, listeningSince, counters, overdue };
  });
  const loop = startRollCallLoop({
    socket: inherited(fd),
    epoch,
    report: (report) => batches.add(report),
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
        watch.spoke();
        batches.wasRead();
        return;
    }
    done = message.number;
    batches.post();
  }

  async function tick(): Promise<void> {
    const quietMs = watch.look(now());
    if (!batches.isUnread) watch.spoke();
    else if (quietMs > standstillLimitMs) endProcess(`the main thread has stood still for ${Math.round(quietMs)} ms`);
    const pursued = loop.pursue();
    if (isTicking) return pursued;
    isTicking = true;
    await pursued;
    heardUpTo = await loop.readUpTo();
    overdue = loop.state.overdue(overdueMs, time());
    isTicking = false;
    batches.post();
  }

  return {
    carryOut,
    begun: () => {
      setInterval(() => void tick(), killResendMs);
      // For the next start, which permits wait for: a process that is killed writes nothing at its end.
      setTimeout(() => {
        flushCompileCache();
        hurry(priority.settled);
      }, settledMs);
      batches.post();
    },
  };
}

/** One batch is on its way at a time: a main thread that stands still finds the sum of what happened meanwhile. */
class Batches {
  readonly #port: MessagePort;
  readonly #rest: () => Omit<FromThread, 'reports'>;
  readonly #queue = new ReportQueue();
  #isUnread = false;
  /** There is something that should not wait for the next tick. */
  #isUrgent = false;

  /** `rest`: what a batch says beside its reports. */
  constructor(port: MessagePort, rest: () => Omit<FromThread, 'reports'>) {
    this.#port = port;
    this.#rest = rest;
  }

  get isUnread(): boolean {
    return this.#isUnread;
  }

  add(report: Report): void {
    this.#queue.add(report);
    if (report.type !== 'stopped' || this.#isUrgent) return;
    this.#isUrgent = true;
    // With what else this turn of the event loop brings.
    setImmediate(() => this.post());
  }

  wasRead(): void {
    this.#isUnread = false;
    if (this.#isUrgent) this.post();
  }

  post(): void {
    this.#isUrgent = this.#isUnread;
    if (this.#isUnread) return;
    this.#isUnread = true;
    const batch: FromThread = { ...this.#rest(), reports: this.#queue.take() };
    this.#port.postMessage(batch);
  }
}

/** The main thread, which would end it, does not run. */
function endProcess(why: string): void {
  writeSync(2, `muster: ${why}: the controller ends\n`);
  process.kill(process.pid, 'SIGKILL');
}

/** A UDP socket that was bound by the launcher. */
function inherited(fd: number): Socket {
  // Nobody is sent to by name, and Node's own look-up of an address waits a turn and makes some objects for each datagram.
  // oxlint-disable-next-line max-params -- Node calls it so
  const socket = createSocket({ type: 'udp4', lookup: (address, _options, found) => found(null, address, 4) });
  // A send to a board that is gone reports here (ECONNREFUSED by ICMP); its silence is what counts.
  socket.once('listening', () => socket.on('error', () => undefined));
  socket.bind({ fd });
  return socket;
}

if (parentPort === null) throw new Error('cannot take the roll call: want to be started as a thread');
hurry(priority.starting);
serve(parentPort);
