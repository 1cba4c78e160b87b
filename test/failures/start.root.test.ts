// Starts that must be refused: one clear sentence each, and whatever was there before is still there afterwards.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { ControllerProcess } from '../qemu/controller-process.ts';
import { endProcess, startTied } from '../qemu/tied-process.ts';
import { attempt, cacheDir, runningNetwork, scratch } from './attempt.ts';

test('wrong settings are told all at once, in one sentence', async () => {
  await using state = await scratch();
  await using network = await runningNetwork({ boards: 1 });
  const wrong = join(state.path, 'wrong.json');
  await writeFile(wrong, JSON.stringify({ interface: 'br0', rnage: 1, uboot: 'x', address: '300.1.1.1/24' }));
  const cut = join(state.path, 'cut.json');
  await writeFile(cut, '{"interface": ');
  const table: [flags: string, ...says: RegExp[]][] = [
    [`--config ${wrong}`, /unknown key "rnage"/, /"uboot" is "x", want ipxe/, /"address" is "300.1.1.1\/24"/],
    [`--config ${cut}`, /cannot read configuration .*cut\.json/],
    ['--uboot x --range foo --interface br0', /"uboot" is "x"/, /"range" is "foo"/],
    ['', /no interface given/],
    ['--interface eth9', /cannot start on eth9: there is no such interface.*want one of .*br0/],
    ['--interface tap1', /cannot start on tap1: .*has no IPv4 address/],
    ['--interface br0 --address 10.9.9.1/24', /does not have the address 10\.9\.9\.1, want 10\.77\.0\.1/],
  ];
  for (const [flags, ...says] of table) {
    const { code, said } = await attempt(
      network,
      flags.split(' ').filter((word) => word !== ''),
    );
    assert.equal(code, 2, said);
    assert.equal(said.split('\n').length, 1, said);
    for (const each of says) assert.match(said, each);
  }
  const { code, said } = await attempt(network, ['--interfce', 'br0']);
  assert.notEqual(code, 0);
  assert.match(said, /there is no option --interfce/);
});

test('a port in use is named, whichever it is', { timeout: 400_000 }, async () => {
  await using state = await scratch();
  await using network = await runningNetwork({ boards: 0 });
  const taken = [
    ['udp', '0.0.0.0', 67],
    ['udp', '10.77.0.1', 69],
    ['udp', '0.0.0.0', 5670],
    ['tcp', '10.77.0.1', 8480],
    ['tcp', '10.77.0.1', 8443],
    ['tcp', '127.0.0.1', 8080],
  ] as const;
  for (const [protocol, address, port] of taken) {
    const ready = `() => console.log('ready')`;
    const code =
      protocol === 'udp'
        ? `require('node:dgram').createSocket('udp4').bind(${port}, '${address}', ${ready})`
        : `require('node:net').createServer().listen(${port}, '${address}', ${ready})`;
    const holder = await startTied(network.inside([process.execPath, '-e', code]), {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    try {
      if (holder.stdout !== null) await once(holder.stdout, 'data');
      const flags = ['--interface', 'br0', '--state-dir', join(state.path, 'state'), '--cache', cacheDir];
      const refused = await attempt(network, flags);
      assert.equal(refused.code, 1, refused.said);
      assert.equal(refused.said.split('\n').length, 1, refused.said);
      assert.match(refused.said, new RegExp(`\\b${port}\\b`));
      assert.match(refused.said, /in use|has this port/);
    } finally {
      await endProcess(holder, 'SIGKILL');
    }
  }
});

test('a second controller on one state directory is refused, and SIGTERM leaves no sockets', async (t) => {
  await using state = await scratch();
  await using network = await runningNetwork({ boards: 0 });
  await using other = await runningNetwork({ boards: 0 });
  const stateDir = join(state.path, 'state');
  const flags = ['--interface', 'br0', '--state-dir', stateDir, '--cache', cacheDir];
  await using controller = new ControllerProcess({
    network,
    stateDir,
    cacheDir,
    logPath: join(state.path, 'log'),
    flags: [],
  });
  await controller.start();
  const sameNetwork = await attempt(network, flags);
  assert.equal(sameNetwork.code, 1);
  assert.match(sameNetwork.said, /^muster: port 67\/udp on br0 is in use by /);
  const { code, said } = await attempt(other, flags);
  assert.equal(code, 1);
  assert.match(said, /one controller at a time may use a state directory/);
  assert.equal(said.split('\n').length, 1, said);
  await controller.api('POST /v1/customers', { name: 'acme' });

  const stoppedAtMs = performance.now();
  await controller.stop();
  const tookMs = performance.now() - stoppedAtMs;
  t.diagnostic(`SIGTERM to its end: ${Math.round(tookMs)} ms`);
  // After 10 s it would have been killed.
  assert.ok(tookMs < 5_000, `${tookMs} ms`);
  const { stdout } = await network.exec(['cat', '/proc/net/udp', '/proc/net/tcp']);
  assert.ok(!/ 0A /.test(stdout) && !/:(0043|0045|1626) /.test(stdout), stdout);
});

test('a database that is none, or is damaged, is refused and left as it is', { timeout: 400_000 }, async () => {
  await using state = await scratch();
  await using network = await runningNetwork({ boards: 0 });
  const stateDir = join(state.path, 'state');
  const database = join(stateDir, 'inventory.sqlite');
  await mkdir(stateDir);
  const flags = ['--interface', 'br0', '--state-dir', stateDir, '--cache', cacheDir];
  const foreign = Buffer.from('somebody else wrote this\n'.repeat(400));
  const head = Buffer.concat([Buffer.from('SQLite format 3\0'), foreign]);
  for (const bytes of [foreign, head]) {
    await writeFile(database, bytes);
    const { code, said } = await attempt(network, flags);
    assert.equal(code, 1, said);
    assert.match(said, /^muster: cannot .*inventory\.sqlite: it is (no SQLite database|damaged)/);
    assert.equal(said.split('\n').length, 1, said);
    assert.deepEqual(await readFile(database), bytes);
  }
});
