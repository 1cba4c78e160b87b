// The Debian package as an administrator meets it: installed, run by a systemd of its own, killed, frozen, upgraded, removed.
// The machine is this one's root file system with a layer above it that takes every change, in namespaces of its own.
import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { cacheDir } from '../failures/attempt.ts';
import { descendants } from '../qemu/process-table.ts';
import { endProcess, type Output, runTied, startTied } from '../qemu/tied-process.ts';

const builder = fileURLToPath(new URL('../../setup/package/main.ts', import.meta.url));
const bootScript = fileURLToPath(new URL('boot-root.sh', import.meta.url));
const withinMs = 120_000;

async function done(argv: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await runTied(argv, { timeoutMs: withinMs });
  assert.equal(code, 0, `${argv.join(' ')}: ${stdout}${stderr}`);
  return stdout;
}

interface OwnMachine extends AsyncDisposable {
  /** Its root directory, as this machine sees it. */
  root: string;
  inside: (...argv: string[]) => Promise<Output>;
  /** As `inside`; gives what it said, and throws where it failed. */
  run: (...argv: string[]) => Promise<string>;
  until: (what: string, holds: () => Promise<boolean>) => Promise<void>;
}

/** On which Muster was never installed. Resolves when its systemd runs. */
async function ownMachine(work: string): Promise<OwnMachine> {
  await using stack = new AsyncDisposableStack();
  const layer = join(work, 'layer');
  const root = join(layer, 'root');
  await mkdir(layer);
  await done(['mount', '-t', 'tmpfs', 'tmpfs', layer]);
  stack.defer(() => done(['umount', '--lazy', layer]).then(() => undefined));
  for (const name of ['changes', 'work', 'root']) await mkdir(join(layer, name));
  const layers = `lowerdir=/,upperdir=${join(layer, 'changes')},workdir=${join(layer, 'work')}`;
  await done(['mount', '-t', 'overlay', 'overlay', '-o', layers, root]);
  stack.defer(() => done(['umount', '--lazy', root]).then(() => undefined));
  await done(['chroot', root, 'rm', '-rf', '/var/lib/muster', '/etc/muster']);

  const machine = await startTied(
    ['unshare', ...'--pid --mount --net --uts --ipc --cgroup --fork --kill-child'.split(' '), 'sh', bootScript, root],
    { stdio: ['ignore', 'ignore', 'inherit'] },
  );
  stack.defer(() => endProcess(machine, 'SIGKILL'));
  const inside = async (...argv: string[]): Promise<Output> => {
    const [init = 0] = await descendants(machine.pid ?? 0);
    const enter = ['nsenter', '--target', String(init), '--all', '--root', '--wd', '--'];
    return runTied([...enter, 'env', 'PATH=/usr/sbin:/usr/bin:/sbin:/bin', ...argv], { timeoutMs: withinMs });
  };
  const run = async (...argv: string[]): Promise<string> => {
    const { code, stdout, stderr } = await inside(...argv);
    assert.equal(code, 0, `${argv.join(' ')}: ${stdout}${stderr}`);
    return stdout;
  };
  const until = async (what: string, holds: () => Promise<boolean>): Promise<void> => {
    for (const deadline = performance.now() + withinMs; !(await holds()); await delay(200))
      if (performance.now() > deadline)
        throw new Error(`${what}: ${(await inside('journalctl', '-u', 'muster', '--no-pager', '-n', '20')).stdout}`);
  };
  await until('systemd runs', async () => (await inside('systemctl', 'show')).code === 0);
  const running = stack.move();
  return { root, inside, run, until, [Symbol.asyncDispose]: () => running.disposeAsync() };
}

test('the package: installed, run, killed, frozen, upgraded, removed', { timeout: 500_000 }, async (t) => {
  const work = await mkdtemp(join(tmpdir(), 'muster-package-'));
  t.after(() => rm(work, { recursive: true, force: true }));
  const environment = ['env', `MUSTER_CACHE=${cacheDir}`];
  const build = [...environment, process.execPath, builder, '--fast', '--out', work, '--version', '0.1.0~one'];
  const first = /✓ (\S+\.deb)/.exec(await done(build))?.[1] ?? '';

  await using machine = await ownMachine(work);
  const { root, inside, run, until } = machine;
  const shown = async (property: string) => (await run('systemctl', 'show', 'muster', '-P', property)).trim();
  const isActive = async () => (await shown('ActiveState')) === 'active';
  const rollCallSocket = async () => /ino:(\d+)/.exec(await run('ss', '-Hlune', 'sport', '=', '5670'))?.[1];

  const install = async (file: string): Promise<string> => {
    await done(['cp', file, join(root, 'opt/muster.deb')]);
    return run('dpkg', '-i', '/opt/muster.deb');
  };
  assert.match(await install(first), /name the interface of the rack/);
  assert.equal((await run('stat', '-c', '%U:%G %a', '/etc/muster/config.json')).trim(), 'root:muster 640');
  assert.equal((await run('stat', '-c', '%U %a', '/var/lib/muster')).trim(), 'muster 700');
  assert.match(await run('muster', 'version'), /^muster /);
  const completion = '/usr/share/bash-completion/completions/muster';
  assert.match(await run('bash', '-c', `source ${completion} && complete -p muster`), /^complete -F _muster muster$/m);
  assert.match(await run('cat', '/usr/share/man/man1/muster.1'), /^\.TH MUSTER 1 /);
  assert.match(await run('ls', '/usr/lib/muster/docs/openapi.json'), /openapi/);
  const verified = await inside('systemd-analyze', 'verify', 'muster.service');
  assert.deepEqual([verified.code, verified.stderr], [0, '']);
  t.diagnostic(
    (await run('systemd-analyze', 'security', '--no-pager', 'muster.service')).trim().split('\n').at(-1) ?? '',
  );

  await writeFile(join(root, 'etc/muster/config.json'), '{ "cache": "/usr/share/muster", "interface": "eth1" }\n');
  await run('systemctl', 'enable', '--now', 'muster');
  await until('it serves', isActive);
  const pid = await shown('MainPID');
  const status = await run('cat', `/proc/${pid}/status`);
  assert.match(status, /^CapEff:\s*0000000000000400$/m, 'CAP_NET_BIND_SERVICE alone');
  assert.match(await run('muster', 'status'), /none seen yet/);
  assert.match(await run('muster', 'doctor', '--config', '/etc/muster/config.json'), /a controller of Muster has them/);
  await run('muster', 'customer', 'add', 'acme');

  // Killed and frozen it comes back, and the sockets of the rack stay open meanwhile.
  const socket = await rollCallSocket();
  assert.equal(await shown('NFileDescriptorStore'), '3');
  for (const [signal, restarts] of [
    ['KILL', '1'],
    ['STOP', '2'],
  ] as const) {
    await run('systemctl', 'kill', '--kill-who=main', '--signal', signal, 'muster');
    await until(
      `it is back after SIG${signal}`,
      async () => (await shown('NRestarts')) === restarts && (await isActive()),
    );
    assert.equal(await rollCallSocket(), socket);
  }
  assert.match(await run('muster', 'customers'), /acme/);

  // An upgrade restarts it; configuration and state stay.
  const tree = join(work, 'tree');
  await done(['dpkg-deb', '-R', first, tree]);
  const control = await readFile(join(tree, 'DEBIAN/control'), 'utf8');
  await writeFile(join(tree, 'DEBIAN/control'), control.replace('0.1.0~one', '0.1.0~two'));
  await done(['dpkg-deb', '--root-owner-group', '-Znone', '-b', tree, join(work, 'second.deb')]);
  await rm(tree, { recursive: true });
  const before = await shown('MainPID');
  await install(join(work, 'second.deb'));
  await until('it serves after the upgrade', isActive);
  assert.notEqual(await shown('MainPID'), before);
  assert.equal(await rollCallSocket(), socket);
  assert.match(await run('muster', 'customers'), /acme/);

  await run('dpkg', '-r', 'muster');
  assert.equal((await inside('systemctl', 'is-active', 'muster')).stdout.trim(), 'inactive');
  assert.equal(await rollCallSocket(), undefined);
  assert.match(await run('ls', '/etc/muster', '/var/lib/muster'), /config\.json[^]*inventory\.sqlite/);
  assert.equal((await inside('ls', '/usr/lib/muster')).code, 2);
  assert.match(await run('dpkg', '-P', 'muster'), /stays in \/var\/lib\/muster/);
  assert.equal((await inside('ls', '/etc/muster')).code, 2);
  assert.ok((await stat(join(root, 'var/lib/muster/audit.sqlite'))).size > 0);
});
