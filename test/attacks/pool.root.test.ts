// Invented MACs take DHCP leases until there are none: boards that joined before keep their addresses, also while they are
// off, and an event says what happens and what to do. The real controller, real DHCP clients.
import assert from 'node:assert/strict';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Type } from 'typebox';
import { Event } from '../../protocol/api/events.ts';
import { until } from '../until.ts';
import { ControllerProcess } from '../qemu/controller-process.ts';
import { startBoards } from '../qemu/dhcp-boards.ts';
import { defaultCacheDir } from '../qemu/rack.ts';
import { RackNetwork, rackAddress } from '../qemu/rack-network.ts';
import { endProcess } from '../qemu/tied-process.ts';
import { Machine } from './machine.ts';

const takePlace = fileURLToPath(new URL('take-place.ts', import.meta.url));

test('a flood of invented MACs leaves boards their addresses, and an event names cause and remedy', async (t) => {
  await using stack = new AsyncDisposableStack();
  const directory = await mkdtemp(join(tmpdir(), 'muster-pool-'));
  stack.defer(() => rm(directory, { recursive: true }));
  const network = stack.use(await RackNetwork.create({ boards: 0, port: 0 }));
  const controller = stack.use(
    new ControllerProcess({
      network,
      stateDir: join(directory, 'state'),
      cacheDir: defaultCacheDir,
      logPath: join(directory, 'controller.log'),
      flags: ['--range', '10.77.0.50-10.77.0.69'],
    }),
  );
  await controller.start();
  const script = join(directory, 'udhcpc.sh');
  await writeFile(
    script,
    '#!/bin/sh\n[ "$1" = bound ] || exit 0\nip address replace "$ip/24" dev eth0\necho "bound $ip"\n',
  );
  await chmod(script, 0o755);
  const board = stack.use(await Machine.plugIn(network, { cable: 'board', mac: '02:00:00:00:78:01' }));
  const udhcpc = ['busybox', 'udhcpc', '-i', 'eth0', '-f', '-t', '3', '-T', '1', '-V', 'muster-node', '-s', script];
  const lease = async (): Promise<string | undefined> => {
    const { stdout } = await board.exec([...udhcpc, '-n', '-q'], { timeoutMs: 20_000 });
    return /^bound (\S+)/m.exec(stdout)?.[1];
  };
  const address = await lease();
  assert.ok(address !== undefined);
  const joined = await board.run(
    process.execPath,
    '--disable-warning=ExperimentalWarning',
    takePlace,
    '02:00:00:00:78:01',
    rackAddress,
  );
  assert.match(joined, /"session\\":\\"/);
  // It goes, and gives its address back when nothing of it is alive any more: whoever is alive keeps it.
  await delay(5_000);
  await board.exec(['timeout', '2', ...udhcpc, '-R']);

  const flood = await startBoards(network, { program: new URL('flood.ts', import.meta.url) });
  stack.defer(() => endProcess(flood, 'SIGKILL'));
  const taken = new Set<string>();
  if (flood.stdout !== null) createInterface({ input: flood.stdout }).on('line', (ip) => taken.add(ip));
  let said = '';
  await until('an event about the pool', async () => {
    const { events } = await controller.get(
      '/v1/events?limit=50&subject=dhcp',
      Type.Object({ events: Type.Array(Event) }),
    );
    said = events.map(({ message }) => message).find((message) => message.startsWith('no address for 02:66')) ?? '';
    return said !== '';
  });
  t.diagnostic(`${taken.size} of 20 addresses taken by invented MACs`);
  assert.ok(!taken.has(address));
  assert.match(said, /1 are kept for boards and 19 given to machines that never joined \(the latest: 02:66:00:/);
  assert.match(said, /find the switch port.*larger --range.*`reservations`/);
  assert.equal(await lease(), address, 'while the flood goes on');
});
