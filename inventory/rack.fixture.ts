// A rack on paper for the tests of this room and those above it: a real inventory in a temporary directory, a clock that
// is moved by hand, and boards that do what real ones do.
import { createHash } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { sessionProof } from '../protocol/agent-authorization.ts';
import type { JoinAnswer, JoinRequest } from '../protocol/api/agent.ts';
import type { Mac } from '../protocol/mac.ts';
import { type Inventory, openInventory } from './inventory.ts';
import type { Refused } from './refused.ts';

const sqlite: typeof import('sqlite3') = createRequire(import.meta.url)('sqlite3');

export interface TestRack extends AsyncDisposable {
  inventory: Inventory;
  readonly directory: string;
  /** Milliseconds since 1970. */
  now: () => number;
  /** Moves the clock, with a sweep every 250 ms. */
  pass(ms: number): Promise<void>;
  /** Closes the inventory and opens it again. */
  restart(): Promise<void>;
  /** Firmware's DHCP, one file, join token: up to the agent's start. Returns the token. */
  boot(mac: Mac): Promise<string>;
  join(mac: Mac, request: Pick<JoinRequest, 'bootId' | 'token' | 'session'>): Promise<JoinAnswer | Refused>;
  /** From power-on to the first heartbeat. */
  ready(mac: Mac, bootId?: string): Promise<JoinAnswer>;
}

export function macOf(number: number): Mac {
  return `02:00:00:c2:${(number >> 8).toString(16).padStart(2, '0')}:${(number & 255).toString(16).padStart(2, '0')}`;
}

export async function testRack(): Promise<TestRack> {
  const directory = await mkdtemp(join(tmpdir(), 'muster-inventory-'));
  let now = 1_800_000_000_000;
  let drawn = 0;
  const open = () =>
    openInventory({
      directory,
      now: () => now,
      // Bytes that are never drawn twice, and the same in each run.
      random: (bytes) => createHash('sha256').update(`${directory} ${drawn++}`).digest().subarray(0, bytes),
    });
  const rack: TestRack = {
    inventory: await open(),
    directory,
    now: () => now,
    async pass(ms) {
      const until = now + ms;
      while (now < until) {
        now = Math.min(until, now + 250);
        await rack.inventory.nodes.sweep(now);
      }
    },
    async restart() {
      await rack.inventory[Symbol.asyncDispose]();
      rack.inventory = await open();
    },
    async boot(mac) {
      // A board that is reset is silent before its firmware asks.
      while (rack.inventory.nodes.placeHolder(mac) !== undefined) await rack.pass(250);
      await rack.inventory.nodes.bootStage({ mac, stage: 'dhcp-discover', firmware: 'uboot' });
      await rack.inventory.nodes.bootStage({ mac, stage: 'script', ip: '10.77.0.50' });
      const issued = await rack.inventory.nodes.issueJoinToken(mac);
      if ('refused' in issued) throw new Error(issued.refused);
      return issued.token;
    },
    join: (mac, request) => rack.inventory.nodes.join({ mac, ...request, ...machine }, '10.77.0.50'),
    async ready(mac, bootId = 'boot-1') {
      const answer = await rack.join(mac, { bootId, token: await rack.boot(mac) });
      if ('refused' in answer) throw new Error(answer.refused);
      await heartbeat(rack, mac);
      return answer;
    },
    async [Symbol.asyncDispose]() {
      await rack.inventory[Symbol.asyncDispose]();
      await rm(directory, { recursive: true });
    },
  };
  await rack.inventory.nodes.sweep(now);
  return rack;
}

/** One heartbeat, and what follows from it on disk. */
export async function heartbeat({ inventory, now }: TestRack, mac: Mac): Promise<void> {
  inventory.nodes.heartbeat(mac, { at: now() });
  // Decisions are taken in order: once this one is stored, so is the heartbeat's.
  await inventory.instances.apply([{ kind: 'remove', id: 'none-00000000', reason: '' }]);
}

export function rejoin(
  { session: id, key }: JoinAnswer,
  { mac, bootId }: { mac: Mac; bootId: string },
): Pick<JoinRequest, 'bootId' | 'session'> {
  return { bootId, session: { id, proof: sessionProof(Buffer.from(key, 'hex'), { mac, bootId }) } };
}

/** What firmware and agent do up to the session: DHCP, join token, join. For boards that then speak for themselves. */
export async function joinBoard(
  inventory: Inventory,
  { mac, ip = '127.0.0.1', sshHostKey = null }: { mac: Mac; ip?: string; sshHostKey?: string | null },
): Promise<{ session: Buffer; key: Buffer }> {
  await inventory.nodes.bootStage({ mac, stage: 'dhcp-discover', firmware: 'uboot' });
  const issued = await inventory.nodes.issueJoinToken(mac);
  if ('refused' in issued) throw new Error(issued.refused);
  const joined = await inventory.nodes.join({ mac, bootId: 'boot-1', token: issued.token, ...machine, sshHostKey }, ip);
  if ('refused' in joined) throw new Error(joined.refused);
  return { session: Buffer.from(joined.session, 'hex'), key: Buffer.from(joined.key, 'hex') };
}

/** A customer with one instance of a workload `web` on each of the nodes, as the scheduler would have placed them. */
export async function placeWeb(
  inventory: Inventory,
  { customer, nodes, onSilence = 'stop' }: { customer: string; nodes: Mac[]; onSilence?: 'stop' | 'hold' },
): Promise<void> {
  await inventory.customers.add({ name: customer, onSilence });
  await inventory.images.save(testImage(customer));
  await inventory.workloads.put({ customer, name: 'web', spec: { image: customer, replicas: 1 } });
  const specRevision = inventory.workloads.get(customer, 'web')?.specRevision ?? 0;
  for (const node of nodes) {
    const id = `web-${inventory.instances.nextNumber().toString(16).padStart(8, '0')}`;
    const place = { customer, workload: 'web', node, port: null, specRevision, reason: 'test' };
    await inventory.instances.apply([{ kind: 'place', id, ...place }]);
  }
}

export function testImage(name: string, content = 'a') {
  return {
    name,
    digest: createHash('sha256').update(`${name} ${content}`).digest('hex'),
    architecture: 'arm64',
    squashfs: { sha256: createHash('sha256').update(content).digest('hex'), sizeBytes: 5_000 },
    config: { entrypoint: ['/bin/app'], cmd: ['serve'], env: ['PATH=/bin', 'A=1'], workingDir: '', user: '101:102' },
    importedAt: 1,
  };
}

/** As an operator with `sqlite3` would. The file must not be open. */
export function editDatabase(file: string, ...statements: string[]): Promise<void> {
  return new Promise((resolve, reject) => {
    const database = new sqlite.Database(file, (opened) => {
      if (opened !== null) return reject(opened);
      database.exec(statements.join(';'), (failed) => {
        database.close((closed) => {
          if (failed !== null || closed !== null) reject(failed ?? closed);
          else resolve();
        });
      });
      return undefined;
    });
  });
}

export const machine = {
  serial: null,
  agentVersion: '1',
  sshHostKey: null,
  facts: { model: 'C2', cpu: 'A53', cores: 4, memoryBytes: 2 ** 31, kernel: '6.1', interfaces: [] },
};
