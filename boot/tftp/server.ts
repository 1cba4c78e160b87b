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
  const counters: TftpCounters = {
    requests: 0,
    refused: 0,
    missing: 0,
    dropped: 0,
    completed: 0,
    failed: 0,
    bytesSent: 0,
    strangers: 0,
  };
  // By the client's address and port: a repeated request is the same transfer, not a second one.
  const transfers = new Map<string, RunningTransfer>();
  const perBoard = new Map<Ipv4, number>();
  const closing = new Set<Promise<void>>();
  let closed = false;

  options.socket.on('message', (datagram, peer) => {
    if (peer.port === 0) return; // nobody can be answered there
    const packet = decodeTftp(datagram);
    if ('refused' in packet) {
      counters.refused++;
      return;
    }
    if (packet.op === 'read' || packet.op === 'write') request(packet, { ip: peer.address, port: peer.port });
    else counters.refused++;
  });
  options.socket.on('error', (error) => options.log(`TFTP socket: ${error.message}`));

  function request(packet: TftpPacket & { op: 'read' | 'write' }, peer: Peer): void {
    counters.requests++;
    if (packet.op === 'write') return refuse(peer, errorCode.accessViolation, 'this server only reads');
    // U-Boot, EDK2, iPXE and busybox all say octet; line ends are not ours to change.
    if (packet.mode !== 'octet') return refuse(peer, errorCode.illegalOperation, 'want mode octet');
    const key = `${peer.ip}:${peer.port}`;
    const former = transfers.get(key);
    if (former?.isAskedAgain() === true) return;
    former?.end('failed', 'the board asked anew');
    if (transfers.size >= maximumTransfers || (perBoard.get(peer.ip) ?? 0) >= maximumTransfersPerBoard) {
      counters.dropped++;
      return;
    }
    start(key, packet, peer);
  }

  function start(key: string, asked: { path: string; options: ReadonlyMap<string, string> }, peer: Peer): void {
    const path = asked.path.replace(/^\/+/, '');
    const running = new RunningTransfer({
      path,
      peer,
      address: options.address,
      counters,
      ended: ({ outcome, detail, socket }) => {
        transfers.delete(key);
        const left = (perBoard.get(peer.ip) ?? 1) - 1;
        if (left === 0) perBoard.delete(peer.ip);
        else perBoard.set(peer.ip, left);
        if (socket === undefined) return;
        close(socket);
        if (outcome === 'done') counters.completed++;
        else counters.failed++;
        options.ended({ path, ip: peer.ip, outcome, detail });
      },
      log: (line) => options.log(line),
    });
    transfers.set(key, running);
    perBoard.set(peer.ip, (perBoard.get(peer.ip) ?? 0) + 1);
    options.file(path, { ip: peer.ip }).then(
      (file) => {
        if (file instanceof Uint8Array) return running.begin(file, asked.options);
        if (transfers.get(key) !== running) return;
        counters.missing++;
        refuse(peer, errorCode.fileNotFound, file.missing);
        running.end('failed', file.missing);
      },
      (error: unknown) => {
        options.log(`cannot serve ${path} to ${peer.ip}: ${String(error)}`);
        refuse(peer, errorCode.undefined, 'the boot server failed; ask again');
        running.end('failed', String(error));
      },
    );
  }

  function refuse(peer: Peer, code: number, message: string): void {
    if (closed) return;
    options.socket.send(encodeTftp({ op: 'error', code, message }), peer.port, peer.ip, ignore);
  }

  function close(socket: Socket): void {
    const done: Promise<void> = new Promise<void>((resolve) => socket.close(resolve)).then(() => {
      closing.delete(done);
    });
    closing.add(done);
  }

  return {
    counters,
    active: () => transfers.size,
    async [Symbol.asyncDispose]() {
      closed = true;
      for (const transfer of transfers.values()) transfer.end('failed', 'the boot server stops');
      close(options.socket);
      await Promise.all(closing);
    },
  };
}
