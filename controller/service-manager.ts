// What the controller has to do with systemd: sockets that it kept over a restart, and the word that all is well. Without
// systemd nothing of it happens.
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { DeviceSocket } from '../boot/device-sockets.ts';

/** The first descriptor that is handed over, see sd_listen_fds(3). */
const firstDescriptor = 3;
const descriptorLimit = 16;

export interface ManagerVariables {
  notifySocket: string | undefined;
  watchdogUsec: string | undefined;
  listenPid: string | undefined;
  listenFds: string | undefined;
  listenFdNames: string | undefined;
}

export function managerVariables(environment: Readonly<Record<string, string | undefined>>): ManagerVariables {
  return {
    notifySocket: environment['NOTIFY_SOCKET'],
    watchdogUsec: environment['WATCHDOG_USEC'],
    listenPid: environment['LISTEN_PID'],
    listenFds: environment['LISTEN_FDS'],
    listenFdNames: environment['LISTEN_FDNAMES'],
  };
}

/** The sockets that are wanted, by name, as `boot/sockets.pl` stored them; undefined where one of them was not kept. */
export function keptSockets(
  { listenPid, listenFds, listenFdNames }: ManagerVariables,
  wanted: { pid: number; interface: string; sockets: readonly DeviceSocket[] },
): ReadonlyMap<string, number> | undefined {
  const count = Number(listenFds ?? 0);
  if (listenPid !== String(wanted.pid) || !Number.isInteger(count) || count < 1 || count > descriptorLimit)
    return undefined;
  const names = (listenFdNames ?? '').split(':');
  const kept = new Map<string, number>();
  for (const { name, address, port } of wanted.sockets) {
    const at = names.indexOf(`${name}/${wanted.interface}/${address}/${port}`);
    if (at < 0 || at >= count) return undefined;
    kept.set(name, firstDescriptor + at);
  }
  // One more than wanted is of another configuration, and would hold its port for nobody.
  return names.length === wanted.sockets.length ? kept : undefined;
}

/** Tells the service manager until it is disposed. `onFailure`: it could not be told, which ends the service sooner or later. */
export function tellManager(
  { notifySocket, watchdogUsec }: ManagerVariables,
  onFailure: (message: string) => void,
): { ready(status: string): void; stopping(): void } & Disposable {
  if (notifySocket === undefined)
    return { ready: () => undefined, stopping: () => undefined, [Symbol.dispose]: () => undefined };
  const child = spawn('perl', [fileURLToPath(new URL('notify.pl', import.meta.url))], {
    stdio: ['pipe', 'ignore', 'inherit'],
    env: { NOTIFY_SOCKET: notifySocket, PATH: '/usr/bin:/bin' },
  });
  child.on('error', (error) => onFailure(`cannot tell the service manager: ${error.message}`));
  child.on('exit', (code) => {
    if (!stopped) onFailure(`cannot tell the service manager any more: its messenger ended with ${code}`);
  });
  child.stdin.on('error', () => undefined); // it ended, which is said above
  child.unref();
  let stopped = false;
  let timer: NodeJS.Timeout | undefined;
  const say = (line: string): void => void child.stdin.write(`${line}\n`);
  return {
    ready: (status) => {
      say('READY=1');
      say(`STATUS=${status}`);
      const usec = Number(watchdogUsec);
      // By a timer of the event loop that answers permits: where that stands still, so does this.
      if (usec > 0) timer = setInterval(() => say('WATCHDOG=1'), usec / 4_000).unref();
    },
    stopping: () => say('STOPPING=1'),
    [Symbol.dispose]: () => {
      stopped = true;
      clearInterval(timer);
      child.stdin.end();
    },
  };
}
