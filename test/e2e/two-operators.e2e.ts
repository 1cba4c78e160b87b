// The page against the real API, stream, roll call and inventory, with two operators: what `dashboard/*.e2e.ts` plays by
// a script is here what the controller says. One board that is never heard stands for the rack.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { registerDrillApi } from '../../controller/api/drill-api.ts';
import { startDrills } from '../../controller/drill/drill.ts';
import { openOperatorApi } from '../../controller/api/operator-api.fixture.ts';
import { startRollCall } from '../../controller/kill/roll-call/roll-call.ts';
import { customerEntry, launchBrowser, picture, says } from '../../dashboard/browser.ts';
import { dashboard } from '../../dashboard/plugin.ts';
import { openInventory, type Inventory } from '../../inventory/inventory.ts';
import { joinBoard } from '../../inventory/rack.fixture.ts';
import { killResendMs } from '../../protocol/timing.ts';

const mac = '02:00:00:c2:00:01';

interface TwoOperators extends AsyncDisposable {
  url: string;
  inventory: Inventory;
  /** What went wrong behind the calls. */
  failures: readonly unknown[];
  tokenOf: (operator: string) => Promise<string>;
}

/** A controller's parts under the two-person rule, put together as `controller/controller.ts` does it. */
async function controllerOfTwo(): Promise<TwoOperators> {
  await using stack = new AsyncDisposableStack();
  const directory = await mkdtemp(join(tmpdir(), 'two-operators-'));
  stack.defer(() => rm(directory, { recursive: true }));
  const inventory = stack.use(await openInventory({ directory, now: Date.now, random: randomBytes }));
  const failures: unknown[] = [];
  const onFailure = (error: unknown) => void failures.push(error);
  const socket = createSocket('udp4');
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  stack.defer(() => void socket.close());
  const rollCall = startRollCall({
    socket,
    inventory,
    now: () => performance.now(),
    wallClock: Date.now,
    nextTurn,
    onFailure,
  });
  stack.adopt(
    setInterval(() => void rollCall.pursue().catch(onFailure), killResendMs),
    clearInterval,
  );
  const parts = { inventory, rollCall, directory, twoPersonWaitMs: 600_000 };
  const { app, images } = stack.use(await openOperatorApi(parts));
  const clocks = { now: () => performance.now(), wallClock: Date.now };
  const drills = startDrills({ inventory, rollCall, images, samplePath: '', random: randomBytes, ...clocks });
  registerDrillApi(app, { inventory, drills: stack.use(drills) });
  await app.register(dashboard);
  const url = await app.listen({ host: '127.0.0.1', port: 0 });
  const running = stack.move();
  return {
    url,
    inventory,
    failures,
    tokenOf: async (name) => {
      const operator = await inventory.operators.add({ name }, 'root');
      assert.ok('token' in operator);
      return operator.token;
    },
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}

test(
  'one operator asks to stop everything, another approves it; and so it is lifted',
  { timeout: 300_000 },
  async () => {
    await using controller = await controllerOfTwo();
    const { inventory, url, failures, tokenOf } = controller;
    await inventory.customers.add({ name: 'acme' });
    await joinBoard(inventory, { mac });

    await using browser = await launchBrowser();
    const annasToken = await tokenOf('anna');
    await using anna = await browser.open(`${url}/#token=${annasToken}`);
    await using ben = await browser.open(`${url}/#token=${await tokenOf('ben')}`, { width: 390, height: 844 });

    await anna.page.getByTestId('kill-everything').click();
    await anna.page.getByTestId('kill-name').fill('everything');
    await anna.page.getByTestId('kill-reason').fill('fire');
    await anna.page.getByTestId('kill-submit').click();
    await says(anna.page.getByTestId('kill-waiting'), 'Nothing is stopped yet.');
    assert.deepEqual(inventory.orders.all(), []);
    await says(anna.page.getByTestId('approval'), 'You asked for it: another operator must approve.');

    await says(ben.page.getByTestId('approval'), 'stop everything asked for by anna');
    await ben.page.getByTestId('approve').click();
    await ben.page.getByTestId('approve-submit').click();
    await says(ben.page.getByTestId('order-dialog'), 'by anna, approved by ben: fire');
    // Never heard since the order: its silence is the proof, and the open view shows it by itself.
    await says(ben.page.getByTestId('timeline-node'), 'silence past the bound');
    await picture(ben.page, 'two-operators-phone');
    await ben.page.keyboard.press('Escape');

    // Her dialog went over from waiting to the count.
    await says(anna.page.getByTestId('kill-count'), '1/1 stopped');
    await anna.page.keyboard.press('Escape');
    await says(anna.page.getByTestId('order'), 'KILLED: EVERYTHING');
    await anna.page.getByTestId('approval').waitFor({ state: 'detached' });
    assert.equal(await customerEntry(anna.page, 'acme').getAttribute('data-killed'), 'true');
    await anna.page.getByTestId('order').getByTestId('order-lift').click();
    await anna.page.getByTestId('lift-submit').click();
    await says(anna.page.getByTestId('lift-waiting'), 'The order still stands.');
    await anna.page.keyboard.press('Escape');
    await anna.page.getByTestId('withdraw').click();
    await anna.page.getByTestId('approval').waitFor({ state: 'detached' });
    assert.equal(inventory.orders.standing().length, 1);

    await anna.page.getByTestId('order').getByTestId('order-lift').click();
    await anna.page.getByTestId('lift-submit').click();
    await ben.page.getByTestId('approve').click();
    await ben.page.getByTestId('approve-submit').click();
    await anna.page.getByTestId('order').waitFor({ state: 'detached' });
    await anna.page.getByTestId('lift-dialog').waitFor({ state: 'hidden' });
    await anna.page.getByTestId('drill-start').click();
    await anna.page.getByTestId('drill-submit').click();
    await says(anna.page.getByTestId('drill-refusal'), 'there is nothing for a canary to run');
    await anna.page.keyboard.press('Escape');
    await anna.page.getByTestId('audit-verify').click();
    await says(anna.page.getByTestId('audit-verdict'), 'whole');
    const report = await fetch(`${url}/v1/kill/1/report`, { headers: { authorization: `Bearer ${annasToken}` } });
    assert.equal(report.status, 200);
    const [order] = inventory.orders.all();
    assert.deepEqual([order?.by, order?.liftedBy], ['anna, approved by ben', 'anna, approved by ben']);
    // The browser says of each refusal that it was one.
    const complaints = [...anna.complaints, ...ben.complaints].filter((each) => !/status of 4\d\d/.test(each));
    assert.deepEqual([...complaints, ...failures], []);
  },
);
