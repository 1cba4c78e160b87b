// Stopping a customer, or everything, in headless Chromium; see `page.e2e.ts`.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { confirmKill, customerEntry, launchBrowser, live, picture, says, type DashboardBrowser } from './browser.ts';
import { rackOf, scriptedOrder, token } from './scripted-rack.ts';

const wholeRack = 684;

let browser: DashboardBrowser;
before(async () => (browser = await launchBrowser()));
after(() => browser[Symbol.asyncDispose]());

test('a customer is killed by its typed name, with a live count, and lifted again', async () => {
  await using rack = await rackOf(wholeRack);
  await using opened = await browser.open(rack.pageUrl, { width: 1280, height: 900 });
  const { page, complaints } = opened;
  assert.equal(await page.evaluate('location.hash'), '', 'the token is not left in the address');
  const dialog = page.getByTestId('kill-dialog');
  await customerEntry(page, 'acme').getByTestId('kill').click();
  await dialog.waitFor();
  await page.keyboard.press('Escape');
  await dialog.waitFor({ state: 'hidden' });

  await customerEntry(page, 'acme').getByTestId('kill').click();
  const submit = page.getByTestId('kill-submit');
  await says(dialog, '2 containers on 2 nodes');
  assert.equal(await submit.isDisabled(), true);
  await page.getByTestId('kill-name').fill('acm');
  await page.getByTestId('kill-reason').fill('runaway mailer');
  assert.equal(await submit.isDisabled(), true);
  await page.keyboard.press('Enter');
  assert.deepEqual(rack.asked, [], 'a wrong name is not sent');
  await page.getByTestId('kill-name').fill('acme');
  assert.equal(await submit.isDisabled(), false);
  await picture(page, 'kill-dialog');

  const names = ['node-c20001', 'node-c20002'];
  rack.answer = () => scriptedOrder({ number: 1, scope: 'acme', unacknowledged: names });
  await submit.click();
  await says(page.getByTestId('kill-count'), '0/2 stopped');
  assert.deepEqual(rack.asked, [{ path: '/v1/kill', body: { customer: 'acme', reason: 'runaway mailer' } }]);
  await says(page.getByTestId('kill-unacknowledged'), 'node-c20001, node-c20002');
  assert.equal(await page.getByTestId('kill-count').getAttribute('role'), 'status');
  const order = { number: 1, scope: 'acme' };
  rack.tell('kill', scriptedOrder({ ...order, stopped: 1, slowestMs: 97, unacknowledged: ['node-c20002'] }));
  await says(page.getByTestId('kill-count'), '1/2 stopped, slowest 97 ms');
  await picture(page, 'kill-count-running');
  const late = page.locator('[data-testid="kill-progress"][data-outcome="late"]');
  await late.waitFor();
  await says(page.getByTestId('kill-unacknowledged'), 'After 5 s. Not acknowledged: node-c20002');
  await picture(page, 'kill-count-late');
  rack.tell('kill', scriptedOrder({ ...order, stopped: 2, slowestMs: 143 }));
  await says(page.getByTestId('kill-count'), '2/2 stopped, slowest 143 ms');
  assert.equal(await page.getByTestId('kill-unacknowledged').textContent(), '');
  for (const instance of rack.snapshot.instances.filter(({ customer }) => customer === 'acme'))
    rack.tell('instance', { ...instance, state: 'stopped', reason: 'killed by order 1', endpoint: null });
  await says(customerEntry(page, 'acme'), '0/2 containers running');
  await picture(page, 'kill-count-done');
  await page.getByTestId('kill-close').click();

  await says(page.getByTestId('order'), /KILLED: acme since \d\d:\d\d — runaway mailer/);
  assert.match(await page.title(), /^KILLED acme/);
  assert.equal(await customerEntry(page, 'acme').getAttribute('data-killed'), 'true');
  assert.equal(await customerEntry(page, 'globex').getAttribute('data-killed'), 'false');
  await picture(page, 'killed-light');
  await page.emulateMedia({ colorScheme: 'dark' });
  await picture(page, 'killed-dark');

  rack.answer = () => scriptedOrder({ ...order, stopped: 2, slowestMs: 143, liftedAt: Date.now() });
  await customerEntry(page, 'acme').getByTestId('lift').click();
  await page.getByTestId('lift-submit').click();
  await page.getByTestId('lift-dialog').waitFor({ state: 'hidden' });
  assert.deepEqual(rack.asked.at(-1), { path: '/v1/lift', body: { customer: 'acme' } });
  assert.equal(await page.getByTestId('order').count(), 1, 'the banner goes when the stream says so');
  rack.tell('kill', rack.answer({ path: '/v1/lift', body: {} }));
  await page.getByTestId('order').waitFor({ state: 'detached' });
  assert.deepEqual(complaints, []);
});

test('the token is asked for, again when it is wrong, and nothing is shown without it', async () => {
  await using rack = await rackOf(12);
  await using opened = await browser.open(rack.url, { untilLive: false });
  const { page } = opened;
  await page.getByTestId('token-dialog').waitFor();
  await page.getByTestId('token-cancel').click();
  await says(page.getByTestId('connection'), 'No operator’s token');
  assert.equal(await page.getByTestId('cell').count(), 0);
  await page.getByTestId('unlock').click();
  await page.getByTestId('token-input').fill('wrong');
  assert.equal(await page.getByTestId('token-input').getAttribute('type'), 'password');
  await page.getByTestId('token-submit').click();
  await says(page.getByTestId('token-dialog'), 'refused');
  await picture(page, 'token-dialog');
  await page.getByTestId('token-input').fill(token);
  await page.keyboard.press('Enter');
  await live(page);
  assert.equal(await page.getByTestId('cell').count(), 12);
  assert.ok(rack.refused >= 1);
});

test('everything is stopped only by typing everything; a token that is no longer one is asked for anew', async () => {
  await using rack = await rackOf(12);
  rack.answer = () => scriptedOrder({ number: 9, scope: '*', nodes: 12, stopped: 12, slowestMs: 88 });
  await using opened = await browser.open(rack.pageUrl);
  const { page } = opened;
  await page.evaluate(`sessionStorage.setItem('muster-token', 'of an operator who was removed')`);
  await page.getByTestId('kill-everything').click();
  await says(page.getByTestId('kill-dialog'), 'globex: holds on silence');
  await page.getByTestId('kill-name').fill('everything');
  await page.getByTestId('kill-reason').fill('fire in row 4');
  await page.getByTestId('kill-submit').click();
  await says(page.getByTestId('token-dialog'), 'refused');
  await page.getByTestId('token-input').fill(token);
  await page.keyboard.press('Enter');
  await says(page.getByTestId('kill-count'), '12/12 stopped, slowest 88 ms');
  assert.equal(rack.refused, 1);
  assert.deepEqual(rack.asked, [{ path: '/v1/kill', body: { everything: true, reason: 'fire in row 4' } }]);
  await page.getByTestId('kill-close').click();
  await says(page.getByTestId('order'), 'KILLED: EVERYTHING');
  assert.equal(await page.locator('[data-testid="customer"][data-killed="true"]').count(), 3);
});

test('a refusal is shown in the dialog in the words of the controller', async () => {
  await using rack = await rackOf(2);
  await using opened = await browser.open(rack.pageUrl);
  const { page } = opened;
  await page.route('**/v1/kill', (route) =>
    route.fulfill({ status: 409, json: { error: 'acme is killed already, by order 3' } }),
  );
  await customerEntry(page, 'acme').getByTestId('kill').click();
  await page.getByTestId('kill-name').fill('acme');
  await page.getByTestId('kill-reason').fill('again');
  await page.getByTestId('kill-submit').click();
  await says(page.getByTestId('kill-refusal'), 'acme is killed already, by order 3');
  assert.equal(await page.getByTestId('kill-submit').isDisabled(), false);
});

test('the kill of everything is filled in by the helper that the tests of the whole use', async () => {
  await using rack = await rackOf(2);
  rack.answer = () => scriptedOrder({ number: 9, scope: '*', nodes: 0 });
  await using opened = await browser.open(rack.pageUrl);
  await opened.page.getByTestId('kill-everything').click();
  await confirmKill(opened.page, { typed: 'everything', reason: 'drill' });
  await says(opened.page.getByTestId('kill-count'), 'No node was running it.');
});
