import assert from 'node:assert/strict';
import { test } from 'node:test';
import { mutated, seededRandom } from '../../test/fuzz/random.ts';
import { capturedRequests } from './capture.ts';
import { option, optionName } from './option.ts';
import { type Packet, decodePacket, encodePacket } from './packet.ts';
import { boardPacket } from './world.fixture.ts';

function decoded(bytes: Uint8Array): Packet {
  const packet = decodePacket(bytes);
  assert.ok(!('refused' in packet), JSON.stringify(packet));
  return packet;
}

/** A DISCOVER whose options field is exactly these bytes. */
function withOptions(options: number[], fields: { file?: number[]; sname?: number[] } = {}): Buffer {
  const bytes = Buffer.alloc(240 + options.length);
  encodePacket(boardPacket('discover')).copy(bytes, 0, 0, 240);
  bytes.set(options, 240);
  if (fields.sname !== undefined) bytes.set(fields.sname, 44);
  if (fields.file !== undefined) bytes.set(fields.file, 108);
  return bytes;
}

test('encodePacket() pads to 300 bytes, for relays and firmware that drop less', () => {
  assert.equal(encodePacket(boardPacket('discover')).length, 300);
});

test('a value of more than 255 bytes goes on in the next option of its number, and is joined again', () => {
  const value = Buffer.alloc(700, 'x');
  const bytes = encodePacket(boardPacket('discover', { options: [[option.bootFile, value]] }));
  assert.deepEqual(decoded(bytes).options.get(option.bootFile), value);
});

test('options in file and sname are read where option 52 says so, in the order of RFC 3396', () => {
  const packet = decoded(
    withOptions([53, 1, 1, 52, 1, 3, 67, 1, 0x61, 255], { file: [67, 1, 0x62, 255], sname: [67, 1, 0x63, 255] }),
  );
  assert.equal(Buffer.from(packet.options.get(67) ?? []).toString(), 'abc');
  assert.deepEqual([packet.file, packet.sname], ['', '']);
});

test('padding is one byte long, and a missing end is forgiven', () => {
  assert.equal(decoded(withOptions([0, 0, 0, 53, 1, 1])).type, 'discover');
});

test('decodePacket() says what is wrong', () => {
  const good = encodePacket(boardPacket('discover'));
  const table: [string, Buffer, RegExp][] = [
    ['nothing', Buffer.alloc(0), /^0 bytes, want at least 240/],
    ['cut in the header', good.subarray(0, 239), /^239 bytes/],
    ['op 3', withByte(good, 0, 3), /op 3 for discover, want 1/],
    ['a question that calls itself an answer', withByte(good, 0, 2), /op 2 for discover, want 1/],
    [
      'an answer that calls itself a question',
      withByte(encodePacket(boardPacket('offer')), 0, 1),
      /op 1 for offer, want 2/,
    ],
    ['token ring', withByte(good, 1, 6), /type 6 and 6 bytes, want Ethernet/],
    ['a long address', withByte(good, 2, 16), /type 1 and 16 bytes/],
    ['plain BOOTP', withByte(good, 236, 0), /no DHCP cookie/],
    ['no type', withOptions([255]), /message type missing/],
    ['type of two bytes', withOptions([53, 2, 1, 1, 255]), /message type 0101/],
    ['type 9', withOptions([53, 1, 9, 255]), /message type 09/],
    ['option without length', withOptions([53, 1, 1, 61]), /option 61 has no length/],
    ['option past the end', withOptions([53, 1, 1, 61, 7, 1]), /option 61 of 7 bytes, want at most the 1/],
    ['overload 4', withOptions([53, 1, 1, 52, 1, 4, 255]), /overload 4/],
    ['overloaded file past its end', withOptions([53, 1, 1, 52, 1, 1, 255], { file: [12, 200] }), /option 12 of 200/],
  ];
  for (const [name, bytes, wanted] of table) {
    const packet = decodePacket(bytes);
    assert.ok('refused' in packet, name);
    assert.match(packet.refused, wanted, name);
  }
});

test('encodePacket() refuses what does not fit in one frame', () => {
  const options: [number, Uint8Array][] = [[option.bootFile, Buffer.alloc(1300)]];
  assert.throws(() => encodePacket(boardPacket('offer', { options })), /the packet has 1472 bytes/);
  assert.throws(
    () => encodePacket(boardPacket('offer', { file: 'x'.repeat(129) })),
    /file: 129 bytes, want at most 128/,
  );
});

test('what decodes, encodes, and decodes to the same', () => {
  const random = seededRandom(1);
  const seeds = capturedRequests('uefi-pxe-ipxe-http.pcap');
  let survived = 0;
  for (let round = 0; round < 5000; round++) {
    const packet = decodePacket(mutated(seeds[random.integer(seeds.length)] ?? Buffer.alloc(0), random));
    if ('refused' in packet || [...packet.options.values()].reduce((sum, { length }) => sum + length + 8, 0) > 1000)
      continue;
    survived++;
    assert.deepEqual(decodePacket(encodePacket(packet)), packet, `round ${round}`);
  }
  assert.ok(survived > 500, `${survived} mutated packets were still packets`);
});

test('optionName() names what the log shows', () => {
  assert.equal(optionName(1), '1 Subnet Mask');
  assert.equal(optionName(93), '93 Client System Architecture');
  assert.equal(optionName(254), '254');
});

// oxlint-disable-next-line max-params -- as Buffer's own: what into, where, what
function withByte(bytes: Buffer, at: number, value: number): Buffer {
  const copy = Buffer.from(bytes);
  copy[at] = value;
  return copy;
}
