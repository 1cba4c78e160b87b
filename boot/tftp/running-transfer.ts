// A file on its way to one board, on a socket of its own, that is, a transfer id (RFC 1350, 4), with its clock.

import { type Socket, createSocket } from 'node:dgram';
import type { Ipv4 } from '../../protocol/ipv4.ts';
import { decodeTftp, encodeTftp, errorCode } from './packet.ts';
import { type Transfer, type TransferEvent, advance, createTransfer, waitMs } from './transfer.ts';

export interface Peer {
  ip: Ipv4;
  port: number;
}

export interface RunningTransferOptions {
  path: string;
  peer: Peer;
  /** Our address, which packets come from. */
  address: Ipv4;
  counters: { refused: number; bytesSent: number; strangers: number };
  /** Told once. `socket` is for the caller to close; undefined where the transfer had not begun. */
  ended(how: { outcome: 'done' | 'failed'; detail: string; socket: Socket | undefined }): void;
  log(line: string): void;
}

/** Even a kernel of 40 MB in blocks of 512 bytes is through by then, on a rack that boots as a whole. */
const maximumTransferMs = 600_000;

export class RunningTransfer {
  readonly #options: RunningTransferOptions;
  readonly #startedMs = performance.now();
  #transfer: Transfer | undefined;
  #socket: Socket | undefined;
  #timer: NodeJS.Timeout | undefined;
  #isOver = false;

  /** It waits for its file. */
  constructor(options: RunningTransferOptions) {
    this.#options = options;
  }

  begin(file: Uint8Array, asked: ReadonlyMap<string, string>): void {
    if (this.#isOver) return;
    const socket = createSocket('udp4');
    socket.on('message', (datagram, from) => this.#receive(datagram, { ip: from.address, port: from.port }));
    socket.on('error', (error) => this.end('failed', error.message));
    this.#socket = socket;
    this.#transfer = createTransfer(file, asked);
    socket.bind({ address: this.#options.address, port: 0 }, () => this.#step({ type: 'start' }));
  }

  /**
   * Whether the board's request, which came again, is for this transfer. Our first packet was lost or is late: before any
   * progress it is sent again. After it this is a new request from the same port, of a board that was reset.
   */
  isAskedAgain(): boolean {
    const transfer = this.#transfer;
    if (transfer === undefined) return true;
    if (transfer.acknowledged > 0 || transfer.state !== (transfer.options.size > 0 ? 'offering' : 'sending'))
      return false;
    this.#step({ type: 'start' });
    return true;
  }

  end(outcome: 'done' | 'failed', detail: string): void {
    if (this.#isOver) return;
    this.#isOver = true;
    clearTimeout(this.#timer);
    this.#options.ended({ outcome, detail, socket: this.#socket });
  }

  #step(event: TransferEvent): void {
    const transfer = this.#transfer;
    if (transfer === undefined || this.#isOver) return;
    const progress = transfer.acknowledged;
    const packets = advance(transfer, event);
    if (transfer.state === 'done') return this.end('done', '');
    if (transfer.state === 'failed') return this.end('failed', transfer.failure);
    if (performance.now() - this.#startedMs > maximumTransferMs) return this.end('failed', 'took over ten minutes');
    const { path, peer, counters } = this.#options;
    for (const bytes of packets) {
      counters.bytesSent += bytes.length;
      this.#socket?.send(bytes, peer.port, peer.ip, (error) => {
        // As good as lost on the wire: the timeout repeats it.
        if (error !== null) this.#options.log(`cannot send ${path} to ${peer.ip}: ${error.message}`);
      });
    }
    if (packets.length > 0 || transfer.acknowledged !== progress) {
      clearTimeout(this.#timer);
      this.#timer = setTimeout(() => this.#step({ type: 'timeout' }), waitMs(transfer));
    }
  }

  #receive(datagram: Buffer, from: Peer): void {
    const { peer, counters } = this.#options;
    const packet = decodeTftp(datagram);
    if (from.ip === peer.ip && from.port === peer.port) {
      if ('refused' in packet) counters.refused++;
      else this.#step({ type: 'packet', packet });
      return;
    }
    counters.strangers++;
    // RFC 1350, 4: tell the stranger, do not disturb the transfer. An error is never answered by an error.
    if (from.port === 0 || 'refused' in packet || packet.op === 'error') return;
    const unknown = encodeTftp({ op: 'error', code: errorCode.unknownTransferId, message: 'not your transfer' });
    this.#socket?.send(unknown, from.port, from.ip, ignore);
  }
}

/** A courtesy that was lost is as good as one that was never sent: the client times out. */
export function ignore(): void {}
