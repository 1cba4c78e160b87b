// The socket that permits come by. Connected: the kernel drops what does not come from the controller's address and port. A
// connected socket also keeps the address that the node had at that time, so a silent one is replaced: opened again.
import type { Endpoint } from '../../protocol/ipv4.ts';
import type { DatagramSocket, Machine } from '../machine.ts';

export interface ControllerSocketOptions {
  controller: Endpoint;
  machine: Pick<Machine, 'now' | 'openSocket'>;
  onMessage: (bytes: Buffer) => void;
  onConnected: () => void;
}

export interface ControllerSocket extends Disposable {
  /** In place of the one before. */
  open: () => void;
  openedMs: () => number;
  isConnected: () => boolean;
  send: (bytes: Buffer) => void;
}

export function controllerSocket({
  controller,
  machine,
  onMessage,
  onConnected,
}: ControllerSocketOptions): ControllerSocket {
  let socket: DatagramSocket | undefined;
  let connected = false;
  let openedMs = 0;
  return {
    open() {
      socket?.close();
      connected = false;
      openedMs = machine.now();
      const opened = machine.openSocket();
      socket = opened;
      opened.on('message', onMessage);
      // ECONNREFUSED while the controller restarts, ENETUNREACH without an address.
      opened.on('error', () => {});
      opened.connect(controller.port, controller.host, (error?: Error) => {
        if (error !== undefined || socket !== opened) return;
        connected = true;
        onConnected();
      });
    },
    openedMs: () => openedMs,
    isConnected: () => connected,
    // A refused send (controller or cable away) is the same as a lost datagram: silence says it all.
    send: (bytes) => socket?.send(bytes, () => {}),
    [Symbol.dispose]() {
      socket?.close();
      socket = undefined;
      connected = false;
    },
  };
}
