import assert from 'node:assert/strict';
import { test } from 'node:test';
import { mutated, seededRandom } from '../../test/fuzz/random.ts';
import { type TftpPacket, decodeTftp, encodeTftp } from './packet.ts';
import { type Transfer, advance, createTransfer, waitMs } from './transfer.ts';

const start = { type: 'start' } as const;
const timeout = { type: 'timeout' } as const;
const ack = (block: number) => ({ type: 'packet', packet: { op: 'ack', block } }) as const;

/** `1 2 3` for the data blocks sent, `oack name=value` for an OACK. */
function sent(packets: Uint8Array[]): string {
  return packets.map((bytes) => describe(decodeTftp(bytes))).join(' ');
}

function describe(packet: TftpPacket | { refused: string }): string {
  if ('refused' in packet) return packet.refused;
  if (packet.op === 'data') return String(packet.block);
  if (packet.op === 'oack') return `oack ${[...packet.options].map((pair) => pair.join('=')).join(' ')}`;
  return packet.op;
}

function options(text: string): Map<string, string> {
  return new Map(text.split(' ').flatMap((pair) => (pair === '' ? [] : [pair.split('=') as [string, string]])));
}

function transfer(sizeBytes: number, asked = ''): Transfer {
  return createTransfer(Buffer.alloc(sizeBytes, 1), options(asked));
}

test('a client without options gets blocks of 512 bytes, one at a time, and a short last one', () => {
  const it = transfer(1000);
  assert.equal(sent(advance(it, start)), '1');
  assert.equal(sent(advance(it, ack(1))), '2');
  assert.equal(sent(advance(it, ack(2))), '');
  assert.equal(it.state, 'done');
});

test('a file that fills its last block ends with an empty one', () => {
  const it = transfer(512);
  advance(it, start);
  assert.deepEqual(advance(it, ack(1)), [encodeTftp({ op: 'data', block: 2, data: Buffer.alloc(0) })]);
});

test('options are granted within our bounds, and unknown or senseless ones passed over', () => {
  const table: [string, string][] = [
    ['timeout=5 blksize=1468', 'oack timeout=5 blksize=1468'],
    ['tsize=0 blksize=1468 windowsize=4', 'oack tsize=100 blksize=1468 windowsize=4'],
    ['blksize=65464', 'oack blksize=1468'],
    ['windowsize=64', 'oack windowsize=16'],
    ['blksize=7 windowsize=0 timeout=0 multicast=', '1'],
    ['blksize=1e3 timeout=99999999999999999999', '1'],
  ];
  for (const [asked, wanted] of table) assert.equal(sent(advance(transfer(100, asked), start)), wanted, asked);
});

test('an OACK waits for ACK 0', () => {
  const it = transfer(100, 'blksize=64');
  advance(it, start);
  assert.equal(sent(advance(it, ack(1))), '');
  assert.equal(sent(advance(it, ack(0))), '1');
});

test('a window is in flight, and an ACK moves it', () => {
  const it = transfer(1000, 'blksize=100 windowsize=4');
  advance(it, start);
  assert.equal(sent(advance(it, ack(0))), '1 2 3 4');
  assert.equal(sent(advance(it, ack(4))), '5 6 7 8');
  assert.equal(sent(advance(it, ack(6))), '7 8 9 10', 'a lost block 7: from there again');
  assert.equal(sent(advance(it, ack(10))), '11');
  advance(it, ack(11));
  assert.equal(it.state, 'done');
});

test('duplicate ACKs do not multiply what is sent', () => {
  const single = transfer(5000);
  advance(single, start);
  assert.equal(sent(advance(single, ack(1))), '2');
  for (let n = 0; n < 10; n++) assert.equal(sent(advance(single, ack(1))), '');

  const windowed = transfer(5000, 'windowsize=4');
  advance(windowed, start);
  advance(windowed, ack(0));
  assert.equal(sent(advance(windowed, ack(4))), '5 6 7 8');
  assert.equal(sent(advance(windowed, ack(4))), '5 6 7 8', 'once: its first block may be lost');
  for (let n = 0; n < 10; n++) assert.equal(sent(advance(windowed, ack(4))), '');
});

test('ACKs of what was never sent change nothing', () => {
  const it = transfer(5000);
  advance(it, start);
  for (const block of [0, 2, 100, 65535]) assert.equal(sent(advance(it, ack(block))), '', String(block));
  assert.equal(it.acknowledged, 0);
});

test('block numbers roll over to 0', () => {
  const it = transfer(70_000 * 8, 'blksize=8');
  advance(it, start);
  advance(it, ack(0));
  for (let block = 1; block < 65_536; block++) advance(it, ack(block & 0xffff));
  assert.equal(sent(advance(it, ack(0))), '1');
  assert.equal(it.acknowledged, 65_536);
});

test('a lost packet is repeated five times, ever more slowly up to what the client allows, then given up', () => {
  const it = transfer(100, 'timeout=5');
  advance(it, start);
  const waits: number[] = [];
  while (it.state !== 'failed') {
    waits.push(waitMs(it));
    advance(it, timeout);
  }
  assert.deepEqual(waits, [1000, 2000, 4000, 5000, 5000, 5000]);
  assert.match(it.failure, /no answer to 5 repetitions/);
});

test('an ERROR ends the transfer: EDK2 sends one when it has learnt the size', () => {
  const it = transfer(100, 'tsize=0');
  advance(it, start);
  advance(it, { type: 'packet', packet: { op: 'error', code: 8, message: 'User aborted the transfer' } });
  assert.equal(it.state, 'failed');
});

test('requests are read as firmware writes them', () => {
  const table: [string, string][] = [
    ['0001 66 00 6f6374657400', 'read f octet '],
    ['0001 6600 4f4354455400 54696d656f757400 3500', 'read f octet timeout=5'],
    ['0001 6600 6f6374657400 626c6b73697a6500 313436 3800 0000', 'read f octet blksize=1468'],
    ['0002 6600 6f6374657400', 'write f octet '],
    ['0001 6600 6f63746574', 'a request without a name or a mode'],
    ['0001 00 6f6374657400', 'a request without a name or a mode'],
    ['0001 6600 6f6374657400 6100 3100 4100 3200', 'the option a twice'],
    ['0009 0000', 'opcode 9, want 1 to 6'],
    ['0001 00', '3 bytes, want at least 4'],
    [`0001 ${'61'.repeat(600)} 00 6f6374657400`, 'a request of 609 bytes, want at most 512'],
  ];
  for (const [hex, wanted] of table) {
    const packet = decodeTftp(Buffer.from(hex.replaceAll(' ', ''), 'hex'));
    const text =
      'refused' in packet
        ? packet.refused
        : packet.op === 'read' || packet.op === 'write'
          ? `${packet.op} ${packet.path} ${packet.mode} ${[...packet.options].map((pair) => pair.join('=')).join(' ')}`
          : packet.op;
    assert.equal(text, wanted, hex);
  }
});

/** A client that follows RFC 7440 to the letter, over a wire that loses, doubles and reorders. */
test('files arrive whole over a wire that loses one packet in ten and doubles one in ten', () => {
  for (let seed = 1; seed <= 40; seed++) {
    const random = seededRandom(seed);
    const file = random.bytes(random.integer(60_000));
    const windowsize = random.pick([1, 2, 4, 16]);
    const it = createTransfer(file, options(`blksize=512 windowsize=${windowsize}`));
    const received: Buffer[] = [];
    let sentPackets = 0;
    let wire = advance(it, start);
    for (let round = 0; it.state !== 'done'; round++) {
      assert.ok(it.state !== 'failed' && round < 20_000, `seed ${seed}: ${it.state} ${it.failure}`);
      sentPackets += wire.length;
      const replies: number[] = [];
      let inWindow = 0;
      let gap = false;
      for (const bytes of lossy(wire, random)) {
        const packet = decodeTftp(bytes);
        if ('refused' in packet) assert.fail(packet.refused);
        if (packet.op === 'oack') replies.push(0);
        if (packet.op !== 'data') continue;
        const wanted = (received.length + 1) & 0xffff;
        if (packet.block === wanted) {
          received.push(Buffer.from(packet.data));
          if (++inWindow === windowsize || packet.data.length < 512) replies.push(packet.block);
        } else if (!gap) {
          replies.push(received.length & 0xffff); // a gap: what I have in order, said once
          gap = true;
        }
      }
      wire = lossy(replies, random).flatMap((block) => advance(it, ack(block)));
      if (wire.length === 0) wire = advance(it, timeout);
    }
    assert.deepEqual(Buffer.concat(received), file, `seed ${seed}`);
    assert.ok(
      sentPackets < 60 + it.totalBlocks * 8,
      `seed ${seed}: ${sentPackets} packets for ${it.totalBlocks} blocks`,
    );
  }
});

function lossy<T>(wire: readonly T[], random: ReturnType<typeof seededRandom>): T[] {
  return wire.flatMap((packet) => (random.once(10) ? [] : random.once(10) ? [packet, packet] : [packet]));
}

test('no sequence of packets makes a transfer throw, or send more than a window', () => {
  const random = seededRandom(7);
  const seeds = [ack(0), ack(1), ack(65535)].map(({ packet }) => encodeTftp(packet));
  for (let round = 0; round < 500; round++) {
    const it = transfer(random.integer(5000), random.pick(['', 'windowsize=16', 'blksize=8 windowsize=3', 'tsize=0']));
    advance(it, start);
    for (let step = 0; step < 40; step++) {
      const packet = decodeTftp(mutated(random.pick([seeds[0] ?? Buffer.alloc(4), ...seeds]), random));
      const packets = 'refused' in packet ? advance(it, timeout) : advance(it, { type: 'packet', packet });
      assert.ok(packets.length <= it.windowBlocks);
    }
  }
});
