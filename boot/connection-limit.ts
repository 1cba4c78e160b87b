// How many TCP connections a server holds, and whose. A connection costs a descriptor and memory, and where it speaks TLS a
// millisecond of the processor that permits wait for; all of it is given to whoever comes.
//
// A connection is *unproven* until its server says that a request on it came from somebody it knows. Where there are too many,
// the unproven one that has waited longest makes room: who is known is not turned away for strangers. The limits hold before
// the server hears of a connection, so what is refused costs an accept and a close.
import type { Server, Socket } from 'node:net';
import { handshakeTurns } from './handshake-turns.ts';

export interface ConnectionLimits {
  /** All connections together. */
  total: number;
  /** Of one address. */
  perAddress: number;
  /** A TLS server's handshakes that are under way at once; the rest wait their turn. Left out where there is no TLS. */
  handshakes?: number;
  /** Told of each connection that was closed for these limits. */
  onRefused?: () => void;
}

export interface ConnectionGate {
  readonly open: number;
  readonly refused: number;
  /** A request on this connection came from somebody who is known. */
  prove(socket: { remoteAddress?: string | undefined; remotePort?: number | undefined }): void;
}

interface Held {
  socket: Socket;
  address: string;
}

/** Call it before the server listens, when nothing but the server itself listens to its `connection` event. */
export function limitConnections(server: Server, limits: ConnectionLimits): ConnectionGate {
  const serve = server.listeners('connection');
  server.removeAllListeners('connection');
  const held = new Map<string, Held>();
  /** In the order in which they came. */
  const unproven = new Map<string, Held>();
  const perAddress = new Map<string, number>();
  const turns = limits.handshakes === undefined ? undefined : handshakeTurns({ most: limits.handshakes, hand, refuse });
  let refused = 0;

  server.on('connection', (socket: Socket) => {
    const key = keyOf(socket);
    const address = socket.remoteAddress ?? '';
    const count = perAddress.get(address) ?? 0;
    if (count >= limits.perAddress || !hasRoom()) {
      refuse(socket);
      return;
    }
    perAddress.set(address, count + 1);
    const one: Held = { socket, address };
    held.set(key, one);
    unproven.set(key, one);
    socket.once('close', () => forget(key, one));
    if (turns === undefined) hand(socket);
    else turns.enter(key, socket);
  });
  if (turns !== undefined) server.on('secureConnection', (socket: Socket) => turns.done(keyOf(socket)));

  function hasRoom(): boolean {
    if (held.size < limits.total) return true;
    const [oldest] = unproven;
    if (oldest === undefined) return false;
    const [key, one] = oldest;
    refuse(one.socket);
    // Its `close` comes later: until then it must not be counted, nor chosen again.
    forget(key, one);
    return true;
  }

  function forget(key: string, one: Held): void {
    if (held.get(key) !== one) return;
    held.delete(key);
    unproven.delete(key);
    const left = (perAddress.get(one.address) ?? 1) - 1;
    if (left === 0) perAddress.delete(one.address);
    else perAddress.set(one.address, left);
    turns?.done(key);
  }

  function refuse(socket: Socket): void {
    refused++;
    limits.onRefused?.();
    socket.destroy();
  }

  function hand(socket: Socket): void {
    for (const listener of serve) Reflect.apply(listener, server, [socket]);
  }

  return {
    get open() {
      return held.size;
    },
    get refused() {
      return refused;
    },
    prove: (socket) => void unproven.delete(keyOf(socket)),
  };
}

/** The TLS socket that a request comes by is another object than the one that was accepted, of the same peer. */
function keyOf({ remoteAddress = '', remotePort = 0 }: Parameters<ConnectionGate['prove']>[0]): string {
  return `${remoteAddress} ${remotePort}`;
}
