// The event stream over a socket: what a listener that was cut off gets.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { eventParser } from '../../../dashboard/page/link/event-parser.ts';
import type { Inventory } from '../../../inventory/inventory.ts';
import type { SliceOptions } from '../../../inventory/slices.ts';
import { macOf, testRack } from '../../../inventory/rack.fixture.ts';
import { idleRollCall, openOperatorApi } from '../operator-api.fixture.ts';

async function rig(t: TestContext, turnsOf?: (inventory: Inventory) => SliceOptions) {
  const stack = new AsyncDisposableStack();
  t.after(() => stack.disposeAsync());
  const { inventory, directory } = stack.use(await testRack());
  const turns = turnsOf === undefined ? {} : { turns: turnsOf(inventory) };
  const parts = { inventory, rollCall: idleRollCall(), directory: join(directory, 'images'), ...turns };
  const { app } = stack.use(await openOperatorApi(parts));
  const url = await app.listen({ host: '127.0.0.1', port: 0 });

  /** Listens until it has heard what it waits for; the events in order, each as `kind id`. */
  async function hear(isLast: (event: string, data: string) => boolean, lastId?: string) {
    const cut = new AbortController();
    const signal = AbortSignal.any([cut.signal, AbortSignal.timeout(60_000)]);
    const headers = { authorization: 'Bearer secret', ...(lastId === undefined ? {} : { 'last-event-id': lastId }) };
    const { body } = await fetch(`${url}/v1/stream`, { headers, signal });
    assert.ok(body !== null);
    const parse = eventParser();
    const heard: { event: string; data: string; id: string | undefined }[] = [];
    try {
      for await (const piece of body.pipeThrough(new TextDecoderStream()))
        for (const { event, data, id } of parse(piece)) {
          heard.push({ event, data, id });
          if (isLast(event, data)) return heard;
        }
    } finally {
      cut.abort();
    }
    return assert.fail('the stream ended');
  }
  return { inventory, hear };
}

test('a listener that was cut off gets what it missed, and no snapshot', async (t) => {
  const { inventory, hear } = await rig(t);
  const [snapshot] = await hear((event) => event === 'snapshot');
  assert.match(snapshot?.id ?? '', /^[0-9]+-0$/);
  const names = Array.from({ length: 30 }, (_, i) => `c${i}`);
  for (const name of names) await inventory.customers.add({ name });
  const isCustomer = (wanted: string) => (event: string, data: string) =>
    event === 'customer' && data.includes(`"name":"${wanted}"`);
  const resumed = await hear(isCustomer('c29'), snapshot?.id);
  assert.equal(resumed[0]?.event, 'resumed');
  assert.ok(resumed.every(({ event }) => event !== 'snapshot'));
  const nameIn = (data: string): string => JSON.parse(data).name;
  const customers = resumed.filter(({ event }) => event === 'customer').map(({ data }) => nameIn(data));
  assert.deepEqual(new Set(customers), new Set(names));

  // And on from there: nothing twice.
  await inventory.customers.add({ name: 'last' });
  const again = await hear(isCustomer('last'), resumed.at(-1)?.id);
  assert.deepEqual(
    again.filter(({ event }) => event === 'customer').map(({ data }) => nameIn(data)),
    ['last'],
  );
});

test('what cannot be resumed says so, and begins with a snapshot', async (t) => {
  const { hear } = await rig(t);
  const heard = await hear((event) => event === 'snapshot', '999-3');
  assert.deepEqual(heard[0], { event: 'reset', data: '{"reason":"the controller was started again"}', id: undefined });
  assert.equal(heard.at(-1)?.event, 'snapshot');
});

test('what changes while a snapshot is made is told after it', async (t) => {
  let turns = 0;
  let now = 0;
  const { inventory, hear } = await rig(t, (rack) => ({
    clock: () => (now += 2),
    nextTurn: async () => {
      if (turns++ > 0) return;
      // The first node is in the snapshot by now, as it was. Until this is told to those who listen already.
      await rack.nodes.patch(macOf(1), { fenced: true });
      await pause(200);
    },
  }));
  for (const number of [1, 2])
    await inventory.nodes.bootStage({ mac: macOf(number), stage: 'dhcp-discover', firmware: 'uboot' });
  const isFenced = (event: string, data: string) => event === 'node' && data.includes('"fenced":true');
  const heard = await hear(isFenced);
  const [snapshot] = heard;
  assert.equal(snapshot?.event, 'snapshot');
  assert.ok(!snapshot.data.includes('"fenced":true'), 'the snapshot was made before');
  assert.ok(turns > 1);
});
