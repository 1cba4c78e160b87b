// Real clients against the real server, each in a network namespace of its own, over a veth pair: busybox's udhcpc and
// the `dhcp` package for DHCP; tftp-hpa, atftp and the `tftp` package for TFTP. Run as root.

import assert from 'node:assert/strict';
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, test, type TestContext } from 'node:test';
import { promisify } from 'node:util';
import { withDeviceSockets } from './device-sockets.ts';
import { fencedMac, heldMac, testArtefacts } from './server.fixture.ts';

const run = promisify(execFile);
const repository = path.resolve(import.meta.dirname, '..');
const boardMac = '02:00:00:c2:00:01';
const { kernel, ipxe } = testArtefacts;

/** A network namespace, kept by a process that waits for the end of its input. */
async function namespace(): Promise<ChildProcess & { pid: number }> {
  const holder = spawn('unshare', ['-n', 'sh', '-c', 'ip link set lo up && echo up && exec cat'], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  assert.ok(holder.stdout !== null && holder.pid !== undefined);
  await once(holder.stdout, 'data');
  return Object.assign(holder, { pid: holder.pid });
}

function inside(holder: { pid: number }, command: readonly string[]): [string, string[]] {
  return ['nsenter', ['-t', String(holder.pid), '-n', ...command]];
}

async function runInside(holder: { pid: number }, ...command: string[]): Promise<string> {
  const { stdout, stderr } = await run(...inside(holder, command), { cwd: repository, timeout: 30_000 });
  return stdout + stderr;
}

let rack: Awaited<ReturnType<typeof namespace>>;
let board: Awaited<ReturnType<typeof namespace>>;
let server: ChildProcess;
let directory: string;
let address = '';
const said: string[] = [];

before(async () => {
  directory = await mkdtemp(path.join(tmpdir(), 'muster-boot-'));
  [rack, board] = await Promise.all([namespace(), namespace()]);
  await runInside(
    rack,
    'ip',
    'link',
    'add',
    'rack',
    'type',
    'veth',
    'peer',
    'name',
    'board',
    'netns',
    String(board.pid),
  );
  await runInside(rack, 'ip', 'addr', 'add', '10.77.0.1/24', 'dev', 'rack');
  await runInside(rack, 'ip', 'link', 'set', 'rack', 'up');
  await runInside(board, 'ip', 'link', 'set', 'board', 'address', boardMac, 'up');
  const command = withDeviceSockets({
    interface: 'rack',
    sockets: [
      { name: 'dhcp', address: '0.0.0.0', port: 67 },
      { name: 'tftp', address: '0.0.0.0', port: 69 },
    ],
    command: [process.execPath, path.join(repository, 'boot/server.fixture.ts'), '10.77.0.1'],
  });
  server = spawn(...inside(rack, command), { stdio: ['ignore', 'pipe', 'inherit'] });
  assert.ok(server.stdout !== null);
  const lines = createInterface({ input: server.stdout });
  await new Promise<void>((resolve, reject) => {
    lines.on('line', (line) => {
      said.push(line);
      if (line.includes('"ready"')) resolve();
    });
    server.once('exit', (code) => reject(new Error(`the boot server ended with ${code}`)));
  });
  // udhcpc hands what it learnt to a script; ours configures the interface and prints it.
  const script = path.join(directory, 'udhcpc.sh');
  await writeFile(
    script,
    '#!/bin/sh\n[ "$1" = bound ] || exit 0\nip addr replace "$ip/24" dev board\nip route replace default dev board\n' +
      'echo "bound $ip siaddr=$siaddr file=$boot_file lease=$lease"\n',
    { mode: 0o755 },
  );
  const output = await runInside(board, ...udhcpc(script), '-V', 'muster-node');
  address = /^bound (\S+)/m.exec(output)?.[1] ?? '';
  assert.match(output, /^bound 10\.77\.0\.\d+ siaddr= file= lease=3600$/m, output);
});

after(async () => {
  if (server.exitCode === null) {
    const ended = once(server, 'exit');
    server.kill('SIGTERM');
    await ended;
  }
  for (const holder of [rack, board]) holder.stdin?.end();
  await rm(directory, { recursive: true });
});

function udhcpc(script: string): string[] {
  return ['busybox', 'udhcpc', '-i', 'board', '-f', '-n', '-q', '-t', '5', '-T', '1', '-s', script];
}

test('udhcpc gets an address, which is stored before it is acknowledged', () => {
  const saved = said.findIndex((line) => line.includes(`"saved":["${address}"]`));
  const acknowledged = said.findIndex((line) => line.includes('"dhcp-ack"'));
  assert.ok(saved !== -1 && saved < acknowledged, said.join('\n'));
});

/** With the client of the `dhcp` package. */
function leaseOf(mac: string): Promise<string> {
  const client = `
    const client = require('dhcp').createClient({ mac: '${mac.toUpperCase().replaceAll(':', '-')}' });
    client.on('bound', (state) => { console.log(state.address, state.server, state.options.netmask); process.exit(); });
    client.listen(68, '0.0.0.0', () => client.sendDiscover());`;
  return runInside(board, process.execPath, '-e', client);
}

test('the client of the dhcp package gets an address and our options', async () => {
  const output = await leaseOf(fencedMac);
  assert.match(output, /^10\.77\.0\.7 10\.77\.0\.1 255\.255\.255\.0$/m);
});

const kernelPath = `kernel/${kernel.sha256}`;
const tftpClients: [string, (local: string) => string[]][] = [
  ['tftp-hpa', (local) => ['tftp', '-m', 'binary', '10.77.0.1', '-c', 'get', kernelPath, local]],
  ['atftp, blocks of 1,468 bytes', (local) => atftp(local, ['blksize 1468', 'tsize 0', 'timeout 2'])],
  ['atftp, eight blocks at a time', (local) => atftp(local, ['blksize 1468', 'windowsize 8'])],
  ['atftp, windows of small blocks, beyond 65,535 of them', (local) => atftp(local, ['blksize 8', 'windowsize 16'])],
  [
    'the tftp package, sixteen blocks at a time',
    (local) => [
      process.execPath,
      '-e',
      `require('tftp').createClient({ host: '10.77.0.1', blockSize: 1468, windowSize: 16 })
        .get(${JSON.stringify(kernelPath)}, ${JSON.stringify(local)}, (error) => { if (error) throw error; });`,
    ],
  ],
];

function atftp(local: string, options: string[]): string[] {
  return [
    'atftp',
    ...options.flatMap((option) => ['--option', option]),
    '-g',
    '-r',
    kernelPath,
    '-l',
    local,
    '10.77.0.1',
  ];
}

for (const [name, command] of tftpClients)
  test(`${name} gets the kernel whole`, async () => {
    const local = path.join(directory, name.replace(/\W+/g, '-'));
    await runInside(board, ...command(local));
    assert.deepEqual(await readFile(local), await kernel.bytes());
  });

test('eight transfers of one board at once arrive whole', async () => {
  const gets = Array.from(
    { length: 8 },
    (_, n) => `.get('ipxe.efi', '${directory}/many-${n}', (error) => { if (error) throw error; })`,
  );
  const script = `const client = () => require('tftp').createClient({ host: '10.77.0.1', blockSize: 1468, windowSize: 4 });
    ${gets.map((get) => `client()${get};`).join('\n')}`;
  await runInside(board, process.execPath, '-e', script);
  const bytes = await ipxe.plain.bytes();
  for (let n = 0; n < 8; n++) assert.deepEqual(await readFile(path.join(directory, `many-${n}`)), bytes);
});

test('a missing file is answered at once', async () => {
  const startedMs = performance.now();
  const local = path.join(directory, 'missing');
  const output = await runInside(board, 'tftp', '-m', 'binary', '10.77.0.1', '-c', 'get', 'nothing.efi', local);
  assert.match(output, /Error code 1: no such file/);
  assert.ok(performance.now() - startedMs < 1000);
});

test('the script is the board’s own, and names its kernel', async () => {
  assert.match(
    await bootScript(boardMac),
    new RegExp(`imgfetch --name linux http://10.77.0.1:8480/kernel/${kernel.sha256}`),
  );
  await assert.rejects(bootScript('02:00:00:c2:00:07'), /403 Forbidden/);
});

test('a fenced board gets iPXE, which tells it why, and no kernel by any boot method', async (t) => {
  await become(t, { mac: fencedMac, ip: '10.77.0.7' });
  const http = (file: string) =>
    runInside(board, 'busybox', 'wget', '-q', '-O', '/dev/null', `http://10.77.0.1:8480/${file}`);

  // U-Boot → iPXE, UEFI → iPXE, UEFI HTTP boot: all end at this script.
  for (const file of ['boot.scr.uimg', 'ipxe-uboot.efi', 'ipxe.efi'])
    assert.ok((await tftp(file)).bytes.length > 100, file);
  await http('ipxe.efi');
  const script = await bootScript(fencedMac);
  assert.match(script, /^echo Muster: board 02:00:00:c2:00:07 gets no system: fenced$/m);
  assert.doesNotMatch(script, /kernel|initrd|imgfetch|muster\.token/);

  // U-Boot → pxelinux.
  const menu = await tftp('pxelinux.cfg/01-02-00-00-c2-00-07');
  assert.match(menu.output, /this board gets no system: fenced/);
  assert.doesNotMatch(menu.bytes.toString(), /kernel/);

  // What a script or a configuration from before it was fenced would fetch.
  const { kernelGz, initrd, root } = testArtefacts;
  for (const file of [`kernel/${kernel.sha256}`, `kernel/${kernelGz.sha256}`, `initrd/${initrd.sha256}`]) {
    const { output, bytes } = await tftp(file);
    assert.match(output, /this board gets no system: fenced/, file);
    assert.equal(bytes.length, 0, file);
  }
  for (const file of [`kernel/${kernel.sha256}`, `initrd/${initrd.sha256}`, `image/${root.sha256}`])
    await assert.rejects(http(file), /403 Forbidden/, file);
  assert.ok(said.some((line) => line.includes('"stage":"fenced"') && line.includes(fencedMac)));
});

test('a board that was reset this moment waits for its token, by the method ipxe and by pxelinux', async (t) => {
  await become(t, { mac: heldMac, ip: '10.77.0.8' });
  const waiting = await bootScript(heldMac);
  assert.match(waiting, /waits: it is alive\nsleep 1\nchain .*boot\.ipxe\?mac=02:00:00:c2:00:08 /);
  assert.doesNotMatch(waiting, /kernel|initrd|muster\.token/);
  await bootScript(heldMac);
  assert.match(await bootScript(heldMac), /muster\.token=0{64}/);
  // U-Boot cannot be told to ask again: its answer comes late.
  const { bytes } = await tftp('pxelinux.cfg/01-02-00-00-c2-00-08');
  assert.match(bytes.toString(), /^ {2}append .*muster\.token=0{64}/m);
  assert.ok(!said.some((line) => line.includes('"stage":"fenced"') && line.includes(heldMac)));
});

test('a port in use and a missing interface are one clear sentence each', async () => {
  await assert.rejects(run(...launch('rack')), /muster: port 69\/udp on rack is in use by .+ \(process \d+\)\n/);
  await assert.rejects(run(...launch('eth9')), /muster: there is no network interface 'eth9'; there are: lo, rack\n/);
});

test('a port that is held by a process which ends is waited for: it has its sockets longer than its name', async () => {
  const holding = `use Socket; socket(S, PF_INET, SOCK_DGRAM, 0); bind(S, pack_sockaddr_in(6900, INADDR_ANY)) or die;
    $0 = ''; $| = 1; print "held\\n"; sleep 1`;
  const ending = spawn(...inside(board, ['perl', '-e', holding]), { stdio: ['ignore', 'pipe', 'inherit'] });
  await once(ending.stdout, 'data');
  const sockets = [{ name: 'tftp', address: '0.0.0.0', port: 6900 }];
  await runInside(board, ...withDeviceSockets({ interface: 'board', sockets, command: ['true'] }));
});

/** From now until the test's end this machine is that board as well. */
async function become(t: TestContext, { mac, ip }: { mac: string; ip: string }): Promise<void> {
  await leaseOf(mac);
  await runInside(board, 'ip', 'addr', 'add', `${ip}/24`, 'dev', 'board');
  await runInside(board, 'ip', 'route', 'replace', '10.77.0.1/32', 'dev', 'board', 'src', ip);
  t.after(async () => {
    await runInside(board, 'ip', 'route', 'delete', '10.77.0.1/32', 'dev', 'board');
    await runInside(board, 'ip', 'addr', 'delete', `${ip}/24`, 'dev', 'board');
  });
}

async function tftp(file: string): Promise<{ output: string; bytes: Buffer }> {
  const local = path.join(directory, 'fetched');
  await rm(local, { force: true });
  const output = await runInside(board, 'tftp', '-m', 'binary', '10.77.0.1', '-c', 'get', file, local);
  const bytes = await readFile(local).catch(() => Buffer.alloc(0));
  return { output, bytes };
}

function bootScript(mac: string): Promise<string> {
  return runInside(board, 'busybox', 'wget', '-q', '-O', '-', `http://10.77.0.1:8480/boot.ipxe?mac=${mac}`);
}

function launch(name: string): [string, string[]] {
  const sockets = [{ name: 'tftp', address: '0.0.0.0', port: 69 }];
  return inside(rack, withDeviceSockets({ interface: name, sockets, command: ['true'] }));
}
