// The operators' API of a real controller over a real inventory, and the command line that asks it.
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { idleRollCall, openOperatorApi } from '../../controller/api/operator-api.fixture.ts';
import type { Inventory } from '../../inventory/inventory.ts';
import { testImage, testRack } from '../../inventory/rack.fixture.ts';
import { runCommandLine, type Environment } from '../run.ts';

/** `onRead`: what somebody else does each time after a workload was read. */
export async function controller(
  t: TestContext,
  { onRead }: { onRead?: (inventory: Inventory) => Promise<unknown> } = {},
) {
  const rack = await testRack();
  const { inventory, directory } = rack;
  const api = await openOperatorApi({ inventory, rollCall: idleRollCall(), directory: join(directory, 'images') });
  t.after(async () => {
    await api[Symbol.asyncDispose]();
    await rack[Symbol.asyncDispose]();
  });
  await inventory.customers.add({ name: 'acme' });
  await inventory.images.save(testImage('web'));
  await inventory.images.save(testImage('web2'));
  api.app.addHook('onSend', async ({ method, url }) => {
    if (method === 'GET' && url.startsWith('/v1/workloads/')) await onRead?.(inventory);
  });
  await api.app.listen({ host: '127.0.0.1', port: 0 });
  const { port } = api.app.server.address() as AddressInfo;
  const run = async (argv: readonly string[], where: Partial<Environment> & { colours?: boolean } = {}) => {
    const ran = { code: -1, out: '', err: '' };
    const { colours = false, ...surroundings } = where;
    ran.code = await runCommandLine([...argv], {
      output: { out: (text) => (ran.out += text), err: (text) => (ran.err += text), tty: false, colours },
      signal: new AbortController().signal,
      variables: { url: `http://127.0.0.1:${port}`, token: 'secret' },
      readToken: () => undefined,
      stateDirectories: [],
      now: rack.now,
      monotonic: () => performance.now(),
      sleep: () => Promise.resolve(),
      ...surroundings,
    });
    return ran;
  };
  /** As `root`. */
  const muster = (...argv: string[]) => run(argv);
  return {
    muster,
    run,
    url: `http://127.0.0.1:${port}`,
    inventory,
    rack,
    spec: () => inventory.workloads.get('acme', 'web')?.spec,
  };
}
