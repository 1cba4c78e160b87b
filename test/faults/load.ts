// A program: everything that a busy rack asks of its controller besides permits, until it is killed. DHCP from the
// inherited socket `client`, TFTP and HTTP boot downloads from our own address.
//
//   node load.ts CONTROLLER KERNEL_PATH    prints one JSON line a second: what was done so far
import { execFileSync } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { get } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import { option } from '../../boot/dhcp/option.ts';
import { addressBytes, boardPacket } from '../../boot/dhcp/world.fixture.ts';
import { decodePacket, encodePacket } from '../../boot/dhcp/packet.ts';
import { deviceSocketsVariable, inheritedSockets } from '../../boot/device-sockets.ts';
import { parseMac, type Mac } from '../../protocol/mac.ts';
import { fetchFile } from '../bench/tftp-client.ts';

const [controller = '', kernelPath = ''] = process.argv.slice(2);
const boards = 64;
const downloads = 8;
const tftpDownloads = 2;
const counts = { leases: 0, downloads: 0, files: 0 };

function macOf(board: number): Mac {
  const mac = parseMac(`02:00:02:00:00:${board.toString(16).padStart(2, '0')}`);
  if (mac === undefined) throw new Error(`cannot make a MAC address of ${board}`);
  return mac;
}

function leases(fd: number): void {
  const socket = createSocket('udp4');
  const say = (bytes: Buffer): void => socket.send(bytes, 67, '255.255.255.255');
  let board = 0;
  const discover = (): void => {
    board = (board + 1) % boards;
    say(encodePacket(boardPacket('discover', { mac: macOf(board), xid: board })));
  };
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
              [option.serverId, addressBytes(controller)],
            ],
          }),
        ),
      );
    if (packet.type !== 'ack') return;
    if (counts.leases++ === 0) loadFrom(packet.yiaddr);
    discover();
  });
  socket.bind({ fd }, () => {
    socket.setBroadcast(true);
    discover();
  });
  setInterval(discover, 200);
}

function download(url: string, from: string): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  get(url, { agent: false, localAddress: from }, (answer) => {
    answer.on('data', () => undefined).once('close', resolve);
  }).once('error', reject);
  return promise;
}

/** A refusal under load is no end: it is tried again, as a board does. */
async function forever(work: () => Promise<void>): Promise<never> {
  for (;;) {
    try {
      await work();
    } catch (error) {
      process.stderr.write(`${String(error)}\n`);
      await delay(500);
    }
  }
}

/** The boot server knows boards by the addresses that it leased. */
function loadFrom(address: string): void {
  execFileSync('ip', ['address', 'replace', `${address}/32`, 'dev', 'lo']);
  for (let i = 0; i < downloads; i++)
    void forever(async () => {
      await download(`http://${controller}:8480${kernelPath}`, address);
      counts.downloads++;
    });
  for (let i = 0; i < tftpDownloads; i++)
    void forever(async () => {
      await fetchFile('ipxe.efi', { from: address, to: controller, port: 69 });
      counts.files++;
    });
}

const fd = inheritedSockets(process.env[deviceSocketsVariable]).get('client');
if (fd === undefined) throw new Error('want to be started by boot/sockets.pl with a socket named client');
leases(fd);
setInterval(() => process.stdout.write(`${JSON.stringify(counts)}\n`), 500);
