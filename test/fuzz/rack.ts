// What the fuzz tests of a running controller need: its parts over a store in a temporary directory, on loopback, with one
// board that has joined. Composed as `controller/controller.ts` does it, but without the sockets that only root may open.
import { randomBytes } from 'node:crypto';
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { type RollCall, startRollCall } from '../../controller/kill/roll-call/roll-call.ts';
import { type Inventory, openInventory } from '../../inventory/inventory.ts';
import type { JoinRequest } from '../../protocol/api/agent.ts';

export const mac = '02:00:00:c2:00:01';

export interface Rack extends AsyncDisposable {
  directory: string;
  inventory: Inventory;
  rollCall: RollCall;
  rollCallSocket: Socket;
  /** Of the board that has joined. */
  session: { id: string; key: Buffer };
}

export const joinRequest = (token: string): JoinRequest => ({
  mac,
  token,
  bootId: 'boot-1',
  serial: null,
  agentVersion: '',
  sshHostKey: null,
  facts: { model: 'test', cpu: 'test', cores: 4, memoryBytes: 2 ** 31, kernel: '6.12', interfaces: [] },
});

export async function startRack(): Promise<Rack> {
  await using stack = new AsyncDisposableStack();
  const directory = await mkdtemp(join(tmpdir(), 'muster-fuzz-'));
  stack.defer(() => rm(directory, { recursive: true }));
  const inventory = stack.use(await openInventory({ directory, now: Date.now, random: randomBytes }));
  const socket = createSocket('udp4');
  stack.defer(() => void socket.close());
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  const rollCall = startRollCall({
    socket,
    inventory,
    now: () => performance.now(),
    wallClock: Date.now,
    nextTurn,
    onFailure: (error) => {
      throw error;
    },
  });
  await inventory.nodes.bootStage({ mac, stage: 'dhcp-discover', firmware: 'uboot' });
  const ticket = await inventory.nodes.issueJoinToken(mac);
  if ('refused' in ticket) throw new Error(ticket.refused);
  const joined = await inventory.nodes.join(joinRequest(ticket.token), '127.0.0.1');
  if ('refused' in joined) throw new Error(joined.refused);
  for (const name of ['acme', 'bolt']) await inventory.customers.add({ name });
  const running = stack.move();
  return {
    directory,
    inventory,
    rollCall,
    rollCallSocket: socket,
    session: { id: joined.session, key: Buffer.from(joined.key, 'hex') },
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}
