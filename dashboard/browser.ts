// A headless Chromium for the tests of the page, here and in `test/`. It is the machine's own package: nothing is
// downloaded. A page opened by it collects whatever it complains about, so that a test can ask for silence.
import { mkdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import axe from 'axe-core';
import { chromium, type Browser, type Locator, type Page } from 'playwright-core';

const chromiumPath = '/usr/bin/chromium';
/** Generous: the machine may be booting boards in QEMU at the same time. */
const patienceMs = 30_000;

export interface DashboardBrowser extends AsyncDisposable {
  open(url: string, options?: PageOptions): Promise<DashboardPage>;
}

export interface PageOptions {
  width?: number;
  height?: number;
  colorScheme?: 'light' | 'dark';
  /** Wait until the page shows a live rack. Default true. */
  untilLive?: boolean;
}

/** What a test of the page's looks goes through. */
export const looks = [
  { look: 'desktop-light', colorScheme: 'light', width: 1440, height: 900 },
  { look: 'desktop-dark', colorScheme: 'dark', width: 1440, height: 900 },
  { look: 'phone-light', colorScheme: 'light', width: 390, height: 844 },
  { look: 'phone-dark', colorScheme: 'dark', width: 390, height: 844 },
] as const;

export interface DashboardPage extends AsyncDisposable {
  page: Page;
  /** What the page wrote to its console as an error or a warning, threw, or was refused by its security policy. */
  complaints: string[];
}

/** Starts Chromium; close it by `await using`. Throws when the package is not installed. */
export async function launchBrowser(): Promise<DashboardBrowser> {
  const browser = await chromium.launch({
    executablePath: chromiumPath,
    timeout: patienceMs,
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
    ],
  });
  return {
    open: (url, options = {}) => openPage(browser, { url, ...options }),
    [Symbol.asyncDispose]: () => browser.close(),
  };
}

async function openPage(browser: Browser, options: PageOptions & { url: string }): Promise<DashboardPage> {
  const { url, width = 1440, height = 900, colorScheme = 'light', untilLive = true } = options;
  const context = await browser.newContext({ viewport: { width, height }, colorScheme, locale: 'en-GB' });
  context.setDefaultTimeout(patienceMs);
  const page = await context.newPage();
  const complaints: string[] = [];
  page.on('console', (message) => {
    if (message.type() === 'error' || message.type() === 'warning') complaints.push(message.text());
  });
  page.on('pageerror', (error) => complaints.push(String(error)));
  await page.goto(url, { waitUntil: 'domcontentloaded' });
  if (untilLive) await live(page);
  return { page, complaints, [Symbol.asyncDispose]: () => context.close() };
}

/** Waits until the page hears the controller and shows its snapshot. */
export async function live(page: Page): Promise<void> {
  await page.locator('body[data-connection="live"]').waitFor();
}

/** Waits until so many nodes are ready on the page. */
export async function readyNodes(
  page: Page,
  { count, timeoutMs }: { count: number; timeoutMs: number },
): Promise<void> {
  await page
    .locator('[data-testid="cell"][data-state="ready"]')
    .nth(count - 1)
    .waitFor({ timeout: timeoutMs });
}

/** The entry of a customer, with its `kill` and `lift` buttons and its `instance` rows inside. */
export function customerEntry(page: Page, customer: string) {
  return page.locator(`[data-testid="customer"][data-customer="${customer}"]`);
}

/** Kills a customer as an operator does: button, name, reason; returns once the page shows its live count. */
export async function killCustomer(
  page: Page,
  { customer, reason }: { customer: string; reason: string },
): Promise<void> {
  await customerEntry(page, customer).getByTestId('kill').click();
  await confirmKill(page, { typed: customer, reason });
}

/** Fills in the kill dialog that is open: `typed` is the customer's name, or `everything`. */
export async function confirmKill(page: Page, { typed, reason }: { typed: string; reason: string }): Promise<void> {
  await page.getByTestId('kill-name').fill(typed);
  await page.getByTestId('kill-reason').fill(reason);
  await page.getByTestId('kill-submit').click();
  await page.getByTestId('kill-count').waitFor();
}

/** Lifts a customer's own order, and waits until the page no longer shows it as killed. */
export async function liftCustomer(page: Page, customer: string): Promise<void> {
  await customerEntry(page, customer).getByTestId('lift').click();
  await page.getByTestId('lift-submit').click();
  await page.locator(`[data-testid="customer"][data-customer="${customer}"][data-killed="false"]`).waitFor();
}

/** How far the page reaches beyond its window to the right, px; 0 where nobody has to scroll sideways. */
export async function sidewaysOverflow(page: Page): Promise<number> {
  return Number(await page.evaluate('document.documentElement.scrollWidth - document.documentElement.clientWidth'));
}

/** Waits until the element's text is this: the page draws a frame later than the stream speaks. */
export async function says(element: Locator, text: string | RegExp): Promise<void> {
  await element.filter({ hasText: text }).first().waitFor();
}

const pictures = fileURLToPath(new URL('../artefacts/dashboard/', import.meta.url));

/** A screenshot under `artefacts/dashboard/`, for people to look at. */
export async function picture(page: Page, name: string): Promise<void> {
  mkdirSync(pictures, { recursive: true });
  await page.screenshot({ path: `${pictures}${name}.png` });
}

/** Of all of the page, down to what would have to be scrolled to. */
export async function wholePicture(page: Page, name: string): Promise<void> {
  mkdirSync(pictures, { recursive: true });
  await page.screenshot({ path: `${pictures}${name}.png`, fullPage: true });
}

/** Every rule there is, experimental ones too; `region` of page structure and contrast among them. */
const axeTags = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice', 'experimental'];

/** What axe finds wrong with the page as it is now, each with its rule and the element; empty where it finds nothing. */
export async function axeFindings(page: Page): Promise<unknown> {
  // Not as a script element: the page's own policy forbids that.
  await page.evaluate(axe.source);
  return page.evaluate(`axe.run(document, ${JSON.stringify({ runOnly: axeTags, resultTypes: ['violations'] })}).then(({ violations }) =>
    violations.flatMap(({ id, nodes }) => nodes.slice(0, 5).map(({ html, failureSummary }) =>
      id + ': ' + html.slice(0, 200) + ' | ' + failureSummary.slice(0, 300))))`);
}

/** Text that is hard to read, each with its ratio; empty where all can be read. */
export function poorContrast(page: Page, selector = 'body *'): Promise<unknown> {
  return page.evaluate(`(${contrastProbe})(${JSON.stringify(selector)})`);
}

/** Text whose contrast with what is painted behind it is under 4.5 : 1 (WCAG AA). Runs in the page. */
const contrastProbe = `((selector) => {
  const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
  const rgba = (color) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = color;
    canvas.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
    return { r, g, b, a: a / 255 };
  };
  const over = (top, below) => {
    const mix = (key) => top[key] * top.a + below[key] * (1 - top.a);
    return { r: mix('r'), g: mix('g'), b: mix('b'), a: 1 };
  };
  const luminance = ({ r, g, b }) => {
    const [x, y, z] = [r, g, b].map((v) => (v / 255 <= 0.03928 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const behind = (element) =>
    element === null ? rgba('white') : over(rgba(getComputedStyle(element).backgroundColor), behind(element.parentElement));
  const poor = new Set();
  for (const element of document.querySelectorAll(selector)) {
    const own = [...element.childNodes].some((child) => child.nodeType === 3 && child.data.trim() !== '');
    if (!own || element.closest('[data-fenced="true"], :disabled') || element.getClientRects().length === 0) continue;
    const back = behind(element);
    const text = over(rgba(getComputedStyle(element).color), back);
    const [light, dark] = [luminance(text), luminance(back)].sort((a, b) => b - a);
    const ratio = (light + 0.05) / (dark + 0.05);
    if (ratio < 4.5) poor.add(element.tagName + '.' + element.className + ' ' + element.textContent.slice(0, 20) + ' ' + ratio.toFixed(2));
  }
  return [...poor];
})`;
