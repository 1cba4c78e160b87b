import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { nodeReserveBytes } from './capacity.ts';
import { plan, planInSlices } from './plan.ts';
import { inSlices } from '../inventory/slices.ts';
import type { World, WorldCustomer, WorldInstance, WorldNode, WorldWorkload } from './world.ts';

const mebibyte = 2 ** 20;
const usualUpdate: WorldWorkload['update'] = {
  maxSurge: 1,
  maxUnavailable: undefined,
  deadlineMs: 180_000,
  drainMs: 0,
};
const golden = join(import.meta.dirname, 'plan.golden.txt');

/** A world that does what it is told: plans are carried out, and instances start, until something goes wrong. */
class Story {
  now = 1_000_000;
  readonly lines: string[] = [];
  readonly world: World = { nodes: [], customers: [], workloads: [], instances: [], nextInstanceNumber: 1 };

  node(name: string, more: Partial<WorldNode> = {}): this {
    const usual = { state: 'ready', fenced: false, placement: 'open', labels: {}, unreadyAt: null, since: 0 } as const;
    const node = { name, mac: `mac-${name}`, ...usual };
    const memoryBytes = nodeReserveBytes + 256 * mebibyte;
    const others = this.world.nodes.filter((each) => each.name !== name);
    this.world.nodes = [...others, { ...node, memoryBytes, ...more }];
    return this;
  }

  customer(name: string, more: Partial<WorldCustomer> = {}): this {
    const others = this.world.customers.filter((each) => each.name !== name);
    const customer = { name, memoryBytes: 768 * mebibyte, processes: 512, killed: false, holds: false };
    this.world.customers = [...others, { ...customer, ...more }];
    return this;
  }

  workload(path: string, { replicas, ...more }: Partial<WorldWorkload> & { replicas: number }): this {
    const [customer = '', name = ''] = path.split('/');
    const others = this.world.workloads.filter((each) => `${each.customer}/${each.name}` !== path);
    const limits = { memoryBytes: 64 * mebibyte, processes: 32 };
    this.world.workloads = [
      ...others,
      {
        customer,
        name,
        replicas,
        specRevision: 1,
        ...limits,
        needsPort: false,
        update: usualUpdate,
        labels: {},
        ...more,
      },
    ];
    return this;
  }

  say(text: string): this {
    this.lines.push(`# ${text}`);
    return this;
  }

  change(id: string, more: Partial<WorldInstance>): this {
    this.world.instances = this.world.instances.map((each) => (each.id === id ? { ...each, ...more } : each));
    return this;
  }

  run(): this {
    for (const instance of this.world.instances)
      if (instance.state === 'placed') this.change(instance.id, { state: 'running' });
    return this;
  }

  /** One pass, written down and carried out. */
  pass({ actions, problems } = plan(this.world, this.now)): number {
    for (const action of actions) {
      if (action.kind === 'remove') {
        const gone = this.world.instances.find(({ id }) => id === action.id);
        this.lines.push(`  remove ${action.id} from ${gone?.node.slice(4)}: ${action.reason}`);
        this.world.instances = this.world.instances.filter(({ id }) => id !== action.id);
        continue;
      }
      if (action.kind === 'drain') {
        const { id, reason } = action;
        this.lines.push(
          `  drain ${id} on ${this.world.instances.find((each) => each.id === id)?.node.slice(4)}: ${reason}`,
        );
        this.change(id, { draining: { at: this.now, reason } });
        continue;
      }
      const { id, customer, workload, node, port, specRevision, attempt = 0, reason } = action;
      const at = port === null ? '' : `:${port}`;
      this.lines.push(`  place ${customer} ${id} on ${node.slice(4)}${at}, revision ${specRevision}: ${reason}`);
      const spec = this.world.workloads.find((each) => each.customer === customer && each.name === workload);
      assert.ok(spec);
      this.world.instances.push({
        id,
        customer,
        workload,
        node,
        port,
        specRevision,
        attempt,
        desired: { memoryBytes: spec.memoryBytes, processes: spec.processes },
        state: 'placed',
        reason: '',
        placedAt: this.now,
        since: this.now,
      });
      this.world.nextInstanceNumber = Number.parseInt(id.slice(-8), 16) + 1;
    }
    for (const [key, problem] of problems) this.lines.push(`  ${key}: ${problem}`);
    if (actions.length + problems.size === 0) this.lines.push('  nothing to do');
    return actions.length;
  }

  /** Passes until there is nothing to do, everything starting in between. */
  settle(): this {
    for (let passes = 0; passes < 30; passes++) {
      if (this.pass() === 0) return this;
      this.run();
      this.lines.push('  --');
      this.now += 1_000;
    }
    throw new Error('cannot settle: still busy after 30 passes');
  }
}

const stories: Record<string, (story: Story) => void> = {
  'replicas are spread: fewest of the workload, fewest of the customer, most free memory': (story) => {
    story
      .node('a')
      .node('b')
      .node('c', { memoryBytes: 2048 * mebibyte })
      .customer('acme')
      .customer('bolt');
    story
      .workload('acme/web', { replicas: 4, needsPort: true })
      .workload('acme/zip', { replicas: 1 })
      .workload('bolt/job', { replicas: 2 })
      .settle();
    story
      .say('scaled down: from where most are, youngest first')
      .workload('acme/web', { replicas: 2, needsPort: true })
      .settle();
    story.say('scaled to nothing').workload('acme/web', { replicas: 0 }).settle();
    story.say('the workload is gone');
    story.world.workloads = story.world.workloads.filter(({ name }) => name !== 'job');
    story.settle();
  },
  'no room': (story) => {
    story.customer('acme').workload('acme/web', { replicas: 3 }).pass();
    story.say('a node that is not ready, a fenced one and one without facts are of no use');
    story
      .node('a', { state: 'joining', since: story.now })
      .node('b', { fenced: true })
      .node('c', { memoryBytes: 0 })
      .pass();
    story
      .say('memory is counted after the reserve')
      .node('a', { memoryBytes: nodeReserveBytes + 64 * mebibyte })
      .settle();
    story
      .say('customer limits')
      .node('a')
      .node('b')
      .customer('acme', { memoryBytes: 64 * mebibyte })
      .settle();
    story
      .customer('acme', { processes: 32 })
      .node('c')
      .node('d', { memoryBytes: 0 })
      .workload('acme/web', { replicas: 4 })
      .settle();
  },
  'a change rolls through, one at a time': (story) => {
    story.node('a').node('b').customer('acme').workload('acme/web', { replicas: 2 }).settle();
    story.say('revision 2').workload('acme/web', { replicas: 2, specRevision: 2 }).settle();
    story
      .say('a revision that does not start stops the roll')
      .workload('acme/web', { replicas: 2, specRevision: 3 })
      .pass();
    story.change('web-00000005', { state: 'failed', reason: 'no such file /bin/wev', since: story.now });
    story.pass();
    story.now += 5_000;
    story.pass();
    story.say('revision 4 mends it').workload('acme/web', { replicas: 2, specRevision: 4 }).settle();
  },
  'a change on full nodes: one goes first, and only where the new one fits': (story) => {
    const full = { memoryBytes: nodeReserveBytes + 64 * mebibyte };
    story.node('a', full).node('b', full).customer('acme').workload('acme/web', { replicas: 2 }).settle();
    story.workload('acme/web', { replicas: 2, specRevision: 2 }).settle();
    story
      .say('too large for any node')
      .workload('acme/web', { replicas: 2, specRevision: 3, memoryBytes: 65 * mebibyte })
      .settle();
  },
  'what leaves is not ready any more first, and goes when it has drained': (story) => {
    const update = { ...usualUpdate, drainMs: 5_000 };
    story.node('a').node('b').customer('acme').workload('acme/web', { replicas: 2, update }).settle();
    story.say('revision 2').workload('acme/web', { replicas: 2, specRevision: 2, update });
    while (story.lines.at(-1) !== '  nothing to do' || plan(story.world, story.now).dueAt !== Infinity) {
      story.pass();
      story.run();
      story.now += 2_500;
    }
    story.say('scaled down').workload('acme/web', { replicas: 1, specRevision: 2, update }).pass();
    story.say('it ends by itself meanwhile').change('web-00000004', { state: 'exited' });
    story.pass();
  },
  'a change goes on when the new one is ready, and halts when it does not become so': (story) => {
    story.node('a').node('b').customer('acme').workload('acme/web', { replicas: 2 }).settle();
    story.say('revision 2 runs and is not ready').workload('acme/web', { replicas: 2, specRevision: 2 }).pass();
    const id = 'web-00000003';
    story.change(id, {
      state: 'running',
      ready: false,
      reason: 'not ready: GET / on port 80: status 503, want 200 to 399',
    });
    story.pass();
    story.now += 180_000;
    story.say('3 min later').pass();
    story
      .say('it ends again and again')
      .change(id, { state: 'exited', reason: 'exited with 1; again in 8 s', restarts: 5 });
    story.pass();
    story.say('it becomes ready').change(id, { state: 'running', ready: true, reason: '' }).settle();
    story.say('one of them is not ready any more, without any change');
    story.change('web-00000004', { ready: false, reason: 'not ready: its network is away' });
    story.now += 180_000;
    story.pass();
  },
  'so many more and so many fewer as a workload allows': (story) => {
    for (const name of ['a', 'b', 'c', 'd']) story.node(name);
    const update = { ...usualUpdate, maxSurge: 2, maxUnavailable: 1 };
    story.customer('acme').workload('acme/web', { replicas: 4, update }).settle();
    story.say('2 more, 1 fewer').workload('acme/web', { replicas: 4, specRevision: 2, update }).settle();
    const inPlace = { ...usualUpdate, maxSurge: 0, maxUnavailable: 2 };
    story.say('none more, 2 fewer').workload('acme/web', { replicas: 4, specRevision: 3, update: inPlace }).settle();
    story.say('scaled down and changed at once').workload('acme/web', { replicas: 2, specRevision: 4 }).settle();
    story.say('scaled up and changed at once').workload('acme/web', { replicas: 4, specRevision: 5 }).settle();
  },
  'a full rack, and a workload that may never be one short': (story) => {
    const full = { memoryBytes: nodeReserveBytes + 64 * mebibyte };
    const update = { ...usualUpdate, maxUnavailable: 0 };
    story.node('a', full).node('b', full).customer('acme').workload('acme/web', { replicas: 2, update }).settle();
    story.workload('acme/web', { replicas: 2, specRevision: 2, update }).settle();
    story.say('one more board').node('c', full).settle();
  },
  'only on boards with its labels, and spread over a label before boards': (story) => {
    story.node('a', { labels: { zone: '1', disk: 'ssd' } }).node('b', { labels: { zone: '1', disk: 'ssd' } });
    story.node('c', { labels: { zone: '2', disk: 'ssd' } }).node('d', { labels: { zone: '2' } });
    story
      .customer('acme')
      .workload('acme/db', { replicas: 1, labels: { disk: 'nvme' } })
      .pass();
    story.workload('acme/db', { replicas: 0 });
    story.workload('acme/web', { replicas: 4, labels: { disk: 'ssd' }, spread: 'zone' }).settle();
    story
      .say('fewer: from the zone with most')
      .workload('acme/web', { replicas: 2, labels: { disk: 'ssd' }, spread: 'zone' });
    story.settle();
    story.say('changed: each zone keeps one').workload('acme/web', {
      replicas: 2,
      specRevision: 2,
      labels: { disk: 'ssd' },
      spread: 'zone',
    });
    story.settle();
  },
  'cordoned nodes keep theirs and get no more; drained ones give theirs away, one after the other': (story) => {
    story.node('a').node('b').node('c').customer('acme').workload('acme/web', { replicas: 3 }).settle();
    story.say('c is cordoned').node('c', { placement: 'cordoned' });
    story.workload('acme/web', { replicas: 5 }).settle();
    story.say('a is drained').node('a', { placement: 'draining' }).settle();
    story.say('b too: there is no other place').node('b', { placement: 'draining' }).settle();
    story.say('a is open again').node('a').settle();
  },
  'nodes go: silent ones keep theirs, lost, fenced and removed ones do not': (story) => {
    story.node('a').node('b').node('c').customer('acme').workload('acme/web', { replicas: 3 }).settle();
    story.say('a is silent').node('a', { state: 'silent', unreadyAt: story.now, since: story.now }).settle();
    story.say('a is lost').node('a', { state: 'lost', unreadyAt: story.now, since: story.now }).settle();
    story.say('b is fenced').node('b', { fenced: true }).settle();
    story.say('c boots again, which may be quick').node('c', { state: 'seen', unreadyAt: story.now, since: story.now });
    story.node('a').settle();
    story.now += 30_000;
    story.say('but is not').settle();
    story.say('a is removed').world.nodes.shift();
    story.world.nodes = story.world.nodes.filter(({ name }) => name !== 'a');
    story.node('d').settle();
  },
  'what is on a silent node counts for nothing in a change, unless its customer holds': (story) => {
    story.node('a').node('b').customer('acme').customer('hold', { holds: true });
    story.workload('acme/web', { replicas: 2 }).workload('hold/web', { replicas: 2 }).settle();
    story.say('a is silent, both change').node('a', { state: 'silent', unreadyAt: story.now, since: story.now });
    story.workload('acme/web', { replicas: 2, specRevision: 2 }).workload('hold/web', { replicas: 2, specRevision: 2 });
    story.settle();
  },
  'a killed customer is left alone': (story) => {
    story.node('a').node('b').customer('acme').workload('acme/web', { replicas: 2 }).settle();
    story.customer('acme', { killed: true }).workload('acme/web', { replicas: 4, specRevision: 2 });
    story.say('killed; a is lost').node('a', { state: 'lost' }).settle();
    story.say('lifted').customer('acme').workload('acme/web', { replicas: 2 }).settle();
  },
  'one on each of the nodes that it is meant for, and none elsewhere': (story) => {
    const full = { memoryBytes: nodeReserveBytes + 32 * mebibyte };
    story.node('a').node('b').node('c').node('d', full).customer('canary');
    story.workload('canary/canary', { replicas: 4, onlyOn: new Set(['mac-a', 'mac-b', 'mac-d', 'mac-e']) }).settle();
    story.say('b is lost, a failed: no other place for them').node('b', { state: 'lost' });
    story.change('canary-00000001', { state: 'failed', reason: 'disk', since: story.now });
    story.now += 60_000;
    story.settle();
    story.say('e is there').node('e').settle();
  },
  'a failed instance is tried elsewhere, later each time': (story) => {
    story.node('a').node('b').customer('acme').workload('acme/web', { replicas: 1 }).settle();
    for (let number = 1; number <= 3; number++) {
      const id = `web-0000000${number}`;
      story.change(id, { state: 'failed', reason: 'squashfs: wrong sha256', since: story.now });
      const failedAt = story.now;
      while (story.world.instances.some((each) => each.id === id)) {
        story.now += 1_000;
        const before = story.lines.length;
        if (story.pass() === 0) story.lines.length = before;
      }
      story.say(`that was after ${(story.now - failedAt) / 1_000} s`);
    }
    story.say('it ran for long before it failed');
    story.now += 700_000;
    story.change('web-00000004', { state: 'failed', reason: 'disk', since: story.now }).pass();
    story.now += 5_000;
    story.pass();
    story.say('exited ones are the agent’s to restart').change('web-00000005', { state: 'exited' }).settle();
  },
};

test('plans', (t) => {
  const text = Object.entries(stories).map(([title, tell]) => {
    const story = new Story();
    tell(story);
    return `${title}\n${story.lines.join('\n')}\n`;
  });
  t.assert.fileSnapshot(text.join('\n'), golden, { serializers: [String] });
});

test('a change leaves no node without a running instance that had one', () => {
  for (const nodes of [2, 3, 5])
    for (const replicas of [nodes, 2 * nodes - 1]) {
      const story = new Story().customer('acme');
      for (let i = 0; i < nodes; i++) story.node(String(i), { memoryBytes: 2 ** 31 });
      story.workload('acme/web', { replicas: replicas }).settle();
      story.workload('acme/web', { replicas: replicas, specRevision: 2 });
      while (story.pass() > 0) {
        const running = story.world.instances.filter(({ state }) => state === 'running');
        assert.equal(new Set(running.map(({ node }) => node)).size, nodes, story.lines.join('\n'));
        story.run();
        story.now += 1_000;
      }
      assert.ok(story.world.instances.every(({ specRevision }) => specRevision === 2));
      assert.equal(story.world.instances.length, replicas);
    }
});

test('ports are unique on a node and go round', () => {
  const story = new Story()
    .node('a', { memoryBytes: 2 ** 40 })
    .customer('acme', { memoryBytes: 2 ** 40, processes: 1e6 });
  story.workload('acme/web', { replicas: 400, needsPort: true }).settle();
  story.workload('acme/web', { replicas: 100, needsPort: true }).settle();
  story.world.nextInstanceNumber = 9_990;
  story.workload('acme/web', { replicas: 300, needsPort: true }).settle();
  const ports = story.world.instances.map(({ port }) => port ?? 0);
  assert.equal(new Set(ports).size, 300);
  assert.ok(ports.every((port) => port >= 20_000 && port < 30_000));
  assert.ok(ports.includes(29_999) && ports.includes(20_000));
});

test('684 nodes and 2,000 workloads are planned, and in slices as at once', async (t) => {
  const story = new Story();
  for (let i = 0; i < 684; i++) story.node(String(i).padStart(3, '0'), { memoryBytes: 2 ** 31 });
  for (let i = 0; i < 200; i++) story.customer(`c${i}`);
  story.world.workloads = Array.from({ length: 2_000 }, (_, i) => ({
    customer: `c${i % 200}`,
    name: `w${i}`,
    replicas: 3,
    specRevision: 1,
    memoryBytes: 64 * mebibyte,
    processes: 32,
    needsPort: true,
    labels: {},
    update: usualUpdate,
  }));
  const times: number[] = [];
  for (let passes = 0; passes < 100; passes++) {
    const began = performance.now();
    const planned = plan(story.world, story.now);
    times.push(performance.now() - began);
    if (story.pass(planned) === 0) break;
    story.run();
  }
  assert.equal(story.world.instances.length, 6_000);
  times.sort((a, b) => a - b);
  const [median = 0, worst = 0] = [times[times.length >> 1], times.at(-1)];
  t.diagnostic(`plan: median ${median.toFixed(1)} ms, worst ${worst.toFixed(1)} ms of ${times.length} passes`);

  // Half of them change, some fail, a node is lost: all that a pass does.
  for (const workload of story.world.workloads.slice(0, 1_000)) workload.specRevision = 2;
  for (const { id } of story.world.instances.slice(0, 50))
    story.change(id, { state: 'failed', since: story.now - 60_000 });
  story.node('003', { state: 'lost' });
  let slices = 1;
  const nextTurn = () => Promise.resolve(slices++);
  const sliced = await inSlices(planInSlices(story.world, story.now), { nextTurn, clock: () => performance.now() });
  assert.deepEqual(sliced, plan(story.world, story.now));
  t.diagnostic(`in ${slices} slices`);
});

test('684 nodes with 10,000 instances: a full plan, and one of an unchanged world', (t) => {
  const story = new Story();
  for (let i = 0; i < 684; i++) story.node(String(i).padStart(3, '0'), { memoryBytes: 2 ** 31 });
  for (let i = 0; i < 20; i++) story.customer(`c${i}`, { memoryBytes: 2 ** 31, processes: 1e6 });
  for (let i = 0; i < 500; i++) story.workload(`c${i % 20}/w${i}`, { replicas: 20, needsPort: true });
  const timed = () => {
    const began = performance.now();
    const planned = plan(story.world, story.now);
    return { planned, ms: performance.now() - began };
  };
  const times: number[] = [];
  for (let passes = 0; passes < 150; passes++) {
    const { planned, ms } = timed();
    times.push(ms);
    if (story.pass(planned) === 0) break;
    story.run();
  }
  assert.equal(story.world.instances.length, 10_000);
  const unchanged = Array.from({ length: 15 }, () => timed().ms).toSorted((a, b) => a - b);
  for (const workload of story.world.workloads) workload.specRevision = 2;
  const rolling = Array.from({ length: 5 }, () => timed().ms).toSorted((a, b) => a - b);
  const [worst = 0] = times.toSorted((a, b) => b - a);
  const median = (sorted: number[]) => sorted[sorted.length >> 1] ?? 0;
  t.diagnostic(
    `pass that places 100: worst ${worst.toFixed(0)} ms; all change: ${median(rolling).toFixed(0)} ms; unchanged: ${median(unchanged).toFixed(1)} ms`,
  );
  // On a quiet machine 200 and 20 ms are the aims; a busy one is no fault of the plan.
  assert.ok(median(rolling) < 1_000 && median(unchanged) < 200);
});

test('a plan says when time alone would change it', () => {
  const story = new Story().node('a').node('b').customer('acme').workload('acme/web', { replicas: 2 }).settle();
  assert.equal(plan(story.world, story.now).dueAt, Infinity);
  story.change('web-00000001', { state: 'failed', reason: 'disk', since: story.now });
  assert.equal(plan(story.world, story.now).dueAt, story.now + 5_000);
  story.node('b', { state: 'seen', unreadyAt: story.now - 29_000, since: story.now });
  assert.equal(plan(story.world, story.now).dueAt, story.now + 1_000);
});

test('what no board can be asked to run is placed nowhere, and said', () => {
  const story = new Story().node('a').customer('acme');
  story
    .workload('acme/big', { replicas: 2, unusable: 'its environment is too large' })
    .workload('acme/web', { replicas: 1 });
  const { actions, problems } = plan(story.world, story.now);
  assert.deepEqual(
    actions.map(({ id }) => id),
    ['web-00000001'],
  );
  assert.deepEqual(
    [...problems],
    [['acme/big', '2 of 2 replicas have no place: its environment is too large; deploy it again without']],
  );
});

test('a board with a thousand instances gets no more, however much memory is left', () => {
  const story = new Story()
    .node('a', { memoryBytes: 2 ** 40 })
    .customer('acme', { memoryBytes: 2 ** 40, processes: 1e9 });
  story.workload('acme/web', { replicas: 1_010 });
  for (let pass = 0; pass < 12; pass++) story.pass();
  assert.equal(story.world.instances.length, 1_000);
  assert.match(story.lines.at(-1) ?? '', /10 of 1010 replicas have no place: .*1000 instances/);
});
