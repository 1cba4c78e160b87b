// kill -9 at any moment: whatever was acknowledged is there again, however often, and nothing comes back that was undone.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { Type } from 'typebox';
import { openInventory } from '../../inventory/inventory.ts';
import { testImage } from '../../inventory/rack.fixture.ts';
import { Customer } from '../../protocol/api/customers.ts';
import { KillOrder } from '../../protocol/api/orders.ts';
import { Workload } from '../../protocol/api/workloads.ts';
import { type Random, seededRandom } from '../fuzz/random.ts';
import { ControllerProcess } from '../qemu/controller-process.ts';
import { cacheDir, runningNetwork, scratch } from './attempt.ts';
import { startLeaseTaker } from './lease-taker-process.ts';

const rounds = 4;
const operators = 6;

/** What one operator knows of a customer that only this operator changes. */
interface Known {
  customer: boolean;
  workload: boolean;
  /** The standing order's number, 0 where none stands. */
  order: number;
}

/** One operator, who does one thing after another. What was asked and not answered may or may not have happened. */
class Operator {
  readonly customer: string;
  known: Known = { customer: false, workload: false, order: 0 };
  /** The field that the request without an answer was about. */
  unsure: keyof Known | undefined;
  acknowledged = 0;
  readonly #controller: ControllerProcess;
  readonly #random: Random;

  constructor(customer: string, { controller, random }: { controller: ControllerProcess; random: Random }) {
    this.#controller = controller;
    this.customer = customer;
    this.#random = random;
  }

  /**
   * Until the signal. Asked after the controller's end, a request would wait in the listening socket that outlives it, and
   * be done by the next controller when nobody counts with it any more.
   */
  async work(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const act = this.#next();
      this.unsure = act.about;
      let answer: unknown;
      try {
        answer = await this.#controller.ask({ request: act.request, body: act.body, signal });
      } catch (error) {
        // A refusal would be a fault: whoever works alone on a customer is never wrong about it.
        if (error instanceof Error && /: [45]\d\d /.test(error.message)) throw error;
        return;
      }
      this.acknowledged++;
      this.known = { ...this.known, ...act.change(answer) };
      this.unsure = undefined;
    }
  }

  #next(): {
    request: string;
    body?: object;
    about: keyof Known;
    change(answer: unknown): Partial<Known>;
  } {
    const { customer } = this;
    if (!this.known.customer)
      return {
        request: 'POST /v1/customers',
        body: { name: customer },
        about: 'customer',
        change: () => ({ customer: true }),
      };
    if (this.known.order > 0)
      return {
        request: 'POST /v1/lift',
        body: { customer },
        about: 'order',
        change: () => ({ order: 0 }),
      };
    const path = `/v1/workloads/${customer}/web`;
    if (this.#random.once(3))
      return {
        request: 'POST /v1/kill',
        body: { customer, reason: 'crash test' },
        about: 'order',
        change: (answer) => ({ order: numberOf(answer) }),
      };
    if (this.known.workload)
      return { request: `DELETE ${path}`, about: 'workload', change: () => ({ workload: false }) };
    if (this.#random.once(3))
      return {
        request: `DELETE /v1/customers/${customer}`,
        about: 'customer',
        change: () => ({ customer: false }),
      };
    return {
      request: `PUT ${path}`,
      body: { image: 'web', replicas: 1 + this.#random.integer(9) },
      about: 'workload',
      change: () => ({ workload: true }),
    };
  }
}

function numberOf(answer: unknown): number {
  if (typeof answer !== 'object' || answer === null || !('number' in answer) || typeof answer.number !== 'number')
    throw new Error(`cannot read the answer to a kill: ${JSON.stringify(answer)}`);
  return answer.number;
}

async function found(controller: ControllerProcess): Promise<(customer: string) => Known> {
  const { customers } = await controller.get('/v1/customers', Type.Object({ customers: Type.Array(Customer) }));
  const { workloads } = await controller.get('/v1/workloads', Type.Object({ workloads: Type.Array(Workload) }));
  const { orders } = await controller.get('/v1/kill', Type.Object({ orders: Type.Array(KillOrder) }));
  return (name) => ({
    customer: customers.some((each) => each.name === name),
    workload: workloads.some(({ customer }) => customer === name),
    order: orders.find(({ scope, liftedAt }) => scope === name && liftedAt === null)?.number ?? 0,
  });
}

test('kill -9 at random moments loses nothing that was acknowledged', { timeout: 550_000 }, async (t) => {
  const seed = Date.now() % 1_000_000;
  t.diagnostic(`seed ${seed}`);
  const random = seededRandom(seed);
  await using state = await scratch();
  await using network = await runningNetwork({ boards: 0 });
  const stateDir = join(state.path, 'state');
  const open = () => openInventory({ directory: stateDir, now: Date.now, random: randomBytes });
  {
    await using inventory = await open();
    await inventory.images.save(testImage('web'));
  }
  await using controller = new ControllerProcess({
    network,
    stateDir,
    cacheDir,
    logPath: join(state.path, 'log'),
    flags: [],
  });
  const crew = Array.from({ length: operators }, (_, i) => new Operator(`crew_${i}`, { controller, random }));
  const leases = new Map<string, string>();
  const startsMs: number[] = [];
  for (let round = 0; round < rounds; round++) {
    await controller.start();
    startsMs.push(Math.round(controller.startedInMs));
    const now = await found(controller);
    for (const operator of crew) {
      const { customer, unsure, known } = operator;
      const is = now(customer);
      const fields = ['customer', 'workload', 'order'] as const;
      for (const field of fields)
        if (field !== unsure) assert.equal(is[field], known[field], `round ${round}: ${field} of ${customer}`);
      operator.known = is;
    }
    const acknowledged = () => crew.reduce((sum, operator) => sum + operator.acknowledged, 0);
    const until = acknowledged() + 10 + random.integer(100);
    const refused: string[] = [];
    const end = new AbortController();
    const work = Promise.all(
      crew.map((operator) => operator.work(end.signal).catch((error: unknown) => void refused.push(String(error)))),
    );
    try {
      await using boards = await startLeaseTaker(network, { firstBoard: round * 1_000, leases });
      const limitMs = performance.now() + 100_000;
      while (refused.length === 0 && (acknowledged() < until || boards.taken < 5)) {
        assert.ok(performance.now() < limitMs, `${until - acknowledged()} changes to go, ${boards.taken} leases taken`);
        await wait(1);
      }
      // Somewhere inside the next few writes.
      await wait(random.integer(20));
    } finally {
      end.abort();
      await controller.kill9();
      await work;
    }
    assert.deepEqual(refused, [], `seed ${seed}, round ${round}`);
  }
  await using inventory = await open();
  const kept = new Map((await inventory.leases.load()).map(({ mac, ip }) => [String(mac), ip]));
  for (const [mac, ip] of leases) assert.equal(kept.get(mac), ip, `the lease of ${mac}`);
  const changes = crew.reduce((sum, operator) => sum + operator.acknowledged, 0);
  t.diagnostic(`${changes} changes and ${leases.size} leases acknowledged over ${rounds} kills, none lost`);
  t.diagnostic(`process start to serving, ms: ${startsMs.join(', ')}`);
});
