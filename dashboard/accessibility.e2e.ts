// The page for who does not see it, or has no mouse: axe with every rule on every view and dialog, in light and dark, and
// where the focus is when a dialog opens and closes. See `page.e2e.ts`.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { Page } from 'playwright-core';
import { axeFindings, customerEntry, launchBrowser, says, type DashboardBrowser } from './browser.ts';
import {
  rackOf,
  scriptedApproval,
  scriptedDrill,
  scriptedOrder,
  scriptedTimeline,
  type ScriptedRack,
} from './scripted-rack.ts';

let browser: DashboardBrowser;
before(async () => (browser = await launchBrowser()));
after(() => browser[Symbol.asyncDispose]());

interface Look {
  nodes?: number;
  width?: number;
  prepare?: (rack: ScriptedRack) => void;
  /** Opens what is looked at. */
  act?: (page: Page, rack: ScriptedRack) => Promise<void>;
}

async function typeName(page: Page, scope: string): Promise<void> {
  await page.getByTestId('kill-name').fill(scope);
  await page.getByTestId('kill-reason').fill('fire');
}

const views: Record<string, Look> = {
  'two nodes as cards': { nodes: 2 },
  'a dense rack with every state': { nodes: 684 },
  'a phone': { nodes: 30, width: 390 },
  'a rack without nodes': { prepare: ({ snapshot }) => Object.assign(snapshot, { nodes: [], instances: [] }) },
  'a lost rack': {
    nodes: 30,
    prepare: ({ snapshot }) => snapshot.nodes.forEach((node) => Object.assign(node, { state: 'lost' })),
  },
  'a node that boots, and one that is stuck': {
    prepare: ({ snapshot }) => {
      snapshot.nodes.forEach((node) =>
        Object.assign(node, { state: 'loading', stage: 'refused-kernel', sample: null }),
      );
    },
  },
  'orders, approvals, drills and a verdict': {
    nodes: 30,
    prepare: ({ snapshot, reads }) => {
      for (const number of [1, 2]) snapshot.drills.push(scriptedDrill({ number }));
      for (const scope of ['acme', 'globex']) {
        const number = scope === 'acme' ? 8 : 9;
        snapshot.kills.push(scriptedOrder({ number, scope, unacknowledged: ['node-c20001'], holding: ['globex'] }));
        snapshot.approvals.push(scriptedApproval({ id: number, action: 'lift', scope }));
      }
      const verdict = { entries: 9, head: 'cd'.repeat(32), receipts: 1, late: 0, problems: ['entry 7 was changed'] };
      reads.set('/v1/audit/verify', verdict);
    },
    act: async (page) => {
      await page.getByTestId('audit-verify').click();
      await page.getByTestId('audit-problems').waitFor();
    },
  },
  'a search that finds nothing': {
    act: async (page) => {
      await page.getByTestId('find').fill('nobody');
      await page.getByTestId('event-filter').fill('nothing');
    },
  },
  'the kill dialog, empty': {
    act: async (page) => customerEntry(page, 'globex').getByTestId('kill').click(),
  },
  'the kill dialog, counting': {
    prepare: (rack) => (rack.answer = () => scriptedOrder({ number: 9, scope: '*', unacknowledged: ['node-c20001'] })),
    act: async (page) => {
      await page.getByTestId('kill-everything').click();
      await typeName(page, 'everything');
      await page.getByTestId('kill-submit').click();
      await page.getByTestId('kill-count').waitFor();
    },
  },
  'the kill dialog, waiting': {
    prepare: (rack) => (rack.answer = () => scriptedApproval({ id: 7 })),
    act: async (page) => {
      await page.getByTestId('kill-everything').click();
      await typeName(page, 'everything');
      await page.getByTestId('kill-submit').click();
      await page.getByTestId('kill-waiting').waitFor();
    },
  },
  'the lift dialog': {
    prepare: ({ snapshot }) => snapshot.kills.push(scriptedOrder({ number: 4, scope: 'acme', stopped: 2 })),
    act: async (page) => customerEntry(page, 'acme').getByTestId('lift').click(),
  },
  'the approval dialog': {
    prepare: ({ snapshot }) => snapshot.approvals.push(scriptedApproval({ id: 7 })),
    act: async (page) => page.getByTestId('approve').click(),
  },
  'the drill dialog': { act: async (page) => page.getByTestId('drill-start').click() },
  'the timeline of an order': {
    prepare: ({ snapshot, reads }) => {
      reads.set('/v1/kill/4', { ...scriptedTimeline(4, 400), nodes: 400 });
      snapshot.kills.push(scriptedOrder({ number: 4, scope: '*', stopped: 2 }));
    },
    act: async (page) => {
      await page.getByTestId('order-show').click();
      await page.getByTestId('timeline').waitFor();
    },
  },
  'the token dialog, refused': {
    act: async (page, rack) => {
      await page.evaluate('sessionStorage.clear()');
      rack.cut();
      await page.getByTestId('token-input').fill('wrong');
      await page.getByTestId('token-submit').click();
      await says(page.getByTestId('token-refusal'), 'refused that token');
    },
  },
};

for (const [name, { nodes = 12, width = 1280, prepare, act }] of Object.entries(views)) {
  test(`axe finds nothing: ${name}`, async () => {
    await using rack = await rackOf(nodes);
    prepare?.(rack);
    await using opened = await browser.open(rack.pageUrl, { width });
    const { page } = opened;
    await act?.(page, rack);
    for (const colorScheme of ['light', 'dark'] as const) {
      await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
      // On a busy machine it is drawn in both for a moment, and axe reads some of each.
      await page.evaluate('new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)))');
      assert.deepEqual(await axeFindings(page), [], colorScheme);
    }
  });
}

const focused = (page: Page) =>
  page.evaluate(`document.activeElement.dataset.testid ?? document.activeElement.tagName`);

test('every dialog takes the focus, keeps it, closes by Escape and gives it back', async () => {
  await using rack = await rackOf(12);
  rack.reads.set('/v1/kill/4', scriptedTimeline(4, 12));
  rack.snapshot.kills.push(scriptedOrder({ number: 4, scope: 'acme', stopped: 2 }));
  rack.snapshot.approvals.push(scriptedApproval({ id: 7 }));
  await using opened = await browser.open(rack.pageUrl);
  const { page, complaints } = opened;
  for (const [opener, dialog] of [
    ['kill-everything', 'kill-dialog'],
    ['order-lift', 'lift-dialog'],
    ['approve', 'approve-dialog'],
    ['drill-start', 'drill-dialog'],
    ['order-show', 'order-dialog'],
  ] as const) {
    await page.getByTestId(opener).focus();
    await page.keyboard.press('Enter');
    await page.getByTestId(dialog).waitFor();
    for (let step = 0; step < 8; step += 1) {
      // Between the last and the first element the browser's own controls have their turn.
      const isInside = await page.evaluate(
        `document.activeElement === document.body || document.activeElement.closest('[data-testid="${dialog}"]') !== null`,
      );
      assert.equal(isInside, true, `${dialog} after ${step} tabs`);
      await page.keyboard.press('Tab');
    }
    await page.keyboard.press('Escape');
    await page.getByTestId(dialog).waitFor({ state: 'hidden' });
    await page.locator(`[data-testid="${opener}"]:focus`).waitFor();
  }
  assert.deepEqual(complaints, []);
});

test('where the button that opened a dialog is gone, the focus goes to what stands in its place', async () => {
  await using rack = await rackOf(12);
  await using opened = await browser.open(rack.pageUrl);
  const { page } = opened;
  rack.answer = () => scriptedOrder({ number: 1, scope: 'acme', stopped: 2 });
  await customerEntry(page, 'acme').getByTestId('kill').focus();
  await page.keyboard.press('Enter');
  await page.keyboard.type('acme');
  await page.keyboard.press('Tab');
  await page.keyboard.type('runaway mailer');
  await page.keyboard.press('Enter');
  await says(page.getByTestId('kill-count'), '2/2 stopped');
  await customerEntry(page, 'acme').getByTestId('lift').waitFor();
  await page.keyboard.press('Escape');
  await page.getByTestId('kill-dialog').waitFor({ state: 'hidden' });
  await customerEntry(page, 'acme').locator('[data-testid="lift"]:focus').waitFor();
});

test('the button that cannot be pressed yet says what it waits for, and leads there', async () => {
  await using rack = await rackOf(12);
  await using opened = await browser.open(rack.pageUrl);
  const { page } = opened;
  await customerEntry(page, 'acme').getByTestId('kill').click();
  await says(page.getByTestId('kill-needs'), 'Still needed: the name “acme” and a reason.');
  await page.getByTestId('kill-name').fill('acme');
  await says(page.getByTestId('kill-needs'), 'Still needed: a reason.');
  const submit = page.getByRole('button', { name: 'Stop acme' });
  assert.match(await submit.ariaSnapshot(), /disabled/);
  await submit.focus();
  await page.keyboard.press('Enter');
  assert.equal(await focused(page), 'kill-reason');
  assert.deepEqual(rack.asked, []);
  await page.keyboard.type('runaway mailer');
  assert.equal(await page.getByTestId('kill-needs').textContent(), '');
  assert.equal(await submit.getAttribute('aria-disabled'), 'false');
});
