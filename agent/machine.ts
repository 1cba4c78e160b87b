// What the agent's thread needs of the machine that it runs on: two clocks, timers, randomness, a socket. Named here, so that
// the same loop runs against a made-up machine in the simulation.
import { randomBytes } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { loadavg, uptime } from 'node:os';
import { performance } from 'node:perf_hooks';
import { sleeplessClock } from './sleepless-clock.ts';

/** The part of a UDP socket that is used. */
export interface DatagramSocket {
  on(event: 'message', listener: (bytes: Buffer) => void): unknown;
  on(event: 'error', listener: (error: Error) => void): unknown;
  /** From then on only datagrams from there arrive. */
  connect(port: number, host: string, callback: (error?: Error) => void): void;
  send(bytes: Buffer, callback: (error: Error | null) => void): void;
  close(): void;
}

export interface Machine {
  /** Monotonic ms, through a suspend too: permits are counted on it. */
  now: () => number;
  /** Since the kernel started; goes on while an agent restarts. */
  uptimeSeconds: () => number;
  load: () => number;
  randomBytes: (length: number) => Buffer;
  /** Calls once, that much later, and gives what cancels it. */
  later: (callback: () => void, ms: number) => () => void;
  openSocket: () => DatagramSocket;
}

export const thisMachine: Machine = {
  now: sleeplessClock({ monotonicMs: () => performance.now(), uptimeSeconds: uptime }),
  uptimeSeconds: uptime,
  load: () => loadavg()[0] ?? 0,
  randomBytes,
  later(callback, ms) {
    const timer = setTimeout(callback, ms);
    return () => clearTimeout(timer);
  },
  openSocket: () => createSocket('udp4'),
};
