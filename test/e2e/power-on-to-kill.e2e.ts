// The whole path on real parts: two boards boot from their firmware, run two customers' containers, stop one when told,
// keep it stopped through a crash of the controller, and start it again when it is lifted.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { Type } from 'typebox';
import { Drills } from '../../protocol/api/drills.ts';
import { Event } from '../../protocol/api/events.ts';
import { Instance } from '../../protocol/api/instances.ts';
import { KillOrder, KillTimeline } from '../../protocol/api/orders.ts';
import { buildSamples } from '../../images/customer/samples.ts';
import { silentProgress } from '../../images/progress.ts';
import { killCustomer, launchBrowser, liftCustomer, readyNodes } from '../../dashboard/browser.ts';
import { defaultCacheDir, virtualRack, type VirtualRack } from '../qemu/rack.ts';
import { until } from '../until.ts';
import { answers, watchService } from './service.ts';

/** Of the five seconds in which a board that runs has stopped a customer. */
const starvedMs = 1_000;
/** For a board that starts a container beside another. */
const limit = { withinMs: 120_000, everyMs: 100 };

interface Story {
  rack: VirtualRack;
  /** Where the services of each answer, once they are deployed. */
  acme: string[];
  bolt: string[];
}

/** One story: each step finds the rack as the one before it left it. */
const steps: Record<string, (it: Story, t: TestContext) => Promise<void>> = {
  'a board tells what it is, and how it does': async ({ rack }) => {
    const boards = await rack.allReady();
    assert.match(boards[0]?.facts?.kernel ?? '', /^6\./);
    assert.ok((boards[0]?.facts?.memoryBytes ?? 0) > 2 ** 28);
    for (const node of rack.nodes)
      await node.until(({ sample }) => sample !== null && sample.memoryTotalBytes > 0, { what: 'reporting samples' });
  },

  'every state of a boot is an event with its reason': async ({ rack }) => {
    const told = await eventsOf(rack, rack.node(1).mac);
    for (const state of ['seen', 'loading', 'joining', 'ready']) assert.match(told, new RegExp(state));
  },

  'two customers are deployed by the command line': async (it) => {
    const { rack } = it;
    const samples = await buildSamples({ cacheDir: defaultCacheDir, progress: silentProgress });
    await muster(rack, `image import ${samples.web} --name web`);
    await muster(rack, `image import ${samples.worker} --name worker`);
    for (const customer of ['acme', 'bolt']) {
      await muster(rack, `customer add ${customer}`);
      await muster(rack, `deploy ${customer}/web --image web --replicas 2 --port 8080 --memory 32M`);
    }
    await muster(rack, 'deploy acme/work --image worker --replicas 2');
    it.acme = await endpoints(rack, 'acme');
    it.bolt = await endpoints(rack, 'bolt');
  },

  'replicas are spread over both boards, and both services answer': async ({ rack, acme, bolt }) => {
    for (const urls of [acme, bolt]) {
      assert.equal(new Set(urls.map((url) => new URL(url).hostname)).size, 2, urls.join(' '));
      for (const url of urls) await until(`${url} to answer`, () => answers(rack, url), limit);
    }
    const page = await rack.fetch(acme[0] ?? '');
    assert.match(page.body, /acme/);
    await until(
      'the worker to log',
      async () => /\d/.test((await muster(rack, 'logs acme/work --tail 5')).stdout),
      limit,
    );
  },

  'one customer is stopped, the other never stops answering': async ({ rack, acme, bolt }, t) => {
    await using watch = watchService(rack, bolt);
    await stopped({ rack, t }, 'kill acme --reason end-to-end');
    for (const url of acme) assert.equal(await answers(rack, url), false);
    for (const node of rack.nodes) {
      const { customers } = await diagnosis(rack, node.mac);
      assert.match(customers, /bolt\/pids.current:[1-9]/);
      assert.doesNotMatch(customers, /acme\/pids.current:[1-9]/);
    }
    const order = await rack.controller.get('/v1/kill/1', KillTimeline);
    // By a receipt, or where an emulated board is slow, by what proves the same.
    assert.ok(order.timeline.every(({ evidence }) => evidence !== null));
    t.diagnostic(`stopped on both boards, slowest ${order.slowestMs} ms`);
    await watch.next();
    assert.deepEqual(watch.failures, []);
  },

  'the order stands through kill -9 of the controller, which stops nobody': async ({ rack, acme, bolt }, t) => {
    await using watch = watchService(rack, bolt);
    const awaySinceMs = performance.now();
    await rack.controller.kill9();
    await rack.controller.start();
    const awayMs = performance.now() - awaySinceMs;
    t.diagnostic(`controller ready ${Math.round(rack.controller.startedInMs)} ms after its process started`);
    await rack.allReady();
    assert.match((await muster(rack, 'kills --json')).stdout, /"scope": ?"acme"/);
    for (const url of acme) assert.equal(await answers(rack, url), false);
    const again = await rack.cli('kill acme --reason again');
    assert.notEqual(again.code, 0);
    assert.match(again.stderr, /already/);
    await watch.next();
    // Permits bridge two seconds, and not what a slow machine adds to a start.
    if (awayMs < 2_000) assert.deepEqual(watch.failures, []);
    else t.diagnostic(`the controller was away for ${Math.round(awayMs)} ms: who may stop by that is not looked at`);
    await until('bolt to answer twice', () => answersTwice(rack, 'bolt'), limit);
  },

  'a board that starts again while the order stands does not run the customer': async ({ rack }) => {
    const board = rack.node(2);
    const { bootId } = await board.ready();
    await board.powerOff();
    await board.powerOn();
    await board.until((node) => node.state === 'ready' && node.bootId !== bootId, { what: 'ready again' });
    // Its instances may have been placed on the other board meanwhile.
    await until('bolt to answer twice', () => answersTwice(rack, 'bolt'), limit);
    const { customers } = await diagnosis(rack, board.mac);
    assert.doesNotMatch(customers, /acme\/pids.current:[1-9]/);
  },

  'lifted, the service answers again': async ({ rack }) => {
    await muster(rack, 'lift acme');
    await until('acme to answer twice', () => answersTwice(rack, 'acme'), limit);
  },

  'an operator stops a customer in the browser, and lifts the order there': async ({ rack }) => {
    await using browser = await launchBrowser();
    const url = `${rack.controller.url}/#token=${await rack.controller.token()}`;
    await using dashboard = await browser.open(url, { width: 1280, height: 900, colorScheme: 'dark' });
    const { page } = dashboard;
    await readyNodes(page, { count: 2, timeoutMs: 60_000 });
    await page.screenshot({ path: join(rack.artefactsDir, 'dashboard.png'), fullPage: true });
    const stopping = await endpoints(rack, 'bolt');
    await killCustomer(page, { customer: 'bolt', reason: 'end-to-end' });
    await page.getByTestId('kill-progress').and(page.locator('[data-outcome=done]')).waitFor({ timeout: 30_000 });
    await page.screenshot({ path: join(rack.artefactsDir, 'dashboard-killed.png'), fullPage: true });
    assert.match((await page.getByTestId('kill-count').textContent()) ?? '', /2\/2 stopped/);
    for (const each of stopping) assert.equal(await answers(rack, each), false);
    await page.getByTestId('kill-close').click();
    await liftCustomer(page, 'bolt');
    await until('bolt to answer twice', () => answersTwice(rack, 'bolt'), limit);
    assert.deepEqual(dashboard.complaints, []);
  },

  'everything is stopped, and lifted': async ({ rack }, t) => {
    const stopping = [...(await endpoints(rack, 'acme')), ...(await endpoints(rack, 'bolt'))];
    assert.equal(stopping.length, 4);
    await stopped({ rack, t }, 'kill --everything --reason end-to-end');
    for (const url of stopping) assert.equal(await answers(rack, url), false);
    await muster(rack, 'lift --everything');
    await until('bolt to answer twice', () => answersTwice(rack, 'bolt'), limit);
  },

  'a drill: a canary on each board is killed, measured and taken away, and proven': async ({ rack }, t) => {
    const said = await inTime({ rack, t }, 'drill');
    const { drills } = await rack.controller.get('/v1/drills', Drills);
    const [drill] = drills;
    const outcome = said === undefined ? 'late' : 'passed';
    assert.deepEqual([drill?.outcome, drill?.nodes, drill?.stopped], [outcome, 2, 2]);
    t.diagnostic(`drill: median ${drill?.medianMs} ms, slowest ${drill?.slowestMs} ms`);
    // A board that is late may be proven by its silence.
    const proof = said === undefined ? /drill 1/ : /drill 1[^]*receipt[^]*receipt/;
    assert.match((await muster(rack, `kill show ${drill?.order}`)).stdout, proof);
    assert.doesNotMatch((await muster(rack, 'ps')).stdout, /canary/);
    await muster(rack, 'audit verify');
  },

  'a board whose cable is pulled stops its customers by itself, and takes them up again': async ({ rack }) => {
    const board = rack.node(1);
    await board.unplug();
    await board.until(({ state }) => state === 'silent', { what: 'silent' });
    await board.serial.waitFor(/silence/);
    await board.plug();
    await board.ready();
    await until('bolt to answer twice', () => answersTwice(rack, 'bolt'), limit);
  },
};

test('from power-on to the kill switch', { timeout: 900_000 }, async (t) => {
  await using rack = await virtualRack({ name: 'power-on-to-kill', uboot: 1, uefi: 1 });
  const boards = await rack.allReady({ timeoutMs: 300_000 });
  assert.deepEqual(boards.map(({ firmware }) => firmware ?? 'unknown').toSorted(), ['uboot', 'uefi']);
  const it: Story = { rack, acme: [], bolt: [] };
  for (const [name, step] of Object.entries(steps)) await t.test(name, (each) => step(it, each));
});

/** Runs `muster …` and wants it to succeed. */
async function muster(rack: VirtualRack, words: string): Promise<{ stdout: string; stderr: string }> {
  const output = await rack.cli(words, { timeoutMs: 120_000 });
  assert.equal(output.code, 0, `muster ${words}: ${output.stderr} ${output.stdout}`);
  return output;
}

/** Gives a kill order by the command line, which waits for both boards. One that comes late must be confirmed all the same. */
async function stopped({ rack, t }: { rack: VirtualRack; t: TestContext }, words: string): Promise<void> {
  const said = await inTime({ rack, t }, words);
  if (said !== undefined) return assert.match(said, /2\/2 stopped/);
  await until('both boards confirm', async () => {
    const { orders } = await rack.controller.get('/v1/kill', Type.Object({ orders: Type.Array(KillOrder) }));
    return orders.every(({ liftedAt, unacknowledged }) => liftedAt !== null || unacknowledged.length === 0);
  });
}

/** What the command said; undefined where boards were late, and a machine that gave them no processor made them so. */
async function inTime({ rack, t }: { rack: VirtualRack; t: TestContext }, words: string): Promise<string | undefined> {
  const waited = () => Promise.all(rack.nodes.map((node) => node.waitedMs()));
  const before = await waited();
  const { code, stdout, stderr } = await rack.cli(words, { timeoutMs: 120_000 });
  if (code === 0) return stdout;
  const waitedMs = (await waited()).map((ms, i) => Math.round(ms - (before[i] ?? 0)));
  t.diagnostic(`boards without a processor for ${waitedMs.join(' and ')} ms: ${stderr.trim()}`);
  assert.ok(Math.max(...waitedMs) > starvedMs, `muster ${words}: ${stderr} ${stdout}`);
  return undefined;
}

async function endpoints(rack: VirtualRack, customer: string): Promise<string[]> {
  const { instances } = await rack.controller.get(
    `/v1/instances?customer=${customer}`,
    Type.Object({ instances: Type.Array(Instance) }),
  );
  return instances.flatMap(({ endpoint, state }) => (endpoint !== null && state === 'running' ? [endpoint] : []));
}

async function eventsOf(rack: VirtualRack, subject: string): Promise<string> {
  const { events } = await rack.controller.get(
    `/v1/events?limit=1000&subject=${subject}`,
    Type.Object({ events: Type.Array(Event) }),
  );
  return events.map(({ message }) => message).join('\n');
}

function diagnosis(rack: VirtualRack, mac: string): Promise<{ customers: string }> {
  return rack.controller.get(`/v1/nodes/${mac}/diagnosis`, Type.Object({ customers: Type.String() }));
}

async function answersTwice(rack: VirtualRack, customer: string): Promise<boolean> {
  const urls = await endpoints(rack, customer);
  return urls.length === 2 && (await Promise.all(urls.map((url) => answers(rack, url)))).every(Boolean);
}
