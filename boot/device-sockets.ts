import { fileURLToPath } from 'node:url';
import type { Ipv4 } from '../protocol/ipv4.ts';

/** A UDP socket that hears one interface only. */
export interface DeviceSocket {
  /** Lower-case letters: `dhcp`, `tftp`, `udp`. */
  name: string;
  address: Ipv4;
  port: number;
}

/** The variable that `sockets.pl` leaves in the environment of the program it becomes. */
export const deviceSocketsVariable = 'MUSTER_SOCKETS';

/** The command line that opens the sockets and then becomes `command`. The first word is the program. */
export function withDeviceSockets(wanted: {
  interface: string;
  sockets: readonly DeviceSocket[];
  command: readonly string[];
}): string[] {
  const launcher = fileURLToPath(new URL('sockets.pl', import.meta.url));
  const sockets = wanted.sockets.map(({ name, address, port }) => `${name}=${address}:${port}`);
  return ['perl', launcher, wanted.interface, ...sockets, '--', ...wanted.command];
}

/** The descriptors by name, from the value of `MUSTER_SOCKETS`; empty where it is not set. Throws where it is garbled. */
export function inheritedSockets(variable: string | undefined): ReadonlyMap<string, number> {
  const sockets = new Map<string, number>();
  for (const entry of (variable ?? '').split(',').filter((part) => part !== '')) {
    const match = /^([a-z]+)=(\d+)$/.exec(entry);
    if (match?.[1] === undefined) throw new Error(`cannot read ${deviceSocketsVariable}: '${entry}', want NAME=NUMBER`);
    sockets.set(match[1], Number(match[2]));
  }
  return sockets;
}
