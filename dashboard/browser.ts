// A headless Chromium for the tests of the page, here and in `test/`. It is the machine's own package: nothing is
// downloaded. A page opened by it collects whatever it complains about, so that a test can ask for silence.
import { chromium, type Browser, type Page } from 'playwright-core';

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
    open: (url, options = {}) => openPage(browser, url, options),
    [Symbol.asyncDispose]: () => browser.close(),
  };
}

async function openPage(browser: Browser, url: string, options: PageOptions): Promise<DashboardPage> {
  const { width = 1440, height = 900, colorScheme = 'light', untilLive = true } = options;
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

/** Waits until so many boards are ready on the page. */
export async function readyBoards(
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
