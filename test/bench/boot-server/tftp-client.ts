// A TFTP client that only counts: fetches a file in lockstep, as U-Boot does (blksize 1468, no window), and forgets it.
import { createSocket } from 'node:dgram';
import { decodeTftp, encodeTftp, type TftpPacket } from '../../../boot/tftp/packet.ts';

const blockBytes = 1468;
const resendMs = 1_000;
const resendLimit = 10;

/** Resolves with the file's size. `from` is our own address: servers count transfers by it. `to` is this machine if left out. */
export async function fetchFile(
  path: string,
  { from, to = '127.0.0.1', port }: { from: string; to?: string; port: number },
): Promise<number> {
  const socket = createSocket('udp4');
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  let peerPort = port;
  let last: TftpPacket = {
    op: 'read',
    path,
    mode: 'octet',
    options: new Map([['blksize', String(blockBytes)]]),
  };
  let sizeBytes = 0;
  let wanted = 1;
  let resends = 0;
  const send = (packet: TftpPacket) => {
    last = packet;
    socket.send(encodeTftp(packet), peerPort, to);
  };
  const timer = setInterval(() => {
    if (++resends > resendLimit) reject(new Error(`cannot fetch ${path}: no answer after ${sizeBytes} bytes`));
    else send(last);
  }, resendMs);
  socket.on('error', reject);
  socket.on('message', (bytes, peer) => {
    const packet = decodeTftp(bytes);
    if ('refused' in packet) return;
    if (packet.op === 'error') reject(new Error(`cannot fetch ${path}: ${packet.message}`));
    if (packet.op === 'oack' && sizeBytes === 0) {
      peerPort = peer.port;
      send({ op: 'ack', block: 0 });
    }
    if (packet.op !== 'data' || packet.block !== (wanted & 0xffff)) return;
    timer.refresh();
    sizeBytes += packet.data.length;
    wanted++;
    send({ op: 'ack', block: packet.block });
    if (packet.data.length < blockBytes) resolve(sizeBytes);
  });
  socket.bind({ address: from, port: 0 }, () => send(last));
  try {
    return await promise;
  } finally {
    clearInterval(timer);
    socket.close();
  }
}
