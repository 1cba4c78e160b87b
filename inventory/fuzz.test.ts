// Random operations against the inventory and against a model of a few maps: what one holds the other must hold, also
// after each restart. Prints its seed; `seedOf` below takes it back.
import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { test } from 'node:test';
import { nodeStates } from '../protocol/api/nodes.ts';
import { seededRandom } from '../protocol/seeded-random.fixture.ts';
import { instanceId, type Placement } from './customers/placement.ts';
import { heartbeat, macOf, rejoin, testImage, testRack, type TestRack } from './rack.fixture.ts';
import type { InstanceDocument } from './store/documents.ts';
import { nodeView, orderTimeline, workloadView } from '../controller/api/views.ts';

/** Put a printed seed here to see the same run again. */
const seedOf = (): number => randomInt(2 ** 31);
const operations = 400;

interface Model {
  customers: Map<string, { uidBase: number; order: number | undefined }>;
  workloads: Map<string, number>;
  /** Instance id to node. */
  instances: Map<string, string>;
  /** MAC to session id, or undefined while it has none. */
  nodes: Map<string, string | undefined>;
  fenced: Set<string>;
  orders: number;
  placed: number;
  uidBases: Set<number>;
}

interface Fuzz {
  rack: TestRack;
  model: Model;
  random: () => number;
  pick: <T>(items: readonly T[]) => T;
  /** As they were before the step. */
  instancesBefore: InstanceDocument[];
  /** What each node was told last, and its generation then. */
  generations: Map<string, { generation: bigint; told: string }>;
}

type Steps = Record<string, () => Promise<void>>;

const macs = Array.from({ length: 6 }, (_, i) => macOf(i));
const customers = ['acme', 'bolt', 'crab'];
const workloads = ['web', 'job'];

test('the inventory holds what a simple model holds, whatever is asked of it', async (t) => {
  const seed = seedOf();
  t.diagnostic(`seed ${seed}`);
  await using rack = await testRack();
  const fuzz = fuzzOf(rack, seededRandom(seed));
  await rack.inventory.images.save(testImage('web'));
  const steps: Steps = Object.assign(
    {},
    ...[customerSteps, instanceSteps, nodeSteps, orderSteps, rackSteps].map((of) => of(fuzz)),
  );
  const names = Object.keys(steps);
  for (let i = 0; i < operations; i++) {
    const name = fuzz.pick(names);
    fuzz.instancesBefore = rack.inventory.instances.all();
    try {
      await steps[name]?.();
      check(fuzz);
    } catch (error) {
      throw new Error(`seed ${seed}, operation ${i}: ${name}`, { cause: error });
    }
  }
});

function fuzzOf(rack: TestRack, random: () => number): Fuzz {
  const model: Model = {
    customers: new Map(),
    workloads: new Map(),
    instances: new Map(),
    nodes: new Map(),
    fenced: new Set(),
    orders: 0,
    placed: 0,
    uidBases: new Set(),
  };
  const pick = <T>(items: readonly T[]): T => {
    const item = items[Math.floor(random() * items.length)];
    if (item === undefined) throw new Error('cannot pick: no items, want at least one');
    return item;
  };
  return { rack, model, random, pick, instancesBefore: [], generations: new Map() };
}

function customerSteps(fuzz: Fuzz): Steps {
  const { rack, model, pick } = fuzz;
  return {
    async addCustomer() {
      const name = pick(customers);
      const answer = await rack.inventory.customers.add({ name });
      assert.equal('refused' in answer, model.customers.has(name));
      if ('refused' in answer) return;
      assert.ok(!model.uidBases.has(answer.uidBase), 'user ids given twice');
      model.uidBases.add(answer.uidBase);
      model.customers.set(name, { uidBase: answer.uidBase, order: undefined });
    },
    async removeCustomer() {
      const name = pick(customers);
      const known = model.customers.get(name);
      const busy = [...model.workloads.keys()].some((key) => key.startsWith(`${name}/`));
      const answer = await rack.inventory.customers.remove(name);
      assert.equal('refused' in answer, known === undefined || busy || known.order !== undefined);
      if (!('refused' in answer)) model.customers.delete(name);
    },
    async putWorkload() {
      const [customer, name] = [pick(customers), pick(workloads)];
      const memoryBytes = pick([16, 32]) * 2 ** 20;
      const answer = await rack.inventory.workloads.put({
        customer,
        name,
        spec: { image: 'web', replicas: 1, memoryBytes },
      });
      assert.equal('refused' in answer, !model.customers.has(customer));
      if (!('refused' in answer)) model.workloads.set(`${customer}/${name}`, answer.workload.specRevision);
    },
    async removeWorkload() {
      const [customer, name] = [pick(customers), pick(workloads)];
      const answer = await rack.inventory.workloads.remove({ customer, name });
      assert.equal('refused' in answer, !model.workloads.delete(`${customer}/${name}`));
      for (const { id, customer: owner, workload } of fuzz.instancesBefore)
        if (owner === customer && workload === name) model.instances.delete(id);
    },
  };
}

function instanceSteps(fuzz: Fuzz): Steps {
  const { rack, model, pick, random } = fuzz;
  return {
    async place() {
      const [customer, workload, node] = [pick(customers), pick(workloads), pick(macs)];
      const specRevision = model.workloads.get(`${customer}/${workload}`) ?? 1;
      const id = instanceId(workload, model.placed + 1 + Math.floor(random() * 3));
      const placement: Placement = {
        kind: 'place',
        id,
        customer,
        workload,
        node,
        port: null,
        specRevision,
        reason: '',
      };
      const fits =
        model.workloads.has(`${customer}/${workload}`) &&
        rack.inventory.nodes.get(node)?.state === 'ready' &&
        !model.fenced.has(node) &&
        model.customers.get(customer)?.order === undefined;
      const { applied } = await rack.inventory.instances.apply([placement, placement]);
      assert.equal(applied, fits ? 1 : 0);
      if (!fits) return;
      model.instances.set(id, node);
      model.placed = Number.parseInt(id.slice(-8), 16);
    },
    async removeInstance() {
      const id = model.instances.size === 0 ? 'web-0000ffff' : pick([...model.instances.keys()]);
      const { applied } = await rack.inventory.instances.apply([{ kind: 'remove', id, reason: '' }]);
      assert.equal(applied, model.instances.delete(id) ? 1 : 0);
    },
  };
}

function nodeSteps(fuzz: Fuzz): Steps {
  const { rack, model, pick, random } = fuzz;
  return {
    async boot() {
      const mac = pick(macs);
      await rack.inventory.nodes.bootStage({ mac, stage: 'dhcp-discover', firmware: 'uefi' });
      if (!model.nodes.has(mac)) model.nodes.set(mac, undefined);
      if (random() < 0.7) await rack.pass(4_250);
      const isHeld = rack.inventory.nodes.placeHolder(mac) !== undefined;
      const issued = await rack.inventory.nodes.issueJoinToken(mac);
      assert.equal('refused' in issued, model.fenced.has(mac) || isHeld);
      if ('refused' in issued) return;
      const before = rack.inventory.nodes.sessionOf(mac);
      const answer = await rack.join(mac, { bootId: `boot ${random()}`, token: issued.token });
      assert.ok(!('refused' in answer));
      if (before !== undefined) assert.equal(rack.inventory.nodes.session(before.id), undefined, 'a ghost session');
      model.nodes.set(mac, answer.session);
      if (random() < 0.8) await heartbeat(rack, mac);
    },
    async rejoin() {
      const mac = pick(macs);
      const session = rack.inventory.nodes.sessionOf(mac);
      if (session === undefined) return;
      const proof = { name: '', session: session.id, key: session.key.toString('hex') };
      const answer = await rack.join(mac, rejoin(proof, { mac, bootId: session.bootId }));
      assert.equal('refused' in answer, model.fenced.has(mac));
    },
    async fence() {
      const mac = pick(macs);
      const fenced = random() < 0.5;
      const answer = await rack.inventory.nodes.patch(mac, { fenced });
      assert.equal('refused' in answer, !model.nodes.has(mac));
      if ('refused' in answer) return;
      if (fenced) model.fenced.add(mac);
      else model.fenced.delete(mac);
    },
    async patch() {
      const mac = pick(macs);
      const before = new Map(rack.inventory.nodes.all().map((node) => [node.mac, node]));
      const answer = await rack.inventory.nodes.patch(mac, {
        slot: 1 + Math.floor(random() * 6),
        name: `n${pick([1, 2, 3])}`,
      });
      if ('refused' in answer) return;
      for (const each of before.keys())
        if (rack.inventory.nodes.get(each) === undefined) {
          assert.equal(before.get(each)?.state, 'lost', 'only a lost node is replaced');
          forget(model, each);
        }
    },
    async removeNode() {
      const mac = pick(macs);
      const state = rack.inventory.nodes.get(mac)?.state;
      const answer = await rack.inventory.nodes.remove(mac);
      assert.equal('refused' in answer, state === undefined || state === 'ready');
      if (!('refused' in answer)) forget(model, mac);
    },
  };
}

function orderSteps(fuzz: Fuzz): Steps {
  const { rack, model, pick } = fuzz;
  return {
    async kill() {
      const scope = pick(customers);
      const known = model.customers.get(scope);
      const answer = await rack.inventory.orders.kill({
        scope,
        reason: 'fuzz',
        by: 'test',
        targets: [...model.nodes.keys()],
      });
      assert.equal('refused' in answer, known === undefined || known.order !== undefined);
      if ('refused' in answer || known === undefined) return;
      assert.equal(answer.number, ++model.orders);
      known.order = answer.number;
    },
    async lift() {
      const scope = pick(customers);
      const known = model.customers.get(scope);
      const answer = await rack.inventory.orders.lift({ scope, reason: '', by: 'op' });
      assert.equal('refused' in answer, known?.order === undefined);
      if (known !== undefined) known.order = undefined;
    },
    async receipt() {
      const mac = pick(macs);
      const [order] = rack.inventory.orders.pending(mac);
      if (order === undefined) return;
      const facts = { evidenceAfterMs: 1, stoppedAfterMs: 1, processes: 1 };
      await rack.inventory.orders.saveReceipt({
        number: order.number,
        mac,
        receipt: { evidence: 'receipt', ...facts },
      });
      assert.ok(!rack.inventory.orders.pending(mac).some(({ number }) => number === order.number));
    },
  };
}

function rackSteps(fuzz: Fuzz): Steps {
  const { rack, pick, random } = fuzz;
  return {
    async time() {
      await rack.pass(pick([500, 3_500, 31_000]));
      for (const mac of macs)
        if (random() < 0.5 && rack.inventory.nodes.sessionOf(mac) !== undefined) await heartbeat(rack, mac);
    },
    async restart() {
      if (random() < 0.5) await rack.restart();
    },
  };
}

function forget(model: Model, mac: string): void {
  model.nodes.delete(mac);
  model.fenced.delete(mac);
  for (const [id, node] of model.instances) if (node === mac) model.instances.delete(id);
}

function check(fuzz: Fuzz): void {
  const { model } = fuzz;
  const { inventory } = fuzz.rack;
  assert.deepEqual(sorted(inventory.customers.all().map((each) => each.name)), sorted(model.customers.keys()));
  assert.deepEqual(
    sorted(inventory.workloads.all().map((each) => `${each.customer}/${each.name}`)),
    sorted(model.workloads.keys()),
  );
  assert.deepEqual(sorted(inventory.nodes.all().map(({ mac }) => mac)), sorted(model.nodes.keys()));
  assert.deepEqual(
    sorted(inventory.instances.all().map(({ id, node }) => `${id} ${node}`)),
    sorted(Array.from(model.instances, ([id, node]) => `${id} ${node}`)),
  );
  const nodes = inventory.nodes.all();
  assert.equal(new Set(nodes.map((node) => node.name)).size, nodes.length, 'a name twice');
  assert.equal(new Set(nodes.map(({ slot }) => slot)).size, nodes.length, 'a slot twice');
  checkNodes(fuzz);
  for (const [name, { order, uidBase }] of model.customers) {
    assert.equal(inventory.orders.killedBy(name), order);
    assert.equal(inventory.customers.get(name)?.uidBase, uidBase);
    if (order !== undefined) assert.equal(orderTimeline(inventory, order)?.liftedAt, null);
  }
  for (const key of model.workloads.keys()) {
    const [customer = '', name = ''] = key.split('/');
    assert.ok(workloadView(inventory, { customer, name }));
  }
}

function checkNodes({ rack: { inventory }, model, generations }: Fuzz): void {
  for (const [mac, session] of model.nodes) {
    assert.equal(inventory.nodes.sessionOf(mac)?.id, session);
    assert.ok(nodeStates.some((state) => state === nodeView(inventory, mac)?.state));
    const allowed = new Set(inventory.nodes.permitted(mac).map(({ customer }) => customer));
    for (const { customer } of inventory.instances.on(mac))
      assert.equal(allowed.has(customer), model.customers.get(customer)?.order === undefined && !model.fenced.has(mac));
    const { generation: _, ...desired } = inventory.nodes.desired(mac);
    const told = JSON.stringify([desired, inventory.nodes.permitted(mac)]);
    const [known, generation] = [generations.get(mac), inventory.nodes.generation(mac)];
    if (known !== undefined) {
      assert.ok(generation >= known.generation, 'a generation fell');
      if (told !== known.told) assert.ok(generation > known.generation, 'a node was told otherwise in secret');
    }
    generations.set(mac, { generation, told });
  }
}

function sorted(items: Iterable<string>): string[] {
  return [...items].toSorted();
}
