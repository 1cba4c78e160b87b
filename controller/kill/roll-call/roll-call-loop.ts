// The loop around `roll-call-state.ts`: owns the socket, and does at once what the state decides.
import type { Mac } from '../../../protocol/mac.ts';
import type { Action, Instant, Report, Told } from './roll-call-messages.ts';
import { RollCallState } from './roll-call-state.ts';

/** What the roll call needs of a UDP socket. */
export interface RollCallSocket {
  on(event: 'message', listener: (bytes: Buffer, from: { address: string; port: number }) => void): unknown;
  send(bytes: Buffer, port: number, address: string, callback: (error: Error | null) => void): void;
}

export interface RollCallLoop {
  readonly state: RollCallState;
  tell(told: readonly Told[]): void;
  /** A fresh permit to each node now. */
  enforce(macs: Iterable<Mac>): void;
  /** Resends to the unacknowledged, and counts a node as stopped whose silence proves it. Called every `killResendMs`. */
  pursue(): Promise<void>;
  /** When all is read that had arrived by then, which is the time of the call. */
  readUpTo(): Promise<number>;
}

/** Permits between two looks at the socket: receipts that wait there spare the permits that would ask for them. */
const permitBatch = 32;

/** More than the socket's buffer holds: whoever has read so many has read what was in it. */
const bufferLimit = 16_384;

/** Turns of the event loop, each of which brings datagrams: somebody sends more than we read. */
const turnLimit = 1_000;

export function startRollCallLoop({
  socket,
  epoch,
  report,
  time,
  nextTurn,
}: {
  socket: RollCallSocket;
  epoch: number;
  report: (report: Report) => void;
  time: () => Instant;
  /** Resolves when the event loop has read what its sockets had: `setImmediate`. */
  nextTurn: () => Promise<void>;
}): RollCallLoop {
  const state = new RollCallState({ epoch, time: time() });
  let received = 0;
  let pursuing = false;

  socket.on('message', (bytes, from) => {
    received++;
    act(state.hear({ bytes, from }, time()));
  });

  function act(actions: readonly Action[]): void {
    for (const action of actions)
      if (action.type !== 'send') report(action);
      else
        socket.send(action.bytes, action.port, action.address, (error) => {
          if (error) state.counters.sendErrors++;
        });
  }

  async function pursueAll(): Promise<void> {
    const quiet: Mac[] = [];
    let sent = 0;
    for (const mac of state.unacknowledgedNodes()) {
      const actions = state.pursue(mac, time());
      if (actions === 'quiet') {
        quiet.push(mac);
        continue;
      }
      act(actions);
      if (actions.length > 0 && ++sent % permitBatch === 0) await nextTurn();
    }
    if (quiet.length === 0) return;
    const arrivedAt = time().now;
    const isQuiet = await untilQuiet({ received: () => received, nextTurn, goesOn: (turns) => turns < turnLimit });
    if (!isQuiet) return;
    for (const mac of quiet) act(state.judgeSilence(mac, { readUpTo: arrivedAt, time: time() }));
  }

  return {
    state,
    readUpTo: async () => {
      const at = time().now;
      await untilQuiet({ received: () => received, nextTurn, goesOn: (_, datagrams) => datagrams < bufferLimit });
      return at;
    },
    tell: (told) => {
      for (const each of told) state.tell(each);
    },
    enforce: (macs) => {
      for (const mac of macs) act(state.permit(mac, time()));
    },
    pursue: async () => {
      state.listen(time());
      if (pursuing) return;
      pursuing = true;
      try {
        await pursueAll();
      } finally {
        pursuing = false;
      }
    },
  };
}

/** True once a whole turn of the event loop brought no datagram: all that had arrived at the call has been read. */
async function untilQuiet({
  received,
  nextTurn,
  goesOn,
}: {
  received: () => number;
  nextTurn: () => Promise<void>;
  goesOn: (turns: number, datagrams: number) => boolean;
}): Promise<boolean> {
  const first = received();
  for (let turns = 0; goesOn(turns, received() - first); turns++) {
    const before = received();
    await nextTurn();
    if (received() === before) return true;
  }
  return false;
}
