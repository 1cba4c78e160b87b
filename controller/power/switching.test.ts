// Operators switch power through the API; a PDU in memory stands behind it.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { openInventory } from '../../inventory/inventory.ts';
import { idleRollCall, openOperatorApi } from '../api/operator-api.fixture.ts';
import { startPower } from './power.ts';

test('a bank is switched off only when its other boards are meant too', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'muster-switching-'));
  const inventory = await openInventory({ directory, now: Date.now, random: randomBytes });
  const off = new Set<string>();
  let broken = false;
  const driver = {
    turn: async (state: 'on' | 'off', { outlets }: { outlets: readonly string[] }) => {
      if (broken) throw new Error('cannot get PDU left to switch', { cause: new Error('Request timed out') });
      for (const outlet of outlets)
        if (state === 'off') off.add(outlet);
        else off.delete(outlet);
    },
    isOff: async ({ outlets }: { outlets: readonly string[] }) => outlets.every((outlet) => off.has(outlet)),
  };
  const feeds = [
    { pdu: 'left', outlet: '1', slots: new Set([1, 2]), nodes: new Set<string>() },
    { pdu: 'left', outlet: '2', slots: new Set([3]), nodes: new Set<string>() },
  ];
  const boards = () => inventory.nodes.all();
  const power = startPower(
    { automatic: false, pdus: new Map(), feeds },
    { boards, drivers: new Map([['left', driver]]) },
  );
  const api = await openOperatorApi({ inventory, rollCall: idleRollCall(), directory, power });
  t.after(async () => {
    await api[Symbol.asyncDispose]();
    await inventory[Symbol.asyncDispose]();
    await rm(directory, { recursive: true });
  });
  for (const last of [1, 2, 3, 4])
    await inventory.nodes.bootStage({ mac: `02:00:00:c2:00:0${last}`, stage: 'dhcp-discover', firmware: 'uboot' });
  const ask = async (node: string, wanted?: object) => {
    const method = wanted === undefined ? 'GET' : 'POST';
    const { status, body } = await api.ask(`${method} /v1/nodes/${node}/power`, { body: wanted });
    return { status, body: JSON.stringify(body) };
  };

  assert.deepEqual(await ask('node-c20001'), {
    status: 200,
    body: '{"off":false,"outlets":["left 1"],"neighbours":["node-c20002"]}',
  });
  const refused = await ask('node-c20001', { state: 'off' });
  assert.equal(refused.status, 409);
  assert.match(refused.body, /cannot switch off node-c20001 alone: node-c20002 would lose power with it/);
  assert.equal(off.size, 0);
  assert.match((await ask('node-c20001', { state: 'off', neighbours: true })).body, /"off":true/);
  assert.deepEqual([...off], ['1']);
  assert.match((await ask('node-c20002', { state: 'on' })).body, /"off":false/);
  assert.match((await ask('node-c20003', { state: 'off' })).body, /"off":true/);
  assert.match((await ask('node-c20004')).body, /no outlet is configured for it/);
  assert.equal((await ask('node-c20003', { state: 'reset' })).status, 400);
  broken = true;
  const failed = await ask('node-c20003', { state: 'on' });
  assert.equal(failed.status, 502);
  assert.match(failed.body, /cannot get PDU left to switch: Request timed out/);
});
