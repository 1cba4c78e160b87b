// One run: a rack is set up, an order is given while one thing fails, everything heals, some orders are lifted, and at the
// end everybody who may run must run. All of it from one seed.
import type { Mac } from '../../protocol/mac.ts';
import type { Broken } from './broken.ts';
import { faults, ordinaryWeather, pickFault } from './faults.ts';
import { leashNumbers, type LeashNumbers } from './leash-numbers.ts';
import { Random } from './random.ts';
import { Timeline } from './timeline.ts';
import { World, type CustomerPlan } from './world.ts';

export interface Run {
  seed: number;
  boards: number;
  fault: string;
  violations: string[];
  /** Two runs of one seed have the same. */
  fingerprint: string;
  simulatedMs: number;
  entries: number;
  counts: { receipts: number; silences: number; starts: number; stops: number; permitsRead: number; checks: number };
}

export interface RunOptions {
  seed: number;
  /** Else drawn from the seed. */
  boards?: number;
  fault?: string;
  onLine?: (line: string) => void;
  leash?: LeashNumbers;
  broken?: Broken;
}

const settleMs = 60_000;
const steadyMs = 2_000;
const stepMs = 250;

export async function runSimulation(options: RunOptions): Promise<Run> {
  const { seed } = options;
  const random = new Random(seed).stream('scenario');
  const customers = drawCustomers(random);
  const boards = options.boards ?? drawBoards(random);
  const fault = options.fault ?? pickFault(random);
  const timeline = new Timeline(options.onLine);
  const world = new World({
    timeline,
    random: new Random(seed),
    boards,
    customers,
    leashNumbers: options.leash ?? leashNumbers(),
  });
  world.broken = options.broken ?? {};
  timeline.tell('world', `seed ${seed}: ${boards} boards, ${customers.length} customers, ${fault}`);
  await setUp(world);
  await orderDuringFault(world, { random, fault });
  world.isIll = false;
  world.heal();
  await liftSome(world, random);
  await settle(world);
  const { violations, counts } = world.referee;
  return {
    seed,
    boards,
    fault,
    violations,
    fingerprint: timeline.fingerprint(),
    simulatedMs: timeline.now,
    entries: timeline.entries,
    counts,
  };
}

function drawBoards(random: Random): number {
  return random.pick([3, 5, 8, 8, 12, 16, 24, 40]);
}

function drawCustomers(random: Random): CustomerPlan[] {
  const names = ['acme', 'bolt', 'cord'].slice(0, 2 + random.integer(2));
  const customers = names.map((name) => ({ name, hold: false, share: random.pick([0.3, 0.7, 1]) }));
  if (random.chance(0.4)) customers.push({ name: 'held', hold: true, share: random.pick([0.3, 1]) });
  return customers;
}

async function setUp(world: World): Promise<void> {
  const { timeline, customers } = world;
  world.startController();
  await timeline.runTo(1_000);
  for (const board of world.boards) board.powerOn(world.random.between(0, 2_000));
  const inventory = inventoryOf(world);
  await inTime(
    world,
    (async () => {
      const config = { entrypoint: [], cmd: ['/app'], env: [], workingDir: '/', user: '0:0' };
      const squashfs = { sha256: 'a'.repeat(64), sizeBytes: 1 };
      const digest = 'b'.repeat(64);
      await inventory.images.save({ name: 'app', digest, architecture: 'arm64', squashfs, config, importedAt: 0 });
      for (const { name, hold } of customers)
        await inventory.customers.add({ name, onSilence: hold ? 'hold' : 'stop' });
    })(),
  );
  await until(world, {
    what: 'every board is ready',
    holds: () => inventory.nodes.all().filter(({ state }) => state === 'ready').length === world.boards.length,
  });
  await inTime(
    world,
    Promise.all(
      customers.map(({ name, share }) =>
        inventory.workloads.put({
          customer: name,
          name: 'web',
          spec: { image: 'app', replicas: Math.ceil(share * world.boards.length) },
        }),
      ),
    ),
  );
  const wanted = customers.reduce((sum, { share }) => sum + Math.ceil(share * world.boards.length), 0);
  await until(world, { what: 'every customer is placed', holds: () => inventory.instances.all().length >= wanted });
  await until(world, { what: 'every customer runs', holds: () => isAsPermitted(world) });
}

async function orderDuringFault(
  world: World,
  { random, fault: name }: { random: Random; fault: string },
): Promise<void> {
  const fault = faults[name];
  if (fault === undefined)
    throw new Error(`there is no fault ${JSON.stringify(name)}, want one of ${Object.keys(faults).join(', ')}`);
  const { timeline } = world;
  world.isIll = true;
  const weather = ordinaryWeather(random);
  world.network.weather = weather;
  const orderAt = random.between(4_000, 6_000);
  const begin = Math.max(0, orderAt + random.pick([random.between(-4_000, 4_000), random.between(-50, 50)]));
  const lasts = random.pick([random.between(100, 1_000), random.between(1_000, 4_000), random.between(4_000, 12_000)]);
  const times = { begin, end: begin + lasts };
  world.isCalm = fault.isCalm?.(times) === true && weather.loss === 0 && weather.spike === 0;
  timeline.tell('world', `${name}, from ${(timeline.now + begin).toFixed(0)} ms for ${lasts.toFixed(0)} ms`);
  fault.begin(world, { random: random.stream('fault'), ...times });
  const scope = random.chance(0.2) ? '*' : random.pick(world.customers).name;
  const longAfterMs = fault.lastsMs === undefined || random.chance(0.3) ? 0 : fault.lastsMs - 14_000;
  timeline.after(orderAt + longAfterMs, () => give(world, scope));
  if (random.chance(0.3)) timeline.after(orderAt + longAfterMs + random.between(300, 9_000), () => lift(world, scope));
  if (random.chance(0.3)) {
    const other = random.chance(0.3) ? '*' : random.pick(world.customers).name;
    timeline.after(orderAt + longAfterMs + random.between(300, 9_000), () => give(world, other));
  }
  await timeline.runTo(timeline.now + orderAt + longAfterMs + random.between(6_000, 14_000));
}

/** Operators ask again until they are answered. */
function give(world: World, scope: string): void {
  const asked: Question['asked'] = async (controller) => {
    let isAccepted = false;
    const order = await controller.giveKill(scope, (given) => {
      // In force before the disk has it; nothing but the disk fails then, and the process that knows it lives on.
      isAccepted = world.disk.isFull || world.disk.extraMs > 0;
      if (isAccepted) world.referee.accepted(given);
    });
    if (!('refused' in order)) return () => (isAccepted ? undefined : world.referee.accepted(order));
    // Their first try was stored before its answer was lost.
    const { inventory } = controller;
    const standing = inventory?.orders
      .standing()
      .find(({ scope: stopped, number }) => stopped === scope && inventory.orders.isStored(number));
    return () => {
      if (standing !== undefined && !world.lifting.has(scope) && !world.referee.standing.has(standing.number))
        world.referee.accepted(standing);
    };
  };
  ask(world, { what: `kill ${scope}`, asked });
}

function lift(world: World, scope: string): void {
  const standing = [...world.referee.standing.values()].find((order) => order.scope === scope);
  if (standing === undefined) return;
  // From now on it may or may not be lifted.
  world.referee.lifted(standing.number);
  world.lifting.add(scope);
  const asked: Question['asked'] = async (controller) => {
    await controller.lift(scope);
    return () => world.lifting.delete(scope);
  };
  ask(world, { what: `lift ${scope}`, asked });
}

interface Question {
  what: string;
  /** Of the controller that is up. Gives what is done once the answer is here. */
  asked: (controller: NonNullable<World['controller']>) => Promise<() => unknown>;
}

/** Again and again until it is answered, by whichever controller is there then. */
function ask(world: World, { what, asked }: Question): void {
  const { timeline } = world;
  world.asked++;
  const again = (): void => timeline.after(500, attempt);
  const attempt = (): void => {
    const { controller } = world;
    if (controller === undefined || !controller.isUp) return again();
    let isSettled = false;
    controller.program.post(() => {
      timeline.tell('operator', what);
      asked(controller).then(
        (answered) => {
          isSettled = true;
          world.asked--;
          answered();
        },
        (error: unknown) => {
          isSettled = true;
          timeline.tell('operator', `${what}: ${String(error)}`);
          again();
        },
      );
    });
    const watch = (): void => {
      if (isSettled) return;
      if (controller.program.isDead) again();
      else timeline.after(500, watch);
    };
    timeline.after(500, watch);
  };
  attempt();
}

async function liftSome(world: World, random: Random): Promise<void> {
  const { timeline } = world;
  await timeline.runTo(timeline.now + random.between(500, 3_000));
  const standing = Array.from(world.referee.standing.values());
  for (const { scope } of standing) if (random.chance(0.7)) lift(world, scope);
}

/** Invariant 4: once all is well again, whoever may run runs and goes on running, nobody else does, and every order has evidence from every node. */
async function settle(world: World): Promise<void> {
  let since = Infinity;
  const staysWell = (): boolean => {
    if (world.asked > 0 || !world.boards.every(({ agent }) => agent?.isCalling === true) || !isAsPermitted(world))
      since = Infinity;
    else since = Math.min(since, world.timeline.now);
    return world.timeline.now - since >= steadyMs;
  };
  const hasEvidence = (): boolean => {
    const { controller, boards } = world;
    const inventory = controller?.inventory;
    return inventory !== undefined && boards.every(({ mac }) => inventory.orders.pending(mac).length === 0);
  };
  await until(world, { what: '4: whoever may run runs again, nobody else does, and it stays so', holds: staysWell });
  await until(world, { what: '4: every standing order has evidence from every node', holds: hasEvidence });
}

function isAsPermitted(world: World): boolean {
  const inventory = world.controller?.inventory;
  if (inventory === undefined) return false;
  const onBoard = (mac: Mac): Set<string> => new Set(inventory.instances.on(mac).map(({ customer }) => customer));
  return world.boards.every((board) => {
    const placed = onBoard(board.mac);
    return world.customers.every(({ name }) => {
      const group = board.groups.get(name);
      const may = placed.has(name) && inventory.orders.killedBy(name) === undefined;
      return may ? group?.running === true && !group.dying : group?.running !== true;
    });
  });
}

function inventoryOf(world: World) {
  const inventory = world.controller?.inventory;
  if (inventory === undefined) throw new Error('the controller did not come up within a second');
  return inventory;
}

async function until(world: World, { what, holds }: { what: string; holds: () => boolean }): Promise<void> {
  const { timeline } = world;
  for (const end = timeline.now + settleMs; !holds();) {
    if (timeline.now >= end) return world.referee.violated(`not within ${settleMs / 1000} s: ${what}`);
    await timeline.runTo(timeline.now + stepMs);
  }
}

/** Lets time pass until the promise is settled. */
async function inTime<T>(world: World, work: Promise<T>): Promise<T> {
  let isDone = false;
  const done = (): void => {
    isDone = true;
  };
  work.then(done, done);
  while (!isDone) await world.timeline.runTo(world.timeline.now + 10);
  return work;
}
