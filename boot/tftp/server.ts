// The TFTP loop: a listening socket for requests, and a socket of its own, that is, a transfer id, for every file on
// its way (RFC 1350, 4). What may be asked for is decided by the caller; nothing here touches a disk.

import { type Socket, createSocket } from 'node:dgram';
import type { Ipv4 } from '../../protocol/ipv4.ts';
import { type TftpPacket, decodeTftp, encodeTftp, errorCode } from './packet.ts';
import { type Transfer, type TransferEvent, advance, createTransfer, waitMs } from './transfer.ts';

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
/** Even a kernel of 40 MB in blocks of 512 bytes is through by then, on a rack that boots as a whole. */
const maximumTransferMs = 600_000;

interface Running {
  ip: Ipv4;
  transfer: Transfer | undefined;
  end(outcome: 'done' | 'failed', detail: string): void;
  step(event: TransferEvent): void;
}

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
  const running = new Map<string, Running>();
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

  type Peer = { ip: Ipv4; port: number };

  function request(packet: TftpPacket & { op: 'read' | 'write' }, peer: Peer): void {
    counters.requests++;
    if (packet.op === 'write') return refuse(peer, errorCode.accessViolation, 'this server only reads');
    // U-Boot, EDK2, iPXE and busybox all say octet; line ends are not ours to change.
    if (packet.mode !== 'octet') return refuse(peer, errorCode.illegalOperation, 'want mode octet');
    const key = `${peer.ip}:${peer.port}`;
    const former = running.get(key);
    if (former !== undefined) {
      // Our first packet was lost or is late. Before any progress it is sent again; after it this is a new request
      // from the same port, of a board that was reset.
      const { transfer } = former;
      if (transfer === undefined) return;
      if (transfer.acknowledged === 0 && transfer.state === (transfer.options.size > 0 ? 'offering' : 'sending'))
        return former.step({ type: 'start' });
      former.end('failed', 'the board asked anew');
    }
    if (running.size >= maximumTransfers || (perBoard.get(peer.ip) ?? 0) >= maximumTransfersPerBoard) {
      counters.dropped++;
      return;
    }
    start(key, packet, peer);
  }

  function start(key: string, asked: { path: string; options: ReadonlyMap<string, string> }, peer: Peer): void {
    const path = asked.path.replace(/^\/+/, '');
    let socket: Socket | undefined;
    let timer: NodeJS.Timeout | undefined;
    const startedMs = performance.now();
    const self: Running = {
      ip: peer.ip,
      transfer: undefined,
      step(event) {
        const { transfer } = self;
        if (transfer === undefined || socket === undefined || running.get(key) !== self) return;
        const progress = transfer.acknowledged;
        const packets = advance(transfer, event);
        if (transfer.state === 'done') return self.end('done', '');
        if (transfer.state === 'failed') return self.end('failed', transfer.failure);
        if (performance.now() - startedMs > maximumTransferMs) return self.end('failed', 'took over ten minutes');
        for (const bytes of packets) {
          counters.bytesSent += bytes.length;
          socket.send(bytes, peer.port, peer.ip, (error) => {
            // As good as lost on the wire: the timeout repeats it.
            if (error !== null) options.log(`cannot send ${path} to ${peer.ip}: ${error.message}`);
          });
        }
        if (packets.length > 0 || transfer.acknowledged !== progress) {
          clearTimeout(timer);
          timer = setTimeout(() => self.step({ type: 'timeout' }), waitMs(transfer));
        }
      },
      end(outcome, detail) {
        if (running.get(key) !== self) return;
        running.delete(key);
        clearTimeout(timer);
        const left = (perBoard.get(peer.ip) ?? 1) - 1;
        if (left === 0) perBoard.delete(peer.ip);
        else perBoard.set(peer.ip, left);
        if (socket !== undefined) close(socket);
        if (self.transfer === undefined) return;
        if (outcome === 'done') counters.completed++;
        else counters.failed++;
        options.ended({ path, ip: peer.ip, outcome, detail });
      },
    };
    running.set(key, self);
    perBoard.set(peer.ip, (perBoard.get(peer.ip) ?? 0) + 1);

    options.file(path, { ip: peer.ip }).then(
      (file) => {
        if (running.get(key) !== self || closed) return;
        if (!(file instanceof Uint8Array)) {
          counters.missing++;
          refuse(peer, errorCode.fileNotFound, file.missing);
          self.end('failed', file.missing);
          return;
        }
        socket = createSocket('udp4');
        socket.on('message', (datagram, from) => {
          const packet = decodeTftp(datagram);
          if (from.address !== peer.ip || from.port !== peer.port) {
            counters.strangers++;
            const unknown = encodeTftp({
              op: 'error',
              code: errorCode.unknownTransferId,
              message: 'not your transfer',
            });
            // RFC 1350, 4: tell the stranger, do not disturb the transfer. An error is never answered by an error.
            if (from.port !== 0 && !('refused' in packet) && packet.op !== 'error')
              socket?.send(unknown, from.port, from.address, ignore);
            return;
          }
          if ('refused' in packet) counters.refused++;
          else self.step({ type: 'packet', packet });
        });
        socket.on('error', (error) => self.end('failed', error.message));
        self.transfer = createTransfer(file, asked.options);
        socket.bind({ address: options.address, port: 0 }, () => self.step({ type: 'start' }));
      },
      (error: unknown) => {
        options.log(`cannot serve ${path} to ${peer.ip}: ${String(error)}`);
        refuse(peer, errorCode.undefined, 'the boot server failed; ask again');
        self.end('failed', String(error));
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
    active: () => running.size,
    async [Symbol.asyncDispose]() {
      closed = true;
      for (const transfer of running.values()) transfer.end('failed', 'the boot server stops');
      close(options.socket);
      await Promise.all(closing);
    },
  };
}

/** A courtesy that was lost is as good as one that was never sent: the client times out. */
function ignore(): void {}
