// Boards that take DHCP leases one after another, from the inherited socket `client`. Prints `{"mac", "ip"}` for each
// lease that was acknowledged, until it is killed. `node lease-taker.ts FIRST`, a number that no other run counts from.
import { createSocket } from 'node:dgram';
import { addressBytes, boardPacket } from '../../boot/dhcp/world.fixture.ts';
import { decodePacket, encodePacket } from '../../boot/dhcp/packet.ts';
import { option } from '../../boot/dhcp/option.ts';
import { deviceSocketsVariable, inheritedSockets } from '../../boot/device-sockets.ts';
import { parseMac, type Mac } from '../../protocol/mac.ts';

const fd = inheritedSockets(process.env[deviceSocketsVariable]).get('client');
if (fd === undefined) throw new Error('want to be started by boot/sockets.pl with a socket named client');
const socket = createSocket('udp4');
let board = Number(process.argv[2] ?? 0);

const macOf = (number: number): Mac => {
  const digits = number.toString(16).padStart(6, '0');
  const mac = parseMac(`02:00:01:${digits.slice(0, 2)}:${digits.slice(2, 4)}:${digits.slice(4)}`);
  if (mac === undefined) throw new Error(`cannot make a MAC address of ${number}`);
  return mac;
};
const say = (bytes: Buffer) => socket.send(bytes, 67, '255.255.255.255');
const discover = () => say(encodePacket(boardPacket('discover', { mac: macOf(board), xid: board })));

socket.on('message', (bytes) => {
  const packet = decodePacket(bytes);
  if ('refused' in packet || packet.mac !== macOf(board)) return;
  if (packet.type === 'offer')
    say(
      encodePacket(
        boardPacket('request', {
          mac: packet.mac,
          xid: board,
          options: [
            [option.requestedAddress, addressBytes(packet.yiaddr)],
            [option.serverId, addressBytes('10.77.0.1')],
          ],
        }),
      ),
    );
  if (packet.type === 'ack') {
    process.stdout.write(`${JSON.stringify({ mac: packet.mac, ip: packet.yiaddr })}\n`);
    board++;
    discover();
  }
});
socket.bind({ fd }, () => {
  socket.setBroadcast(true);
  discover();
});
// A controller that is away hears nothing: ask again.
setInterval(discover, 500);
