// What is looked at is in the address: it comes back with the browser's buttons, and can be sent; see `page.e2e.ts`.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { launchBrowser, says, type DashboardBrowser } from './browser.ts';
import { macOf, rackOf, scriptedOrder, scriptedTimeline, token } from './scripted-rack.ts';

let browser: DashboardBrowser;
before(async () => (browser = await launchBrowser()));
after(() => browser[Symbol.asyncDispose]());

test('back and forward go through what was looked at', async () => {
  await using rack = await rackOf(30);
  rack.reads.set('/v1/kill/4', scriptedTimeline(4, 12));
  rack.snapshot.kills.push(scriptedOrder({ number: 4, scope: '*', stopped: 2 }));
  await using opened = await browser.open(rack.pageUrl);
  const { page, complaints } = opened;
  const hash = async () => String(await page.evaluate('location.hash'));
  await page.getByTestId('cell').nth(4).click();
  assert.equal(await hash(), `#node=${macOf(5)}`);
  await page.getByTestId('legend-silent').click();
  await page.getByTestId('find').fill('acme');
  assert.equal(await hash(), `#node=${macOf(5)}&find=acme&only=silent`);
  await page.getByTestId('order-show').click();
  await says(page.getByTestId('order-dialog'), 'Order 4');
  assert.match(await hash(), /&order=4$/);

  await page.goBack();
  await page.getByTestId('order-dialog').waitFor({ state: 'hidden' });
  assert.equal(await page.getByTestId('find').inputValue(), 'acme');
  await page.goForward();
  await says(page.getByTestId('order-dialog'), 'Order 4');
  await page.keyboard.press('Escape');
  await page.getByTestId('order-dialog').waitFor({ state: 'hidden' });
  await page.waitForURL(({ hash: now }) => !now.includes('order'));
  for (let step = 0; step < 3; step += 1) await page.goBack();
  await page.waitForURL(({ hash: now }) => now === `#node=${macOf(5)}`);
  assert.equal(await page.getByTestId('find').inputValue(), '');
  assert.equal(await page.getByTestId('legend-silent').getAttribute('aria-pressed'), 'false');
  assert.deepEqual(complaints, []);
});

test('a link shows a colleague the same, with the token of the colleague', async () => {
  await using rack = await rackOf(684);
  const link = `${rack.url}/#token=${token}&node=${macOf(212)}&find=initech&only=ready&events=kernel`;
  await using opened = await browser.open(link);
  const { page } = opened;
  await says(page.getByTestId('node-name'), 'node-c200d4');
  await says(page.getByTestId('found'), '560 found');
  await says(page.getByTestId('event').first(), 'got its kernel');
  assert.equal(await page.getByTestId('event').count(), 15);
  assert.equal(await page.getByTestId('legend-ready').getAttribute('aria-pressed'), 'true');
  const hash = String(await page.evaluate('location.hash'));
  assert.ok(!hash.includes('token'));
  // Where a node is gone the page says so, and does not show another in its place.
  await page.evaluate(`location.hash = '#node=02:00:00:00:00:99'`);
  await says(page.getByTestId('node-panel'), '02:00:00:00:00:99 is no longer part of the rack.');
});

test('links within the page scroll, and leave the view as it is', async () => {
  await using rack = await rackOf(30);
  await using opened = await browser.open(`${rack.pageUrl}&find=acme`, { width: 390, height: 844 });
  const { page } = opened;
  await page.getByRole('link', { name: 'Events' }).click();
  assert.equal(await page.evaluate('document.activeElement.id'), 'events-part');
  assert.equal(await page.evaluate('location.hash'), '#find=acme');
  await page.getByRole('link', { name: 'Skip to the rack' }).focus();
  await page.keyboard.press('Enter');
  assert.equal(await page.evaluate('document.activeElement.dataset.slot'), '1');
});
