// One file on its way to one board, as a state machine without sockets or clocks: events in, packets out.
//
//   offering ──ACK 0──> sending ──ACK of the last block──> done
//      │                  │
//      └── five timeouts, an ERROR, or ten minutes ──> failed
//
// A window of blocks (RFC 7440) is in flight; an ACK moves its start. What a duplicate ACK must *not* do is send the
// window again each time: every block sent twice is acknowledged twice, for ever (the Sorcerer's Apprentice). An ACK
// that moves nothing is therefore ignored, but for the first one after each window: there it is how a client with a
// window says that its first block was lost.

import { type TftpPacket, encodeTftp } from './packet.ts';

export interface Transfer {
  readonly file: Uint8Array;
  readonly blockBytes: number;
  readonly windowBlocks: number;
  /** The longest wait for an ACK, from the client's `timeout` option. */
  readonly timeoutMs: number;
  /** What an OACK would say; empty where the client asked for no option that we know. */
  readonly options: ReadonlyMap<string, string>;
  readonly totalBlocks: number;
  /** We wait for: the ACK 0 of our OACK; the ACK of a block in flight; nothing any more. */
  state: 'offering' | 'sending' | 'done' | 'failed';
  /** Blocks that the client has, and blocks that have been sent: counted from 1 and without end, unlike on the wire. */
  acknowledged: number;
  sent: number;
  /** Timeouts since the last progress. */
  timeouts: number;
  /** Whether the first ACK that moved nothing has been answered since the last progress. */
  resent: boolean;
  failure: string;
}

export type TransferEvent = { type: 'start' } | { type: 'timeout' } | { type: 'packet'; packet: TftpPacket };

const defaults = { blockBytes: 512, windowBlocks: 1, timeoutMs: 5000 };
/** One Ethernet frame: U-Boot has no room for fragments. */
const maximumBlockBytes = 1468;
/** More than this overflows the receive ring of small network chips. */
const maximumWindowBlocks = 16;
const maximumTimeouts = 5;
const firstTimeoutMs = 1000;

export function createTransfer(file: Uint8Array, asked: ReadonlyMap<string, string>): Transfer {
  const blksize = optionNumber(asked.get('blksize'), { least: 8, most: 65464 });
  const windowsize = optionNumber(asked.get('windowsize'), { least: 1, most: 65535 });
  const timeout = optionNumber(asked.get('timeout'), { least: 1, most: 255 });
  const blockBytes = Math.min(blksize ?? defaults.blockBytes, maximumBlockBytes);
  const windowBlocks = Math.min(windowsize ?? defaults.windowBlocks, maximumWindowBlocks);
  const options = new Map<string, string>();
  for (const name of asked.keys()) {
    if (name === 'blksize' && blksize !== undefined) options.set(name, String(blockBytes));
    if (name === 'windowsize' && windowsize !== undefined) options.set(name, String(windowBlocks));
    if (name === 'timeout' && timeout !== undefined) options.set(name, String(timeout));
    if (name === 'tsize') options.set(name, String(file.length));
  }
  return {
    file,
    blockBytes,
    windowBlocks,
    timeoutMs: timeout === undefined ? defaults.timeoutMs : timeout * 1000,
    options,
    // A last block that is short, or empty, says that the file ends.
    totalBlocks: Math.floor(file.length / blockBytes) + 1,
    state: options.size > 0 ? 'offering' : 'sending',
    acknowledged: 0,
    sent: 0,
    timeouts: 0,
    resent: false,
    failure: '',
  };
}

/** A decimal number in these bounds; `undefined` for anything else, which RFC 2347 lets us pass over in silence. */
function optionNumber(text: string | undefined, { least, most }: { least: number; most: number }): number | undefined {
  if (text === undefined || !/^\d{1,9}$/.test(text)) return undefined;
  const number = Number(text);
  return number >= least && number <= most ? number : undefined;
}

/** How long to wait for an ACK now: one second at first, whatever the client allows, so that one loss costs little. */
export function waitMs(transfer: Transfer): number {
  return Math.min(firstTimeoutMs * 2 ** transfer.timeouts, Math.max(transfer.timeoutMs, firstTimeoutMs));
}

/** Moves the transfer on and returns the packets to send. */
export function advance(transfer: Transfer, event: TransferEvent): Buffer[] {
  if (transfer.state === 'done' || transfer.state === 'failed') return [];
  switch (event.type) {
    case 'start':
      return send(transfer);
    case 'timeout':
      transfer.timeouts++;
      if (transfer.timeouts > maximumTimeouts) return fail(transfer, `no answer to ${maximumTimeouts} repetitions`);
      return send(transfer);
    case 'packet':
      break;
  }
  const { packet } = event;
  if (packet.op === 'error') return fail(transfer, `the board says: ${packet.code} ${packet.message}`);
  if (packet.op !== 'ack') return [];
  if (transfer.state === 'offering') {
    if (packet.block !== 0) return [];
    transfer.state = 'sending';
    return progress(transfer);
  }
  // Block numbers are the low 16 bits of the count, and roll over to 0.
  const moved = (packet.block - transfer.acknowledged) & 0xffff;
  if (moved > transfer.sent - transfer.acknowledged) return []; // an old ACK, or one of what was never sent
  if (moved === 0) {
    // With a window of one there is nothing to learn from it: the timeout repairs a loss.
    if (transfer.windowBlocks === 1 || transfer.resent || transfer.sent === 0) return [];
    transfer.resent = true;
    return send(transfer);
  }
  transfer.acknowledged += moved;
  if (transfer.acknowledged === transfer.totalBlocks) {
    transfer.state = 'done';
    return [];
  }
  return progress(transfer);
}

function progress(transfer: Transfer): Buffer[] {
  transfer.timeouts = 0;
  transfer.resent = false;
  return send(transfer);
}

/** The OACK, or the window from the first block that the client does not have. */
function send(transfer: Transfer): Buffer[] {
  if (transfer.state === 'offering') return [encodeTftp({ op: 'oack', options: transfer.options })];
  const end = Math.min(transfer.acknowledged + transfer.windowBlocks, transfer.totalBlocks);
  const packets: Buffer[] = [];
  for (let block = transfer.acknowledged + 1; block <= end; block++) {
    const at = (block - 1) * transfer.blockBytes;
    const data = transfer.file.subarray(at, at + transfer.blockBytes);
    packets.push(encodeTftp({ op: 'data', block: block & 0xffff, data }));
  }
  transfer.sent = Math.max(transfer.sent, end);
  return packets;
}

function fail(transfer: Transfer, failure: string): Buffer[] {
  transfer.state = 'failed';
  transfer.failure = failure;
  return [];
}
