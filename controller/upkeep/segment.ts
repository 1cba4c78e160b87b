// Asks the segment, as a controller does, who else gives addresses there.
import { createSocket } from 'node:dgram';
import { setTimeout as delay } from 'node:timers/promises';
import { type Neighbour, neighbourIn, question } from '../../boot/dhcp/neighbours.ts';
import { decodePacket, encodePacket } from '../../boot/dhcp/packet.ts';
import { broadcastAddress } from '../../protocol/ipv4.ts';

/** A server looks whether an address is free before it offers it: that takes it a second or two. */
const listenMs = 4_000;
const questionMs = 1_500;
const answerLimit = 16;

/** `fd`: a socket of UDP port 67 on the rack's interface. */
export async function askSegment(fd: number, own: string): Promise<Neighbour[]> {
  const found = new Map<string, Neighbour>();
  const socket = createSocket('udp4');
  socket.on('message', (bytes) => {
    const packet = decodePacket(bytes);
    const neighbour = 'refused' in packet ? undefined : neighbourIn(packet, own);
    if (neighbour !== undefined && found.size < answerLimit) found.set(neighbour.address, neighbour);
  });
  await new Promise<void>((resolve) => socket.bind({ fd }, resolve));
  const bytes = encodePacket(question(own));
  const ask = () => socket.send(bytes, 67, broadcastAddress, () => undefined);
  ask();
  // A datagram may be lost.
  const timer = setTimeout(ask, questionMs);
  await delay(listenMs);
  clearTimeout(timer);
  socket.close();
  return [...found.values()];
}
