// The virtual rack without a controller: firmware comes up, asks the network, and nothing outlives us.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readlink, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Board } from './board.ts';
import { firmwares, ubootEnvironment } from './firmware.ts';
import { gone } from './process-table.ts';
import { RackNetwork } from './rack-network.ts';

for (const firmware of firmwares) {
  test(`a ${firmware} board asks for an address; its cable, pause and power switch work`, async () => {
    await using scratch = await scratchDirectory();
    await using network = await RackNetwork.create({ boards: 1, port: 0 });
    await using board = new Board({
      firmware,
      network,
      environmentImage: await ubootEnvironment(scratch.path),
      serialPath: join(scratch.path, 'serial.log'),
      machine: { mac: '52:54:00:c2:00:01', tap: 'tap1', memoryMb: 512, cores: 1, icount: false },
    });
    await board.powerOn();
    const asking = { uboot: /BOOTP broadcast/, uefi: /Start PXE over IPv4/, 'uefi-http': /Start HTTP Boot over IPv4/ };
    await board.serial.waitFor(asking[firmware]);
    const discover = ['tcpdump', '-i', 'br0', '-c', '1', '-l', 'udp port 67 and ether src 52:54:00:c2:00:01'];
    assert.equal((await network.exec(discover, { timeoutMs: 100_000 })).code, 0, 'a DHCP packet crosses the bridge');
    await board.unplug();
    await board.plug();
    await board.pause();
    await board.resume();
    await board.powerOff();
    assert.equal(board.isOn, false);
    await board.powerOn();
    await board.serial.waitFor(asking[firmware]);
  });
}

test('two networks live side by side with the same addresses', async () => {
  await using one = await RackNetwork.create({ boards: 2, port: 0 });
  await using two = await RackNetwork.create({ boards: 2, port: 0 });
  assert.notEqual(one.operatorPort, two.operatorPort);
  for (const network of [one, two]) {
    const { stdout } = await network.exec(['ip', '-brief', 'address', 'show', 'br0']);
    assert.match(stdout, /10\.77\.0\.1\/24/);
    assert.equal((await network.exec(['test', '-e', '/sys/class/net/tap2'])).code, 0);
  }
});

test('one machine answers for our address, and it is the bridge', async () => {
  await using network = await RackNetwork.create({ boards: 1, port: 0 });
  // A neighbour on the segment: a veth pair whose far end is in a namespace of its own asks for 10.77.0.1.
  const script = `
    unshare --net sleep 60 & peer=$!
    until [ "$(readlink /proc/$peer/ns/net)" != "$(readlink /proc/$$/ns/net)" ]; do :; done
    ip link add near type veth peer name far netns $peer
    ip link set near master br0 up
    nsenter -t $peer -n sh -c 'ip address add 10.77.0.9/24 dev far; ip link set far up'
    nsenter -t $peer -n busybox arping -c 3 -I far 10.77.0.1
    kill $peer`;
  const { stdout } = await network.exec(['sh', '-c', script]);
  const answers = [...stdout.matchAll(/reply from 10\.77\.0\.1 \[([0-9a-f:]+)\]/g)].map((match) => match[1]);
  const { stdout: bridge } = await network.exec(['cat', '/sys/class/net/br0/address']);
  assert.deepEqual(new Set(answers), new Set([bridge.trim()]));
});

test('a port in use is refused in one sentence', async () => {
  await using one = await RackNetwork.create({ boards: 0, port: 0 });
  await assert.rejects(RackNetwork.create({ boards: 0, port: one.operatorPort }), /port \d+ of 127.0.0.1 is in use/);
});

test('kill -9 of the program that made the rack leaves no process and no namespace', async () => {
  const program = fileURLToPath(new URL('testdata/hold-board.ts', import.meta.url));
  const child = spawn(process.execPath, [program], { stdio: ['ignore', 'pipe', 'inherit'] });
  const [line] = await once(createInterface({ input: child.stdout }), 'line');
  const { holder, machine } = JSON.parse(String(line));
  const namespace = await readlink(`/proc/${holder}/ns/net`);
  assert.equal(await readlink(`/proc/${machine}/ns/net`), namespace, 'the board lives in the namespace of its holder');
  child.kill('SIGKILL');
  await once(child, 'exit');
  for (const pid of [holder, machine]) await gone(pid);
});

async function scratchDirectory(): Promise<AsyncDisposable & { path: string }> {
  const path = await mkdtemp(join(tmpdir(), 'muster-board-'));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true }) };
}
