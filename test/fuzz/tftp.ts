import { type TftpPacket, decodeTftp, encodeTftp } from '../../boot/tftp/packet.ts';
import { type Transfer, advance, createTransfer, waitMs } from '../../boot/tftp/transfer.ts';
import { type Random, mutated } from './random.ts';

/**
 * Requests and acknowledgements, mutated, to the parser and to transfers under way. A transfer must never send more
 * than its window, never beyond its file, and must come to an end. Returns how many packets were sent.
 */
export function fuzzTftp(count: number, random: Random): number {
  const file = random.bytes(100_000);
  const options = new Map([
    ['timeout', '5'],
    ['blksize', '1468'],
    ['tsize', '0'],
    ['windowsize', '4'],
  ]);
  const requests = [
    encodeTftp({ op: 'read', path: 'pxelinux.cfg/01-02-00-00-c2-00-01', mode: 'octet', options }),
    encodeTftp({ op: 'write', path: 'x', mode: 'netascii', options: new Map() }),
    encodeTftp({ op: 'error', code: 8, message: 'User aborted the transfer' }),
    encodeTftp({ op: 'oack', options }),
    encodeTftp({ op: 'data', block: 1, data: Buffer.alloc(8) }),
  ];
  let transfer: Transfer | undefined;
  let sent = 0;
  for (let round = 0; round < count; round++) {
    if (transfer === undefined || transfer.state === 'done' || transfer.state === 'failed') {
      const request = decodeTftp(mutated(requests[0] ?? file, random));
      if ('refused' in request || request.op !== 'read') continue;
      transfer = createTransfer(file.subarray(0, random.integer(file.length)), request.options);
      sent += check(transfer, { packets: advance(transfer, { type: 'start' }), round });
      continue;
    }
    const honest = encodeTftp({
      op: 'ack',
      block: (transfer.acknowledged + random.integer(transfer.windowBlocks + 1)) & 0xffff,
    });
    const bytes = random.once(2) ? honest : random.once(8) ? (requests[random.integer(5)] ?? honest) : honest;
    const packet: TftpPacket | { refused: string } = decodeTftp(random.once(3) ? mutated(bytes, random) : bytes);
    const event =
      'refused' in packet || random.once(20) ? ({ type: 'timeout' } as const) : ({ type: 'packet', packet } as const);
    sent += check(transfer, { packets: advance(transfer, event), round });
  }
  return sent;
}

function check(transfer: Transfer, { packets, round }: { packets: Buffer[]; round: number }): number {
  const wait = waitMs(transfer);
  if (packets.length > transfer.windowBlocks) throw new Error(`round ${round}: ${packets.length} packets at once`);
  if (transfer.acknowledged > transfer.sent || transfer.sent > transfer.totalBlocks)
    throw new Error(`round ${round}: ${transfer.acknowledged} of ${transfer.sent} of ${transfer.totalBlocks} blocks`);
  if (packets.some(({ length }) => length > transfer.blockBytes + 4 && transfer.state !== 'offering'))
    throw new Error(`round ${round}: a block larger than ${transfer.blockBytes}`);
  if (!(wait >= 1000 && wait <= 255_000)) throw new Error(`round ${round}: a wait of ${wait} ms`);
  return packets.length;
}
