// The controller's main thread stands still for nine seconds, three times as long as a permit lasts: a fault of ours, or work
// that nobody thought would take so long. Real agents' ends of the roll call on the rack's segment.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Type } from 'typebox';
import { KillTimeline } from '../../protocol/api/orders.ts';
import { Status } from '../../protocol/api/status.ts';
import { permitValidityMs } from '../../protocol/timing.ts';
import { rackCustomer } from '../bench/seeded-store.ts';
import { rackUnderAttack } from './rack-under-attack.ts';

const nodes = 100;
const preload = fileURLToPath(new URL('../faults/host/preload.mjs', import.meta.url));
const Events = Type.Object({ events: Type.Array(Type.Object({ id: Type.Integer(), message: Type.String() })) });

test(
  'every node goes on getting permits, none is taken for silent, and orders work after it',
  { timeout: 300_000 },
  async (t) => {
    const environment = new Map([['NODE_OPTIONS', `--import ${preload}`]]);
    await using rack = await rackUnderAttack({ nodes, environment });
    const { controller } = rack;
    // The nodes of the store were silent until their agents came.
    const before = (await controller.get('/v1/events?limit=1', Events)).events.at(-1)?.id ?? 0;
    let stoodStill = false;
    const oldestMs = await rack.oldestPermitMs(async () => {
      assert.ok(controller.pid !== undefined);
      process.kill(controller.pid, 'SIGUSR2');
      // Answered when the main thread goes on.
      const began = performance.now();
      await controller.get('/v1/status', Status);
      stoodStill = performance.now() - began > permitValidityMs;
    });
    t.diagnostic(`the oldest permit was ${oldestMs} ms old`);
    assert.ok(stoodStill, 'the main thread stood still for longer than a permit lasts');
    assert.ok(oldestMs < permitValidityMs, `a permit was ${oldestMs} ms old`);
    assert.equal((await controller.get('/v1/status', Status)).nodes['ready'], nodes);
    const { events } = await controller.get(`/v1/events?after=${before}&limit=1000`, Events);
    assert.deepEqual(
      events.filter(({ message }) => /silent|no heartbeat/.test(message)),
      [],
    );
    await controller.api('POST /v1/kill', { customer: rackCustomer, reason: 'test' });
    for (let stopped = 0; stopped < nodes;) {
      const timeline = await controller.get('/v1/kill/1', KillTimeline);
      assert.ok(timeline.timeline.every(({ evidence }) => evidence === null || evidence === 'receipt'));
      ({ stopped } = timeline);
    }
  },
);
