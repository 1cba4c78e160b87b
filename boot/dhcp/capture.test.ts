// Every packet that real firmware sent to a DHCP server, in order, and what ours decides. The golden text is
// testdata/decisions.txt; `node boot/dhcp/capture.golden.ts > boot/dhcp/testdata/decisions.txt` writes it anew.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import dhcpProtocol from 'dhcp/lib/protocol.js';
import { decisions } from './capture.golden.ts';
import { captured, captures } from './capture.ts';
import { decodePacket, encodePacket } from './packet.ts';

test('the server answers the captured packets of real firmware as the golden text says', () => {
  const golden = readFileSync(new URL('testdata/decisions.txt', import.meta.url), 'utf8');
  assert.equal(decisions(), golden);
});

test('every captured DHCP packet survives decode, encode and decode', () => {
  for (const name of captures)
    for (const { payload, destinationPort } of captured(name)) {
      if (destinationPort !== 67 && destinationPort !== 68) continue;
      const packet = decodePacket(payload);
      assert.ok(!('refused' in packet), `${name}: ${JSON.stringify(packet)}`);
      assert.deepEqual(decodePacket(encodePacket(packet)), packet);
    }
});

test('the dhcp package reads in our encoding of captured packets what we read', () => {
  for (const name of captures)
    for (const { payload, destinationPort } of captured(name)) {
      if (destinationPort !== 68) continue;
      const packet = decodePacket(payload);
      assert.ok(!('refused' in packet));
      const theirs = dhcpProtocol.parse(encodePacket(packet));
      assert.deepEqual(
        [theirs.xid, theirs.yiaddr, theirs.siaddr, theirs.file, theirs.chaddr],
        [packet.xid, packet.yiaddr, packet.siaddr, packet.file, packet.mac.toUpperCase().replaceAll(':', '-')],
      );
    }
});
