// The page in headless Chromium, at the size of a whole rack, with a stream that follows a script: the rack, its nodes
// and its events. Kills, orders and the proof are in `kill.e2e.ts`, `orders.e2e.ts` and `proof.e2e.ts`. Screenshots
// are kept under `artefacts/dashboard/`.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { printableLines } from '../protocol/printable.ts';
import {
  killCustomer,
  launchBrowser,
  live,
  picture,
  wholePicture,
  poorContrast,
  readyNodes,
  says,
  sidewaysOverflow,
  type DashboardBrowser,
} from './browser.ts';
import {
  macOf,
  rackOf,
  sampleOf,
  scriptedApproval,
  scriptedDrill,
  scriptedEvent,
  scriptedOrder,
} from './scripted-rack.ts';

const wholeRack = 684;

let browser: DashboardBrowser;
before(async () => (browser = await launchBrowser()));
after(() => browser[Symbol.asyncDispose]());

for (const colorScheme of ['light', 'dark'] as const) {
  test(`a whole rack shows every node by its state, in ${colorScheme}`, async () => {
    await using rack = await rackOf(wholeRack);
    await using opened = await browser.open(rack.pageUrl, { colorScheme });
    const { page, complaints } = opened;
    assert.equal(await page.getByTestId('cell').count(), wholeRack);
    assert.equal(await page.getByTestId('ready-count').textContent(), '676/684');
    assert.equal(await page.getByTestId('rack-name').textContent(), 'rack-07');
    assert.equal(await page.getByTestId('connection').textContent(), 'Live');
    // Which one it is matters most where something is wrong with it.
    assert.equal(await page.locator('[data-slot="212"]').getAttribute('data-mark'), '!');
    for (const slot of [31, 32, 35, 212, 380, 381, 540])
      assert.equal(await page.locator(`[data-slot="${slot}"]`).innerText(), String(slot));
    assert.equal(await page.getByTestId('ready-note').textContent(), '1 silent, 1 lost, 1 stuck');
    assert.equal(await page.getByTestId('operator').textContent(), 'as root');
    assert.equal(await sidewaysOverflow(page), 0);
    await picture(page, `rack-684-${colorScheme}`);
    await page.setViewportSize({ width: 1440, height: 1200 });
    await page.getByTestId('customers').scrollIntoViewIfNeeded();
    await wholePicture(page, `rack-684-${colorScheme}-whole`);
    assert.deepEqual(complaints, []);
  });
}

test('two nodes are shown as cards, one of them on its way up', async () => {
  await using rack = await rackOf(2);
  const [, second] = rack.snapshot.nodes;
  assert.ok(second);
  Object.assign(second, { state: 'loading', stage: 'kernel', reason: 'loads its system', sample: null });
  await using opened = await browser.open(rack.pageUrl, { width: 1280, height: 860 });
  const { page, complaints } = opened;
  await page.getByTestId('cell').nth(1).click();
  await says(page.getByTestId('node-name'), second.name);
  const current = page.getByTestId('boot-steps').locator('[aria-current="step"]');
  assert.equal(await current.textContent(), 'kernel');
  await picture(page, 'two-nodes-booting');
  rack.tell('node', { ...second, stage: 'root-verified' });
  await page.locator('[aria-current="step"]', { hasText: 'root' }).waitFor();
  rack.tell('node', {
    ...second,
    state: 'ready',
    stage: 'joined',
    reason: 'first heartbeat',
    bootDurationMs: 41_230,
    sample: sampleOf(() => 0.5),
  });
  await readyNodes(page, { count: 2, timeoutMs: 10_000 });
  await says(page.getByTestId('node-panel'), 'Booted in 41.2 s.');
  assert.equal(await page.getByRole('meter', { name: 'CPU core 1' }).getAttribute('aria-valuenow'), '25');
  await picture(page, 'two-nodes-light');
  await page.emulateMedia({ colorScheme: 'dark' });
  await picture(page, 'two-nodes-dark');
  assert.deepEqual(complaints, []);
});

test('the rack is walked with the arrow keys, and Tab enters it once', async () => {
  await using rack = await rackOf(wholeRack);
  await using opened = await browser.open(rack.pageUrl);
  const { page } = opened;
  const focusedSlot = () => page.locator(':focus').getAttribute('data-slot');
  assert.equal(await page.locator('[data-testid="cell"][tabindex="0"]').count(), 1);
  await page.getByTestId('find').focus();
  await page.keyboard.press('Tab');
  assert.equal(await focusedSlot(), '1');
  await page.keyboard.press('ArrowRight');
  assert.equal(await focusedSlot(), '2');
  const columns = Number(
    await page.evaluate(`getComputedStyle(document.getElementById('rack')).gridTemplateColumns.split(' ').length`),
  );
  await page.keyboard.press('ArrowDown');
  assert.equal(await focusedSlot(), String(2 + columns));
  await page.keyboard.press('ArrowUp');
  assert.equal(await focusedSlot(), '2');
  await page.keyboard.press('End');
  assert.equal(await focusedSlot(), String(wholeRack));
  await page.keyboard.press('Home');
  for (let step = 0; step < 4; step += 1) await page.keyboard.press('ArrowRight');
  await page.getByTestId('tip').waitFor();
  await says(page.getByTestId('tip'), 'slot 5 · ready');
  await page.keyboard.press('Enter');
  await says(page.getByTestId('node-name'), 'node-c20005');
  assert.equal(await page.locator('[aria-selected="true"]').getAttribute('data-slot'), '5');
  await page.keyboard.press('Escape');
  await page.getByTestId('tip').waitFor({ state: 'hidden' });
  // The focus stays where it is when nodes come and go.
  rack.tell('node-removed', { mac: macOf(3) });
  await page.locator('.cell.hole').waitFor();
  assert.equal(await focusedSlot(), '5');
});

test('nodes are found by slot and customer, and by state', async () => {
  await using rack = await rackOf(wholeRack);
  await using opened = await browser.open(rack.pageUrl);
  const { page } = opened;
  await page.getByTestId('find').fill('212');
  assert.equal(await page.locator('.cell[data-mac]:not(.faded)').count(), 1);
  await page.getByTestId('find').press('Enter');
  await says(page.getByTestId('node-panel'), 'no heartbeat for 3 s');
  await page.getByTestId('find').fill('acme');
  assert.equal(await page.locator('.cell[data-mac]:not(.faded)').count(), 2);
  await page.getByTestId('find').fill('');
  await page.getByTestId('legend-lost').click();
  assert.equal(await page.getByTestId('legend-lost').getAttribute('aria-pressed'), 'true');
  assert.equal(await page.locator('.cell[data-mac]:not(.faded)').getAttribute('data-slot'), '380');
  await says(page.getByTestId('found'), '1 found');
  await page.getByTestId('find').fill('no such node');
  await says(page.getByTestId('found'), '0 found');
});

test('the page comes back after a cut, and shows what the controller then says', async () => {
  await using rack = await rackOf(2);
  await using opened = await browser.open(rack.pageUrl);
  const { page } = opened;
  const [first] = rack.snapshot.nodes;
  rack.snapshot = { ...rack.snapshot, nodes: first === undefined ? [] : [first], customers: [], instances: [] };
  // The next connection has to wait a moment, so that the page can be seen without one.
  let isDown = true;
  await page.route('**/v1/stream', (route) => (isDown ? route.fulfill({ status: 503 }) : route.continue()));
  rack.cut();
  await says(page.getByTestId('connection'), /Reconnecting: shown as of \d\d:\d\d/);
  await picture(page, 'reconnecting');
  isDown = false;
  await live(page);
  await says(page.getByTestId('ready-count'), '1/1');
  assert.equal(await page.getByTestId('cell').count(), 1);
  assert.equal(await page.getByTestId('customer').count(), 0);
});

test('events are appended live, filtered, and bounded', async () => {
  await using rack = await rackOf(2);
  await using opened = await browser.open(rack.pageUrl);
  const { page } = opened;
  rack.tell('event', { ...scriptedEvent(61, Date.now()), message: 'something new' });
  await says(page.getByTestId('event').first(), 'something new');
  for (let id = 62; id < 400; id += 1) rack.tell('event', scriptedEvent(id, Date.now()));
  rack.tell('event', { ...scriptedEvent(400, Date.now()), message: 'the last one' });
  await says(page.getByTestId('event').first(), 'the last one');
  assert.equal(await page.getByTestId('event').count(), 200);
  await page.getByTestId('event-filter').fill('LAST one');
  assert.equal(await page.getByTestId('event').count(), 1);
  await page.getByTestId('event-filter').fill('no such event');
  await says(page.locator('#events-empty'), '0 found: none of the last 200 events has “no such event”.');
});

test('how a workload was wanted is told where it is opened, and again when it was changed', async () => {
  await using rack = await rackOf(2);
  const [workload] = rack.snapshot.workloads;
  assert.ok(workload);
  const { customer, name } = workload;
  const path = `/v1/workloads/${customer}/${name}/history`;
  const first = { revision: 1, at: Date.now(), by: 'anna', image: 'web:1.3', digest: 'a', changes: ['image web:1.3'] };
  const second = {
    ...first,
    revision: 2,
    by: null,
    image: 'web:1.4',
    changes: ['image web:1.3 → web:1.4', '<b>x</b>'],
  };
  rack.reads.set(path, { revisions: [{ ...first, current: true }] });
  await using opened = await browser.open(rack.pageUrl);
  const { page, complaints } = opened;
  const history = page.locator(`[data-customer="${customer}"]`).getByTestId('history');
  await history.locator('summary').click();
  await says(history.getByTestId('revisions'), /^1 \(now\) \d\d:\d\d by anna: image web:1\.3$/);
  rack.reads.set(path, {
    revisions: [
      { ...second, current: true },
      { ...first, current: false },
    ],
  });
  rack.tell('workload', { ...workload, revision: 2 });
  await says(
    history.getByTestId('revisions'),
    /^2 \(now\) \d\d:\d\d: image web:1\.3 → web:1\.4, <b>x<\/b>1 \d\d:\d\d by anna: image web:1\.3$/,
  );
  assert.deepEqual(complaints, []);
});

test('what a node or a customer says is text, never markup, and never a way out', async () => {
  await using rack = await rackOf(2);
  const evil = '<img src=x onerror="document.title=1"><script>document.title=1</script>';
  // Read from right to left, and with what is no character at all.
  const turned = '\u202eydaer\u2066\u200f\u0000\u001b[2J\u009b\ud800';
  const [node] = rack.snapshot.nodes;
  const [instance] = rack.snapshot.instances;
  assert.ok(node && instance);
  await using opened = await browser.open(rack.pageUrl);
  const { page, complaints } = opened;
  const facts = node.facts === null ? null : { ...node.facts, model: evil, kernel: evil };
  rack.tell('node', { ...node, name: evil, reason: evil, serial: evil, facts });
  rack.tell('instance', {
    ...instance,
    reason: evil,
    state: 'failed',
    nodeName: evil,
    endpoint: 'javascript:alert(1)',
  });
  rack.tell('event', { id: 900, at: Date.now(), kind: evil, subject: evil, message: evil });
  rack.tell('kill', { ...scriptedOrder({ number: 5, scope: 'acme', unacknowledged: [evil] }), reason: evil });
  rack.tell('event', { id: 901, at: Date.now(), kind: turned, subject: turned, message: turned.repeat(150) });
  await says(page.getByTestId('event').first(), 'ydaer');
  rack.tell('node', { ...node, reason: turned, serial: turned.repeat(150), stage: turned, state: 'loading' });
  await says(page.getByTestId('node-reason'), 'ydaer');
  const text = String(await page.evaluate('document.body.textContent'));
  assert.equal(text, printableLines(text));
  assert.equal(await sidewaysOverflow(page), 0);
  rack.tell('node', { ...node, name: evil, reason: evil, serial: evil, facts });
  await says(page.getByTestId('order'), evil);
  await says(page.getByTestId('node-name'), evil);
  await says(page.getByTestId('event').nth(1), evil);
  assert.equal(await page.locator('main img, main script, #orders img, #orders script').count(), 0);
  assert.equal(await page.locator('a[href^="javascript"]').count(), 0);
  assert.match(await page.title(), /^KILLED acme/);
  assert.equal(await sidewaysOverflow(page), 0);
  assert.deepEqual(complaints, []);
});

test('a phone needs no sideways scrolling, and reaches the kill button', async () => {
  await using rack = await rackOf(wholeRack);
  rack.snapshot.kills.push(
    scriptedOrder({ number: 4, scope: 'initech', stopped: 1, nodes: 2, unacknowledged: ['node-c20212'] }),
  );
  await using opened = await browser.open(rack.pageUrl, { width: 390, height: 844 });
  const { page, complaints } = opened;
  assert.equal(await sidewaysOverflow(page), 0);
  await picture(page, 'phone-684');
  await wholePicture(page, 'phone-684-whole');
  await page.getByRole('link', { name: 'Customers' }).click();
  await picture(page, 'phone-customers');
  await page.setViewportSize({ width: 320, height: 640 });
  assert.equal(await sidewaysOverflow(page), 0);
  rack.answer = () => scriptedOrder({ number: 6, scope: 'acme', stopped: 2, slowestMs: 143 });
  await killCustomer(page, { customer: 'acme', reason: 'from the train' });
  await says(page.getByTestId('kill-count'), '2/2 stopped, slowest 143 ms');
  await picture(page, 'phone-kill-count');
  assert.deepEqual(complaints, []);
});

test('everything that can be worked has a name, and text can be read', async () => {
  await using rack = await rackOf(30);
  rack.snapshot.kills.push(scriptedOrder({ number: 4, scope: 'initech', stopped: 2 }));
  rack.snapshot.approvals.push(scriptedApproval({ id: 7 }));
  rack.snapshot.drills.push(scriptedDrill({ number: 1, order: 3 }));
  for (const colorScheme of ['light', 'dark'] as const) {
    await using opened = await browser.open(rack.pageUrl, { colorScheme });
    const { page } = opened;
    const snapshot = await page.locator('body').ariaSnapshot();
    assert.doesNotMatch(snapshot, /^\s*- (button|textbox|searchbox|link|option|meter|listbox|dialog)(?! ")/m);
    for (const role of ['banner', 'main', 'listbox', 'complementary'] as const)
      assert.equal(await page.getByRole(role).count(), 1, role);
    assert.equal(await page.getByRole('heading', { level: 1 }).count(), 1);
    assert.deepEqual(await poorContrast(page), [], `contrast in ${colorScheme}`);
  }
});

test('a whole rack that reports each second costs little of each second', async (t) => {
  await using rack = await rackOf(wholeRack);
  await using opened = await browser.open(rack.pageUrl);
  const { page } = opened;
  await page.evaluate(`
    window.longTasks = [];
    window.shift = 0;
    new PerformanceObserver((list) => {
      for (const entry of list.getEntries()) window.shift += entry.value;
    }).observe({ entryTypes: ['layout-shift'] });
    new PerformanceObserver((list) => {
      for (const entry of list.getEntries()) window.longTasks.push(entry.duration);
    }).observe({ entryTypes: ['longtask'] });
  `);
  const session = await page.context().newCDPSession(page);
  // Of the page's own processor time: what else the machine does is left out.
  await session.send('Performance.enable', { timeDomain: 'threadTicks' });
  const taskSeconds = async () => {
    const { metrics } = await session.send('Performance.getMetrics');
    return Object.fromEntries(metrics.map(({ name, value }) => [name, value]));
  };
  const earlier = await taskSeconds();
  const rounds = 10;
  const started = performance.now();
  for (let round = 1; round <= rounds; round += 1) {
    const samples = rack.snapshot.nodes
      .filter(({ state }) => state === 'ready')
      .map(({ mac }) => [mac, { ...sampleOf(Math.random), uptimeSeconds: round }] as const);
    rack.tell('samples', Object.fromEntries(samples));
    rack.tell('event', { ...scriptedEvent(1_000 + round, Date.now()), message: `round ${round}` });
    await says(page.getByTestId('event').first(), `round ${round}`);
  }
  const afterwards = await taskSeconds();
  // Nothing moves while figures do.
  assert.ok(Number(await page.evaluate('window.shift')) < 0.001);
  const longTasks = await page.evaluate('window.longTasks');
  assert.ok(Array.isArray(longTasks));
  const spent = (name: string) => (((afterwards[name] ?? 0) - (earlier[name] ?? 0)) * 1000) / rounds;
  const longest = longTasks.reduce((most: number, each: unknown) => Math.max(most, Number(each)), 0);
  t.diagnostic(
    `${rounds} rounds of 676 samples in ${Math.round(performance.now() - started)} ms; per round: ` +
      `${spent('TaskDuration').toFixed(1)} ms of the main thread's processor time, of it ${spent('ScriptDuration').toFixed(1)} ms script, ` +
      `${spent('LayoutDuration').toFixed(1)} ms layout, ${spent('RecalcStyleDuration').toFixed(1)} ms style; ` +
      `tasks over 50 ms: ${longTasks.length}, longest ${Math.round(longest)} ms; ` +
      `heap ${((afterwards['JSHeapUsedSize'] ?? 0) / 2 ** 20).toFixed(1)} MiB`,
  );
  // Rarer, and larger: every node goes silent, and every node comes back.
  const settled = await taskSeconds();
  for (let round = 1; round <= rounds; round += 1) {
    for (const node of rack.snapshot.nodes) rack.tell('node', { ...node, state: round % 2 === 0 ? 'ready' : 'silent' });
    await says(page.getByTestId('ready-count'), round % 2 === 0 ? '684/684' : '0/684');
  }
  const after684 = await taskSeconds();
  const cost = ['ScriptDuration', 'LayoutDuration', 'RecalcStyleDuration'].map((name) =>
    ((((after684[name] ?? 0) - (settled[name] ?? 0)) * 1000) / rounds).toFixed(1),
  );
  t.diagnostic(`684 nodes change their state: ${cost[0]} ms script, ${cost[1]} ms layout, ${cost[2]} ms style`);
  // Processor time, so that it holds on a machine that boots boards meanwhile; long tasks are by the clock, and told only.
  assert.ok(spent('TaskDuration') < 100, `${spent('TaskDuration')} ms of main thread for each second's samples`);
});

test('a node that starts anew does not show what it was before; one that is not heard shows it as old', async () => {
  await using rack = await rackOf(2);
  await using opened = await browser.open(rack.pageUrl);
  const { page } = opened;
  const [first] = rack.snapshot.nodes;
  assert.ok(first);
  const sample = page.getByTestId('node-sample');
  await says(sample, 'Temperature');
  rack.tell('node', { ...first, state: 'silent' });
  await says(page.getByTestId('node-panel'), /As it was when it was last heard, \d\d:\d\d:\d\d:/);
  assert.equal(await sample.getAttribute('data-stale'), 'true');
  rack.tell('node', { ...first, state: 'loading', stage: 'kernel' });
  await says(page.getByTestId('boot-steps'), 'kernel');
  assert.equal(await sample.textContent(), '');
  rack.tell('samples', { [first.mac]: first.sample });
  rack.tell('event', { ...scriptedEvent(700, Date.now()), message: 'drawn by now' });
  await says(page.getByTestId('event').first(), 'drawn by now');
  assert.equal(await sample.textContent(), '');
  assert.equal(await page.getByTestId('cell').first().locator('.word').textContent(), 'loading · kernel');
});

test('a rack without a ready node looks and sounds like an alarm, and so does a controller in trouble', async () => {
  await using rack = await rackOf(wholeRack);
  for (const node of rack.snapshot.nodes) Object.assign(node, { state: 'lost', sample: null });
  rack.snapshot.status.problems.push('the disk takes nothing: no space left');
  await using opened = await browser.open(rack.pageUrl);
  const { page } = opened;
  await says(page.getByTestId('alarms'), 'NO NODE IS READY: 684 lost.');
  await says(page.getByTestId('alarms'), 'the disk takes nothing');
  await says(page.getByTestId('announce'), /NO NODE IS READY.*the disk takes nothing/);
  assert.equal(await page.getByTestId('announce').getAttribute('role'), 'alert');
  assert.match(await page.title(), /^ALARM · 0\/684 ready/);
  const background = (selector: string) =>
    page.evaluate(`getComputedStyle(document.querySelector('${selector}')).backgroundColor`);
  assert.notEqual(await background('#ready'), await background('#ready + div'));
  await picture(page, 'alarm');
  for (const node of rack.snapshot.nodes) rack.tell('node', { ...node, state: 'ready' });
  await says(page.getByTestId('ready-count'), '684/684');
  assert.equal(await page.getByTestId('alarms').textContent(), 'the disk takes nothing: no space left');
});

test('everything at once: a boot of the whole rack is drawn as it comes', async () => {
  await using rack = await rackOf(wholeRack);
  const { nodes } = rack.snapshot;
  rack.snapshot = { ...rack.snapshot, nodes: [], instances: [] };
  await using opened = await browser.open(rack.pageUrl);
  const { page } = opened;
  await says(page.locator('#rack-empty'), 'No node has been seen yet');
  for (const node of nodes) rack.tell('node', { ...node, state: 'loading', stage: 'kernel', sample: null });
  for (const node of nodes) rack.tell('node', { ...node, state: 'ready' });
  await readyNodes(page, { count: wholeRack, timeoutMs: 10_000 });
  await says(page.getByTestId('ready-count'), '684/684');
});
