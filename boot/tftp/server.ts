// The TFTP loop: a listening socket for requests, and a running transfer for every file on its way. What may be asked for
// is decided by the caller; nothing here touches a disk.

import type { Socket } from 'node:dgram';
import type { Ipv4 } from '../../protocol/ipv4.ts';
import { type TftpPacket, decodeTftp, encodeTftp, errorCode } from './packet.ts';
import { type Peer, RunningTransfer, ignore } from './running-transfer.ts';

export interface TftpCounters {
  requests: number;
  /** Datagrams that were no TFTP requests. */
  refused: number;
  /** Requests for files that are not there, answered at once: each costs a board a round trip. */
  missing: number;
  /** Requests dropped because too many transfers were under way. */
  dropped: number;
  completed: number;
  failed: number;
  bytesSent: number;
  /** Packets from an address or port that the transfer does not belong to. */
  strangers: number;
}

export interface TftpOptions {
  /** Bound to port 69. The server closes it. */
  socket: Socket;
  /** Our address, which answers come from. */
  address: Ipv4;
  file(path: string, peer: { ip: Ipv4 }): Promise<Uint8Array | { missing: string }>;
  ended(transfer: { path: string; ip: Ipv4; outcome: 'done' | 'failed'; detail: string }): void;
  log(line: string): void;
}

export interface TftpServer extends AsyncDisposable {
  readonly counters: Readonly<TftpCounters>;
  /** Transfers under way. */
  active(): number;
}

const maximumTransfers = 2048;
const maximumTransfersPerBoard = 8;

export function serveTftp(options: TftpOptions): TftpServer {
  return new Server(options);
}

class Server implements TftpServer {
  readonly #options: TftpOptions;
  readonly #transfers = new TransferTable();
  readonly #closing = new Set<Promise<void>>();
  readonly counters: TftpCounters = {
    requests: 0,
    refused: 0,
    missing: 0,
    dropped: 0,
    completed: 0,
    failed: 0,
    bytesSent: 0,
    strangers: 0,
  };
  #isClosed = false;

  constructor(options: TftpOptions) {
    this.#options = options;
    options.socket.on('message', (datagram, peer) => {
      if (peer.port === 0) return; // nobody can be answered there
      const packet = decodeTftp(datagram);
      if (!('refused' in packet) && (packet.op === 'read' || packet.op === 'write'))
        this.#request(packet, { ip: peer.address, port: peer.port });
      else this.counters.refused++;
    });
    options.socket.on('error', (error) => options.log(`TFTP socket: ${error.message}`));
  }

  active(): number {
    return this.#transfers.size;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true;
    for (const transfer of this.#transfers.all()) transfer.end('failed', 'the boot server stops');
    this.#close(this.#options.socket);
    await Promise.all(this.#closing);
  }

  #request(packet: TftpPacket & { op: 'read' | 'write' }, peer: Peer): void {
    this.counters.requests++;
    if (packet.op === 'write')
      return this.#refuse(peer, { code: errorCode.accessViolation, message: 'this server only reads' });
    // U-Boot, EDK2, iPXE and busybox all say octet; line ends are not ours to change.
    if (packet.mode !== 'octet')
      return this.#refuse(peer, { code: errorCode.illegalOperation, message: 'want mode octet' });
    const former = this.#transfers.of(peer);
    if (former?.isAskedAgain() === true) return;
    former?.end('failed', 'the board asked anew');
    if (this.#transfers.hasRoomFor(peer)) this.#start(packet, peer);
    else this.counters.dropped++;
  }

  #start(asked: { path: string; options: ReadonlyMap<string, string> }, peer: Peer): void {
    const options = this.#options;
    const path = asked.path.replace(/^\/+/, '');
    const running = new RunningTransfer({
      path,
      peer,
      address: options.address,
      counters: this.counters,
      ended: ({ outcome, detail, socket }) => {
        this.#transfers.delete(peer);
        if (socket === undefined) return;
        this.#close(socket);
        if (outcome === 'done') this.counters.completed++;
        else this.counters.failed++;
        options.ended({ path, ip: peer.ip, outcome, detail });
      },
      log: (line) => options.log(line),
    });
    this.#transfers.add(peer, running);
    options.file(path, { ip: peer.ip }).then(
      (file) => {
        if (file instanceof Uint8Array) return running.begin(file, asked.options);
        if (this.#transfers.of(peer) !== running) return;
        this.counters.missing++;
        this.#refuse(peer, { code: errorCode.fileNotFound, message: file.missing });
        running.end('failed', file.missing);
      },
      (error: unknown) => {
        options.log(`cannot serve ${path} to ${peer.ip}: ${String(error)}`);
        this.#refuse(peer, { code: errorCode.undefined, message: 'the boot server failed; ask again' });
        running.end('failed', String(error));
      },
    );
  }

  #refuse(peer: Peer, { code, message }: { code: number; message: string }): void {
    if (this.#isClosed) return;
    this.#options.socket.send(encodeTftp({ op: 'error', code, message }), peer.port, peer.ip, ignore);
  }

  #close(socket: Socket): void {
    const done: Promise<void> = new Promise<void>((resolve) => socket.close(resolve)).then(() => {
      this.#closing.delete(done);
    });
    this.#closing.add(done);
  }
}

/** By the client's address and port: a repeated request is the same transfer, not a second one. */
class TransferTable {
  readonly #transfers = new Map<string, RunningTransfer>();
  readonly #perBoard = new Map<Ipv4, number>();

  get size(): number {
    return this.#transfers.size;
  }

  all(): Iterable<RunningTransfer> {
    return this.#transfers.values();
  }

  of(peer: Peer): RunningTransfer | undefined {
    return this.#transfers.get(keyOf(peer));
  }

  hasRoomFor({ ip }: Peer): boolean {
    return this.size < maximumTransfers && (this.#perBoard.get(ip) ?? 0) < maximumTransfersPerBoard;
  }

  add(peer: Peer, transfer: RunningTransfer): void {
    this.#transfers.set(keyOf(peer), transfer);
    this.#perBoard.set(peer.ip, (this.#perBoard.get(peer.ip) ?? 0) + 1);
  }

  delete(peer: Peer): void {
    this.#transfers.delete(keyOf(peer));
    const left = (this.#perBoard.get(peer.ip) ?? 1) - 1;
    if (left === 0) this.#perBoard.delete(peer.ip);
    else this.#perBoard.set(peer.ip, left);
  }
}

function keyOf({ ip, port }: Peer): string {
  return `${ip}:${port}`;
}
