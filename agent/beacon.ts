// The ZRE beacon: "I am here", each second, to the interface's broadcast address (RFC 36) and to 224.0.0.250, where gyre and
// Sleuth listen. It is a claim, proven by nothing: the controller lists what it hears as seen, no more.
import { createHash } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { networkInterfaces } from 'node:os';
import { encodeBeacon } from '../protocol/beacon.ts';
import { broadcastOf } from '../protocol/ipv4.ts';
import { beaconIntervalMs } from '../protocol/timing.ts';

const multicastGroup = '224.0.0.250';

export interface BeaconOptions {
  interface: string;
  mac: string;
  bootId: string;
  /** UDP port that beacons go to. Also the mailbox port they carry: nodes have no mailbox, but 0 would mean "leaving". */
  port: number;
}

export interface BeaconSender extends AsyncDisposable {
  uuid: Buffer;
}

/** One for each boot of a board: a rebooted board is a new peer, an agent that restarts is not. */
export function beaconUuid(mac: string, bootId: string): Buffer {
  return createHash('sha256').update(`${mac} ${bootId}`).digest().subarray(0, 16);
}

/** Says goodbye (port 0) when it is disposed of. */
export function startBeacon(options: BeaconOptions): BeaconSender {
  const uuid = beaconUuid(options.mac, options.bootId);
  const socket = createSocket('udp4');
  // An interface without a cable or an address: the next second may be better.
  socket.on('error', () => {});
  let multicastFrom = '';

  async function send(port: number): Promise<void> {
    const address = ipv4Of(options.interface);
    if (address === undefined) return;
    const bytes = encodeBeacon({ uuid, port });
    const targets = [broadcastOf(address.address, address.netmask)];
    if (sendsMulticastFrom(address.address)) targets.push(multicastGroup);
    await Promise.all(
      targets.map(
        (target) => new Promise<void>((resolve) => socket.send(bytes, options.port, target, () => resolve())),
      ),
    );
  }

  /** False where the address left the interface between the two system calls. */
  function sendsMulticastFrom(address: string): boolean {
    if (multicastFrom === address) return true;
    try {
      socket.setMulticastInterface(address);
    } catch (error) {
      if (error instanceof Error && 'code' in error) return false;
      throw error;
    }
    multicastFrom = address;
    return true;
  }

  let timer: NodeJS.Timeout | undefined;
  socket.bind(0, () => {
    socket.setBroadcast(true);
    socket.setMulticastTTL(1);
    void send(options.port);
    timer = setInterval(() => void send(options.port), beaconIntervalMs);
  });

  return {
    uuid,
    async [Symbol.asyncDispose]() {
      clearInterval(timer);
      await send(0);
      socket.close();
    },
  };
}

export function ipv4Of(name: string): { address: string; netmask: string; cidr: string } | undefined {
  for (const each of networkInterfaces()[name] ?? [])
    if (each.family === 'IPv4' && each.cidr !== null)
      return { address: each.address, netmask: each.netmask, cidr: each.cidr };
  return undefined;
}
