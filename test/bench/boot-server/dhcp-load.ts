// A program, started by `startBoards`: a rack's boards DISCOVER in turn, so many times a second whether or not anybody
// answers, and take what they are offered.
//
//   node test/bench/boot-server/dhcp-load.ts BOARDS PER_SECOND SECONDS     prints {"sent", "offers", "exchanges"}
import { createSocket } from 'node:dgram';
import { deviceSocketsVariable, inheritedSockets } from '../../../boot/device-sockets.ts';
import { option } from '../../../boot/dhcp/option.ts';
import { encodePacket } from '../../../boot/dhcp/packet.ts';
import { addressBytes, boardPacket } from '../../../boot/dhcp/world.fixture.ts';
import { rackAddress } from '../../qemu/rack-network.ts';
import { boardMac } from '../seeded-store.ts';

const [boards = 0, perSecond = 0, seconds = 0] = process.argv.slice(2).map(Number);
/** As a burst of the kernel's queues. */
const tickMs = 5;
const at = { xid: 4, yiaddr: 16, chaddr: 28, type: 242, requested: 245 };
const types = { offer: 2, ack: 5 };

/** U-Boot's, of which the board and the transaction are filled in: encoding each would cost more than the server does. */
const firmware: [number, Uint8Array] = [option.clientArch, Uint8Array.of(0, 0x16)];
const discover = encodePacket(boardPacket('discover', { options: [firmware] }));
const request = encodePacket(
  boardPacket('request', {
    options: [[option.requestedAddress, Buffer.alloc(4)], [option.serverId, addressBytes(rackAddress)], firmware],
  }),
);
const macs = Array.from({ length: boards }, (_, board) => Buffer.from(boardMac(board).replaceAll(':', ''), 'hex'));

const fd = inheritedSockets(process.env[deviceSocketsVariable]).get('client');
if (fd === undefined) throw new Error('want to be started by boot/sockets.pl with a socket named client');
// oxlint-disable-next-line max-params -- as dns.lookup has it
const socket = createSocket({ type: 'udp4', lookup: (address, _options, found) => found(null, address, 4) });
let [sent, offers, exchanges] = [0, 0, 0];

function send(template: Buffer, fill: (packet: Buffer) => void): void {
  const packet = Buffer.from(template);
  fill(packet);
  socket.send(packet, 67, '255.255.255.255', () => undefined);
}

socket.on('message', (bytes) => {
  if (bytes.length <= at.requested) return;
  const type = bytes.readUInt8(at.type);
  if (type === types.ack) exchanges++;
  if (type !== types.offer) return;
  offers++;
  send(request, (packet) => {
    bytes.copy(packet, at.xid, at.xid, at.xid + 4);
    bytes.copy(packet, at.chaddr, at.chaddr, at.chaddr + 6);
    bytes.copy(packet, at.requested, at.yiaddr, at.yiaddr + 4);
  });
});
socket.bind({ fd }, () => {
  socket.setBroadcast(true);
  const startedAt = performance.now();
  const sending = setInterval(() => {
    const elapsed = (performance.now() - startedAt) / 1000;
    if (elapsed >= seconds) {
      clearInterval(sending);
      process.stdout.write(`${JSON.stringify({ sent, offers, exchanges })}\n`, () => process.exit());
      return;
    }
    // What a late tick missed is not caught up with: that would be another load.
    const due = Math.min(elapsed * perSecond - sent, (perSecond * tickMs * 4) / 1000);
    for (let count = 0; count < due; count++) {
      const board = sent++ % boards;
      send(discover, (packet) => {
        packet.writeUInt32BE(sent, at.xid);
        macs[board]?.copy(packet, at.chaddr);
      });
    }
  }, tickMs);
});
