// Boards that take DHCP leases one after another: no machines, only what they say. The program that plays them runs on the
// far end of the cable that hangs in the rack's bridge (`startBoards`), and says it by `takeLeases`.
import type { ChildProcess } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { fileURLToPath } from 'node:url';
import { deviceSocketsVariable, inheritedSockets, withDeviceSockets } from '../../boot/device-sockets.ts';
import { option } from '../../boot/dhcp/option.ts';
import { decodePacket, encodePacket } from '../../boot/dhcp/packet.ts';
import { addressBytes, boardPacket } from '../../boot/dhcp/world.fixture.ts';
import type { Ipv4 } from '../../protocol/ipv4.ts';
import { parseMac, type Mac } from '../../protocol/mac.ts';
import { rackAddress, type RackNetwork } from './rack-network.ts';
import { startTied } from './tied-process.ts';

/** A server that is away, or under load, hears nothing: ask again. */
const againMs = 200;

/** Starts `node PROGRAM ARGUMENTS` with what `takeLeases` needs. Its standard output is a pipe. */
export function startBoards(
  network: RackNetwork,
  { program, args = [] }: { program: URL; args?: readonly string[] },
): Promise<ChildProcess> {
  const sockets = [{ name: 'client', address: '0.0.0.0', port: 68 }];
  const command = [process.execPath, '--disable-warning=ExperimentalWarning', fileURLToPath(program), ...args];
  const boards = withDeviceSockets({ interface: 'carrier1', sockets, command });
  // Client and server share one namespace and so one address, which the kernel takes for a forgery unless it is told.
  const accept = 'echo 1 >/proc/sys/net/ipv4/conf/all/accept_local; exec "$@"';
  return startTied(network.inside(['sh', '-c', accept, 'sh', ...boards]), { stdio: ['ignore', 'pipe', 'inherit'] });
}

export interface Boards {
  /** The first three bytes of their MACs, `02:00:01`. */
  prefix: string;
  /** The numbers of the first and of the one after the last, who is the first again; below 2^24. */
  from: number;
  to: number;
  /** For each lease that was acknowledged. */
  readonly taken: (lease: { mac: Mac; ip: Ipv4 }) => void;
}

/** Discovers, requests, tells, and goes on with the next board, until the process ends. */
export function takeLeases({ prefix, from, to, taken }: Boards): void {
  const fd = inheritedSockets(process.env[deviceSocketsVariable]).get('client');
  if (fd === undefined) throw new Error('want to be started by boot/sockets.pl with a socket named client');
  const socket = createSocket('udp4');
  let board = from;
  const say = (bytes: Buffer) => socket.send(bytes, 67, '255.255.255.255');
  const discover = () => say(encodePacket(boardPacket('discover', { mac: macOf(prefix, board), xid: board })));
  socket.on('message', (bytes) => {
    const packet = decodePacket(bytes);
    if ('refused' in packet || packet.mac !== macOf(prefix, board)) return;
    if (packet.type === 'offer')
      say(
        encodePacket(
          boardPacket('request', {
            mac: packet.mac,
            xid: board,
            options: [
              [option.requestedAddress, addressBytes(packet.yiaddr)],
              [option.serverId, addressBytes(rackAddress)],
            ],
          }),
        ),
      );
    if (packet.type !== 'ack') return;
    taken({ mac: packet.mac, ip: packet.yiaddr });
    board = board + 1 < to ? board + 1 : from;
    discover();
  });
  socket.bind({ fd }, () => {
    socket.setBroadcast(true);
    discover();
  });
  setInterval(discover, againMs);
}

function macOf(prefix: string, board: number): Mac {
  const digits = board.toString(16).padStart(6, '0');
  const mac = parseMac(`${prefix}:${digits.slice(0, 2)}:${digits.slice(2, 4)}:${digits.slice(4)}`);
  if (mac === undefined) throw new Error(`cannot make a MAC address of ${prefix} and ${board}`);
  return mac;
}
