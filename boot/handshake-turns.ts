// Whose TLS handshake is next. One costs a millisecond of the processor, so only some are under way at once.
import type { Socket } from 'node:net';

/** One that sent nothing for so long, and whose handshake did not begin. */
const silentMs = 10_000;
/** A handshake may hold up others for so long. */
const handshakeHoldsMs = 1_000;

export interface HandshakeTurnsOptions {
  /** So many at once; the rest wait. */
  most: number;
  /** Its turn has come. */
  hand: (socket: Socket) => void;
  /** It took too long while others waited. */
  refuse: (socket: Socket) => void;
}

export interface HandshakeTurns {
  /** Who connects and says nothing takes nobody's turn. */
  enter: (key: string, socket: Socket) => void;
  /** Its handshake is over, or its connection is. */
  done: (key: string) => void;
}

export function handshakeTurns({ most, hand, refuse }: HandshakeTurnsOptions): HandshakeTurns {
  const waiting = new Map<string, Socket>();
  const underWay = new Map<string, { socket: Socket; startedAt: number }>();

  function begin(): void {
    for (const [key, socket] of waiting) {
      if (underWay.size >= most && !endSlow()) return;
      // An ended one may have begun others meanwhile.
      if (!waiting.delete(key)) continue;
      underWay.set(key, { socket, startedAt: performance.now() });
      socket.setTimeout(0);
      socket.removeAllListeners('timeout');
      hand(socket);
    }
  }

  /** The one that has been at it longest, where that is too long while others wait. */
  function endSlow(): boolean {
    const [oldest] = underWay;
    if (oldest === undefined) return false;
    const [key, { socket, startedAt }] = oldest;
    if (performance.now() - startedAt < handshakeHoldsMs) return false;
    underWay.delete(key);
    refuse(socket);
    return true;
  }

  return {
    enter(key, socket) {
      socket.on('error', ignore);
      socket.setTimeout(silentMs, () => socket.destroy());
      socket.once('readable', () => {
        if (socket.destroyed) return;
        waiting.set(key, socket);
        begin();
      });
    },
    done(key) {
      waiting.delete(key);
      underWay.delete(key);
      begin();
    },
  };
}

/** A connection that broke closes itself. */
function ignore(): void {}
