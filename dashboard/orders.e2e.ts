// Kill orders node by node, what waits for a second operator, and what holds on silence; see `page.e2e.ts`.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import {
  customerEntry,
  launchBrowser,
  looks,
  picture,
  poorContrast,
  says,
  sidewaysOverflow,
  type DashboardBrowser,
} from './browser.ts';
import { killReportHtml } from './kill-report.ts';
import { rackOf, scriptedApproval, scriptedOrder, scriptedTimeline } from './scripted-rack.ts';

const wholeRack = 684;

let browser: DashboardBrowser;
before(async () => (browser = await launchBrowser()));
after(() => browser[Symbol.asyncDispose]());

for (const { look, ...options } of looks) {
  test(`an order is told node by node, those without evidence on top, then the slowest: ${look}`, async () => {
    await using rack = await rackOf(wholeRack);
    const timeline = scriptedTimeline(4, wholeRack);
    rack.reads.set('/v1/kill/4', timeline);
    rack.snapshot.kills.push(
      timeline,
      scriptedOrder({ number: 3, scope: 'acme', stopped: 2, slowestMs: 143, liftedAt: 1 }),
    );
    await using opened = await browser.open(rack.pageUrl, options);
    const { page, complaints } = opened;
    await page.getByTestId('order').getByTestId('order-show').click();
    const dialog = page.getByTestId('order-dialog');
    await says(dialog, 'Order 4: EVERYTHING');
    await says(dialog, 'anna, approved by ben: fire in row 4.');
    await says(
      page.getByTestId('order-summary'),
      /^683\/684 nodes stopped, half of them within \d+ ms, the slowest 3.91 s$/,
    );
    const rows = page.getByTestId('timeline-node');
    assert.equal(await rows.count(), wholeRack);
    const names = await rows.locator('strong').allTextContents();
    assert.deepEqual(names.slice(0, 4), ['node-c2017c', 'node-c200d4', 'node-c2017d', 'node-c2012c']);
    await says(
      rows.nth(0),
      /not acknowledged.*not acknowledged.*nothing proves yet.*by its power: tried \(outlet 12 of pdu-3/,
    );
    await says(rows.nth(1), /silence past the bound.*3.91 s/);
    await says(rows.nth(2), /power.*3.38 s.*connection refused.*stopped it/);
    await says(rows.nth(3), /SSH.*2.64 s.*emptied 3 control groups/);
    await says(
      rows.nth(4),
      /receipt.*permit sent after \d+ ms · stopped within \d+ ms of it, 3 processes · acknowledged after \d+ ms/,
    );
    await says(
      dialog,
      'globex: holds on silence. On a node that hears no controller it keeps running: no bound holds there.',
    );
    const html = killReportHtml({ order: timeline, rack: 'rack-07', audit: null, at: Date.now() });
    await page.route('**/v1/kill/4/report', (route) => route.fulfill({ contentType: 'text/html', body: html }));
    const [report] = await Promise.all([page.waitForEvent('popup'), page.getByTestId('order-report').click()]);
    await report.getByRole('heading', { name: 'Kill order 4' }).waitFor();
    // Its style is inline, and allowed.
    assert.equal(await report.evaluate(`getComputedStyle(document.body).maxWidth`), '980px');
    await report.close();
    assert.equal(await sidewaysOverflow(page), 0);
    // All of the 684 are alike but for the first few.
    const looked = '#order-dialog *:not(.timeline *), .timeline > li:nth-child(-n + 6) *';
    assert.deepEqual(await poorContrast(page, looked), []);
    await picture(page, `order-${look}`);

    // The last node is proven silent: the open view follows without being asked.
    const [first, ...others] = timeline.timeline;
    assert.ok(first);
    const nodes = [first, ...others].map((node) =>
      node.evidence === null ? { ...node, evidence: 'silence' as const, evidenceAfterMs: 4_020 } : node,
    );
    const later = { ...timeline, stopped: wholeRack, unacknowledged: [], slowestMs: 4_020, timeline: nodes };
    rack.reads.set('/v1/kill/4', later);
    rack.tell('kill', scriptedOrder({ ...later, number: 4, scope: '*' }));
    await says(page.getByTestId('order-summary'), '684/684 nodes stopped');
    await page.keyboard.press('Escape');
    await dialog.waitFor({ state: 'hidden' });
    assert.deepEqual(complaints, []);
  });
}

test('orders are listed, lifted ones too, and opened with the keyboard; a refusal is told', async () => {
  await using rack = await rackOf(12);
  rack.reads.set('/v1/kill/3', { ...scriptedTimeline(3, 2), scope: 'acme', liftedAt: Date.now(), liftedBy: 'ben' });
  for (const [number, scope] of [
    [2, 'initech'],
    [3, 'acme'],
  ] as const)
    rack.snapshot.kills.push(
      scriptedOrder({ number, scope, stopped: 2, slowestMs: 143, by: 'anna', liftedAt: Date.now() }),
    );
  await using opened = await browser.open(rack.pageUrl);
  const { page } = opened;
  const lines = page.getByTestId('order-line');
  assert.equal(await lines.count(), 2);
  await says(lines.nth(0), /Order 3: acme.*lifted.*2\/2 stopped, slowest 143 ms.*by anna: runaway mailer/);
  await page.getByTestId('order-open').first().focus();
  await page.keyboard.press('Enter');
  await says(page.getByTestId('order-dialog'), /lifted.*Lifted \d\d:\d\d by ben/);
  await page.keyboard.press('Tab');
  assert.equal(await page.evaluate('document.activeElement.className'), 'timeline');
  await page.keyboard.press('Escape');
  await page.getByTestId('order-dialog').waitFor({ state: 'hidden' });
  assert.equal(await page.evaluate('document.activeElement.dataset.number'), '3');
  await page.getByTestId('order-open').nth(1).click();
  await says(page.getByTestId('order-dialog'), 'there is nothing at /v1/kill/2');
});

test('what waits for a second operator is across the page until it is approved, withdrawn or expires', async () => {
  await using rack = await rackOf(wholeRack);
  rack.operator = 'ben';
  rack.snapshot.approvals.push(scriptedApproval({ id: 7 }));
  rack.reads.set('/v1/kill/4', scriptedTimeline(4, 2));
  await using opened = await browser.open(rack.pageUrl, { width: 1280, height: 860 });
  const { page, complaints } = opened;
  const banners = page.getByTestId('approval');
  await says(banners, /WAITS FOR A SECOND OPERATOR: stop everything asked for by anna, \d\d:\d\d — fire in row 4/);
  await says(banners, /expires in 9 min 5\d s/);
  await picture(page, 'approval-light');
  await page.emulateMedia({ colorScheme: 'dark' });
  assert.deepEqual(await poorContrast(page, '#head *'), []);
  await picture(page, 'approval-dark');

  const lift = { id: 8, action: 'lift', scope: 'acme', reason: '' } as const;
  rack.tell('approval', scriptedApproval({ ...lift, by: 'ben' }));
  const own = banners.filter({ hasText: 'lift the order on acme' });
  await says(own, 'You asked for it: another operator must approve.');
  assert.equal(await own.getByTestId('approve').isVisible(), false);
  rack.answer = () => ({});
  await own.getByTestId('withdraw').click();
  while (rack.asked.length === 0) await page.waitForTimeout(20);
  assert.deepEqual(rack.asked, [{ path: 'DELETE /v1/approvals/8', body: undefined }]);
  rack.tell('approval-removed', { id: 8 });
  await own.waitFor({ state: 'detached' });

  rack.tell('approval', scriptedApproval({ ...lift, id: 9, expiresAt: Date.now() + 1_500 }));
  await own.waitFor();
  await own.waitFor({ state: 'detached' });

  await banners.getByTestId('approve').click();
  await says(page.getByTestId('approve-dialog'), 'anna asked for it');
  // Nobody approves by a key that was held down.
  assert.equal(await page.evaluate('document.activeElement.id'), 'approve-cancel');
  await picture(page, 'approve-dialog');
  rack.answer = () => scriptedOrder({ number: 4, scope: '*', by: 'anna, approved by ben' });
  await page.getByTestId('approve-submit').click();
  await says(page.getByTestId('order-dialog'), 'Order 4: EVERYTHING');
  assert.deepEqual(rack.asked.at(-1), { path: '/v1/approvals/7', body: undefined });
  assert.deepEqual(complaints, []);
});

test('a refused approval is told in the words of the controller', async () => {
  await using rack = await rackOf(2);
  rack.snapshot.approvals.push(scriptedApproval({ id: 7 }));
  await using opened = await browser.open(rack.pageUrl, { width: 390, height: 844 });
  const { page } = opened;
  await page.route('**/v1/approvals/7', (route) =>
    route.fulfill({ status: 409, json: { error: 'approval 7 does not wait: it was approved or withdrawn' } }),
  );
  await page.getByTestId('approve').click();
  await page.getByTestId('approve-submit').click();
  await says(page.getByTestId('approve-refusal'), 'approval 7 does not wait');
  assert.equal(await sidewaysOverflow(page), 0);
  await picture(page, 'phone-approve-refused');
});

test('with the two-person rule nothing is said to be stopped or lifted before a second operator approves', async () => {
  await using rack = await rackOf(12);
  rack.snapshot.status.twoPersonRule = true;
  rack.snapshot.kills.push(scriptedOrder({ number: 4, scope: 'acme', stopped: 2 }));
  await using opened = await browser.open(rack.pageUrl);
  const { page } = opened;
  rack.answer = () => scriptedApproval({ id: 7, by: 'root' });
  await page.getByTestId('kill-everything').click();
  await says(page.getByTestId('kill-dialog'), 'A second operator must approve it first.');
  await page.getByTestId('kill-name').fill('everything');
  await page.getByTestId('kill-reason').fill('fire');
  await page.getByTestId('kill-submit').click();
  await says(
    page.getByTestId('kill-waiting'),
    /Nothing is stopped yet. Another operator must approve it by .*muster approve 7/,
  );
  assert.equal(await page.getByTestId('kill-progress').isVisible(), false);
  await picture(page, 'kill-waits');
  await page.keyboard.press('Escape');
  await page.getByTestId('approval').waitFor();

  rack.answer = () => scriptedApproval({ id: 8, action: 'lift', scope: 'acme', by: 'root' });
  await customerEntry(page, 'acme').getByTestId('lift').click();
  await page.getByTestId('lift-submit').click();
  await says(page.getByTestId('lift-waiting'), /The order still stands. Another operator must approve it/);
  await page.keyboard.press('Escape');
  assert.equal(await customerEntry(page, 'acme').getAttribute('data-killed'), 'true');
});

test('what holds on silence is said wherever the customer is, with what becomes of the bound', async () => {
  await using rack = await rackOf(12);
  rack.snapshot.kills.push(scriptedOrder({ number: 4, scope: 'globex', stopped: 2, holding: ['globex'] }));
  await using opened = await browser.open(rack.pageUrl);
  const { page } = opened;
  const bound = 'On a node that hears no controller it keeps running: no bound holds there.';
  const globex = customerEntry(page, 'globex');
  await globex.locator('summary').first().click();
  await globex.getByTestId('on-silence').waitFor({ state: 'hidden' });
  await says(globex, 'holds on silence');
  await says(globex.getByTestId('hold-bound'), bound);
  assert.equal(await customerEntry(page, 'acme').getByTestId('hold-bound').isVisible(), false);
  await says(page.getByTestId('order-holding'), `globex: holds on silence. ${bound}`);
  await page.getByTestId('cell').nth(2).click();
  await says(page.getByTestId('node-holds'), `globex: holds on silence. ${bound}`);
  await customerEntry(page, 'initech').getByTestId('kill').click();
  assert.equal(await page.locator('#kill-warning').isVisible(), false);
  await picture(page, 'holds');
});
