// Drills and the audit log: what the page shows of the proof; see `page.e2e.ts`.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import {
  launchBrowser,
  looks,
  picture,
  wholePicture,
  poorContrast,
  says,
  sidewaysOverflow,
  type DashboardBrowser,
} from './browser.ts';
import { rackOf, scriptedDrill, scriptedTimeline } from './scripted-rack.ts';

let browser: DashboardBrowser;
before(async () => (browser = await launchBrowser()));
after(() => browser[Symbol.asyncDispose]());

test('without a drill the page says how to have one, and starts it', async () => {
  await using rack = await rackOf(12);
  await using opened = await browser.open(rack.pageUrl);
  const { page, complaints } = opened;
  await says(page.getByTestId('drill-none'), 'Start one here, or by muster drill.');
  await says(page.getByTestId('drill-schedule'), 'No schedule. muster drill --every 30d makes one.');

  await page.getByTestId('drill-start').click();
  await says(page.getByTestId('drill-dialog'), /every ready node \(12 nodes now\).*No other customer is touched/);
  await picture(page, 'drill-dialog');
  const running = {
    number: 1,
    by: 'operator',
    endedAt: null,
    outcome: null,
    medianMs: null,
    slowestMs: null,
    drawn: 12,
    nodes: 12,
  };
  const deploying = scriptedDrill({ ...running, phase: 'deploying', order: null, stopped: 0 });
  rack.answer = () => deploying;
  await page.getByTestId('drill-submit').click();
  await page.getByTestId('drill-dialog').waitFor({ state: 'hidden' });
  assert.deepEqual(rack.asked, [{ path: '/v1/drills', body: {} }]);
  rack.tell('drill', deploying);
  await says(page.getByTestId('drill-last'), /running Drill 1, .* by operator: puts the canary on the nodes/);
  rack.tell('drill', scriptedDrill({ ...running, phase: 'killing', stopped: 3 }));
  await says(page.getByTestId('drill-figures'), '3/12 nodes stopped');
  rack.tell('drill', scriptedDrill({ number: 1, by: 'operator', nodes: 12, stopped: 12 }));
  await says(page.getByTestId('drill-last'), 'passed');
  await says(page.getByTestId('drill-figures'), '12/12 nodes stopped, median 97 ms, slowest 398 ms');
  assert.deepEqual(complaints, []);
});

test('a refusal to start is told in the dialog', async () => {
  await using rack = await rackOf(2);
  await using opened = await browser.open(rack.pageUrl);
  const { page } = opened;
  await page.route('**/v1/drills', (route) =>
    route.request().method() === 'POST'
      ? route.fulfill({ status: 409, json: { error: 'drill 3 is under way' } })
      : route.continue(),
  );
  await page.getByTestId('drill-start').click();
  await page.getByTestId('drill-submit').click();
  await says(page.getByTestId('drill-refusal'), 'drill 3 is under way');
});

for (const { look, ...options } of looks) {
  test(`the last drill, the schedule and the audit log: ${look}`, async () => {
    await using rack = await rackOf(684);
    rack.snapshot.drills.push(
      scriptedDrill({ number: 1 }),
      scriptedDrill({
        number: 2,
        outcome: 'failed',
        problem: 'no board was ready',
        order: null,
        nodes: 0,
        stopped: 0,
        medianMs: null,
        slowestMs: null,
      }),
      scriptedDrill({
        number: 3,
        outcome: 'late',
        stopped: 675,
        slowestMs: 6_210,
        problem: 'one board was late',
        unacknowledged: ['node-c2017c'],
        leftOut: ['node-c200d4: silent'],
      }),
    );
    const nextAt = Date.now() + 29 * 86_400_000;
    rack.reads.set('/v1/drills', { drills: [], schedule: { everySeconds: 30 * 86_400, request: {}, nextAt } });
    rack.reads.set('/v1/kill/7', scriptedTimeline(7, 684));
    rack.reads.set('/v1/audit/verify', {
      entries: 12_345,
      head: 'ab'.repeat(32),
      receipts: 4_321,
      late: 0,
      problems: [],
    });
    await using opened = await browser.open(rack.pageUrl, options);
    const { page, complaints } = opened;
    await says(page.getByTestId('drill-last'), 'late Drill 3');
    await says(page.getByTestId('drill-figures'), '675/676 nodes stopped, median 97 ms, slowest 6.21 s');
    await says(page.getByTestId('drills'), 'one board was late');
    await says(page.getByTestId('drills'), 'Not acknowledged: node-c2017c');
    await says(page.getByTestId('drills'), 'Not measured: node-c200d4: silent');
    await says(page.getByTestId('drill-schedule'), /^Every 30 days; next .*, in 28 d 23 h\.$/);
    await page.getByTestId('audit-verify').click();
    await says(page.getByTestId('audit-verdict'), /whole 12,345 entries, 4,321 receipts/);
    assert.equal(await page.getByTestId('audit-head').textContent(), 'ab'.repeat(32));
    assert.equal(await sidewaysOverflow(page), 0);
    assert.deepEqual(await poorContrast(page, '.proof *'), []);
    await page.getByTestId('audit').scrollIntoViewIfNeeded();
    await picture(page, `proof-${look}`);
    await wholePicture(page, `proof-${look}-whole`);
    rack.reads.set('/v1/audit/verify', {
      entries: 9,
      head: 'cd'.repeat(32),
      receipts: 1,
      late: 0,
      problems: Array.from({ length: 30 }, (_, index) => `entry ${index + 1} was changed`),
    });
    await page.getByTestId('audit-verify').click();
    await says(page.getByTestId('audit-verdict'), '30 problems');
    await says(page.getByTestId('audit-problems'), 'and 10 more: muster audit verify');
    await page.getByRole('button', { name: 'Timeline of order 7' }).click();
    await says(page.getByTestId('order-dialog'), 'Order 7');
    assert.deepEqual(complaints, []);
  });
}
