// Images in the manner of public reports, which docker runs and this runtime must: run by `images.root.test.ts` in namespaces
// of its own.
import assert from 'node:assert/strict';
import { chownSync, statSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { plantBusybox } from './cache/busybox-image.fixture.ts';
import { nodeRig, plantFile, type Script } from './node-rig.fixture.ts';
import { nodeAddress } from './runtime.fixture.ts';

const rig = nodeRig();
after(() => rig[Symbol.asyncDispose]());

/** A folder and a file in it of another user than root. */
function plantData(root: string): void {
  plantFile(root, 'data/db', 'theirs\n', 0o600);
  for (const path of ['data', 'data/db']) chownSync(join(root, path), 1000, 1001);
}

test('root makes and reads files of others, gives them away, and becomes another user', async () => {
  const script = `exec 2>&1; touch /data/new && echo made; cat /data/db; chown app:video /tmp && stat -c '%u %g' /tmp
    su app -c id; chroot /bin /busybox echo rooted; mknod /tmp/null c 1 3 || echo no device; echo done; sleep 60`;
  await rig.run({ script, plant: plantData });
  await rig.said('stdout: done');
  for (const line of [
    'made',
    'theirs',
    '1000 44',
    'uid=1000(app) gid=1001(app) groups=44(video),1001(app)',
    'rooted',
    'no device',
  ])
    assert.ok(
      rig.lines.some((text) => text.startsWith(`stdout: ${line}`)),
      `${line}: ${rig.lines.join('\n')}`,
    );
});

test('an image’s user has the groups that its /etc/group lists it in, and no capabilities', async () => {
  const script = 'exec 2>&1; id; cat /proc/self/status; cat /data/db; echo done; sleep 60';
  await rig.run({
    script,
    configuration: { user: 'app' },
    plant: (root) => (plantData(root), chownSync(join(root, 'data/db'), 0, 0)),
  });
  await rig.said('stdout: done');
  const text = rig.lines.join('\n');
  assert.match(text, /uid=1000\(app\) gid=1001\(app\) groups=44\(video\),1001\(app\)/);
  assert.match(text, /Groups:\s+44 1001 ?$/m);
  for (const set of ['Inh', 'Prm', 'Eff', 'Bnd', 'Amb']) assert.match(text, new RegExp(`Cap${set}:\\s+0{16}`));
  assert.match(text, /Permission denied/);
});

test('a workload with fewer capabilities has those alone, and with none it has none', async () => {
  const script = `exec 2>&1; while read k v; do case $k in Cap*) echo $k $v;; esac; done </proc/self/status
    touch /data/new || echo not made; chown app /tmp && echo given; echo done; sleep 60`;
  await rig.run({ script, plant: plantData, configuration: { capabilities: ['CHOWN'] } });
  await rig.said('stdout: done');
  assert.deepEqual(
    rig.lines.filter((line) => /Cap(Eff|Bnd|Prm|Amb|Inh)|given|not made/.test(line)).map((line) => line.slice(8)),
    [
      'CapInh: 0000000000000000',
      'CapPrm: 0000000000000001',
      'CapEff: 0000000000000001',
      'CapBnd: 0000000000000001',
      'CapAmb: 0000000000000000',
      'not made',
      'given',
    ],
  );
  await rig.run({ script, plant: plantData, configuration: { capabilities: [] } });
  await rig.said('stdout: done');
  assert.ok(rig.lines.includes('stdout: CapBnd: 0000000000000000'));
  assert.ok(!rig.lines.includes('stdout: given'));
});

test('port 80 is anybody’s', async () => {
  await rig.run({
    script: 'httpd -p 80 -h /www && echo bound; sleep 60',
    configuration: { user: 'app', capabilities: [] },
  });
  await rig.said('stdout: bound');
});

test('a user that the image does not have is the reason', async () => {
  const [one] = await rig.run({ configuration: { user: 'postgres' } });
  await rig.until('it failed', () => rig.report(one)?.state === 'failed');
  assert.match(rig.report(one)?.reason ?? '', /cannot resolve user "postgres" of the image: "postgres" is not in its/);
});

const stoppable = `trap "echo smart shutdown: waits for clients" TERM; trap "echo fast shutdown; exit 0" INT
  echo ready; while :; do sleep 0.1; done`;

test('what is removed is asked by its own signal, and killed after its grace period', async () => {
  await rig.run({ script: stoppable, configuration: { stopSignal: 'SIGINT' } });
  await rig.said('stdout: ready');
  let at = performance.now();
  rig.remove();
  await rig.said('stdout: fast shutdown');
  await rig.until('it is gone', () => rig.runtime().reports().length === 0);
  assert.ok(performance.now() - at < 8_000, 'it did not wait for the grace period');
  assert.ok(!rig.lines.some((line) => line.includes('smart')));

  await rig.run({ script: stoppable, configuration: { stopGraceMs: 1_000 } });
  await rig.said('stdout: ready');
  at = performance.now();
  rig.remove();
  await rig.said('stdout: smart shutdown: waits for clients');
  await rig.until('it is gone', () => rig.runtime().reports().length === 0);
  assert.ok(performance.now() - at >= 1_000);
});

test('a kill order waits for no grace period, also where one runs', async () => {
  for (const isRemoved of [false, true]) {
    await rig.run({ script: stoppable, configuration: { stopGraceMs: 300_000 } });
    await rig.said('stdout: ready');
    if (isRemoved) {
      rig.remove();
      await rig.said('stdout: smart shutdown: waits for clients');
    }
    const { afterMs } = await rig.runtime().stopCustomer('acme', 'killed').gone;
    assert.ok(afterMs < 5_000, `gone after ${afterMs} ms`);
    await rig.until('nothing of it runs', () =>
      rig
        .runtime()
        .loads()
        .every(({ processes }) => processes === 0),
    );
    rig.remove();
    await rig.until('it is gone', () => rig.runtime().reports().length === 0);
  }
});

test('the next agent still asks by the signal of the one before', async () => {
  await rig.run({ script: stoppable, configuration: { stopSignal: 'INT' } });
  await rig.said('stdout: ready');
  await rig.restart();
  rig.remove();
  await rig.said('stdout: fast shutdown');
});

const told = () => rig.lines.filter((line) => /^(stdout|stderr): /.test(line)).map((line) => line.slice(8));

test('every line arrives whole, whoever opens /dev/stdout anew', async () => {
  const words = 'echo two > /dev/stdout; echo three > /dev/stdout; echo four > /dev/stderr; echo five > /dev/stderr';
  for (const user of ['', 'app']) {
    await rig.run({ script: `echo one; ${words}; echo six; echo end; sleep 60`, configuration: { user } });
    await rig.said('stdout: end');
    await rig.said('stderr: five');
    assert.deepEqual(told().toSorted(), ['end', 'five', 'four', 'one', 'six', 'three', 'two']);
  }
});

test('whoever became another user still writes to /dev/stdout', async () => {
  await rig.run({ script: 'su app -c "echo as app > /dev/stdout"; sleep 60' });
  await rig.said('stdout: as app');
});

test('jobs that log to the first process’s output are heard whole', async () => {
  const script = `echo started; for j in 1 2 3 4; do sleep 0.2; sh -c "echo job $j start; echo job $j done" > /proc/1/fd/1; done
    echo end; sleep 60`;
  await rig.run({ script });
  await rig.said('stdout: end');
  const jobs = [1, 2, 3, 4].flatMap((job) => [`job ${job} start`, `job ${job} done`]);
  assert.deepEqual(told(), ['started', ...jobs, 'end']);
});

test('the last line of a large log through a reopened /dev/stdout is there, and those before it', async () => {
  const loop =
    'n=0; pad=$(printf %0200d 0); while [ $n -lt 2000 ]; do n=$((n+1)); echo "request $n $pad"; done; echo "ERROR: the line that matters"; exit 3';
  const text = `#!/bin/sh\nexec /bin/sh -c '${loop}' >/dev/stdout 2>/dev/stderr\n`;
  await rig.run({ plant: (root) => plantFile(root, 'run', text, 0o755), configuration: { args: ['/run'] } });
  await rig.said('stdout: ERROR: the line that matters');
  const requests = told().flatMap((line) => /^request (\d+) /.exec(line)?.[1] ?? []);
  assert.deepEqual(
    requests.map(Number),
    Array.from({ length: 2_000 }, (_, n) => n + 1),
  );
});

test('colours are taken away whole', async () => {
  await rig.run({ script: 'printf "\\033[32mINFO\\033[0m ready\\n"; sleep 60' });
  await rig.said('stdout: INFO ready');
});

test('a restart of the agent loses nothing that is in the pipe, and holds nobody up for longer', async () => {
  const script =
    'i=0; while [ $i -lt 3000 ]; do i=$((i+1)); echo tick $i; [ $((i % 100)) = 0 ] && sleep 0.1; done; echo end; sleep 60';
  await rig.run({ script });
  for (const from of [200, 900, 1_600]) {
    await rig.said(`stdout: tick ${from}`);
    await rig.restart();
  }
  await rig.said('stdout: end');
  const ticks = told().flatMap((line) => /^tick (\d+)$/.exec(line)?.[1] ?? []);
  assert.deepEqual(
    ticks.map(Number),
    Array.from({ length: 3_000 }, (_, n) => n + 1),
  );
});

/** All states that it goes through until it has failed or ended once, each with its reason. */
async function fates(wanted: Script): Promise<string[]> {
  const seen = new Set<string>();
  const [one] = await rig.run(wanted);
  rig.runtime().onChange(() => {
    const report = rig.report(one);
    if (report !== undefined) seen.add(`${report.state}: ${report.reason}`);
  });
  await rig.until('it has ended', () => [...seen].some((each) => each.includes('again in')));
  return [...seen];
}

const riscv = Buffer.concat([
  Buffer.from('7f454c460201010000000000000000000200f30001000000', 'hex'),
  Buffer.alloc(200),
]);

test('what cannot be executed never runs, and its reason names the cause', async () => {
  const table: [string | Buffer, number, RegExp][] = [
    [riscv, 0o755, /exec format error: \/run is a program for riscv64, this board is (x64|arm64)/],
    ['#!/bin/sh\r\necho hi\r\n', 0o755, /the first line of \/run ends with CR LF/],
    ['#!/bin/bash\n', 0o755, /\/run needs "\/bin\/bash", which is no file of the image/],
    ['echo hi\n', 0o755, /exec format error: \/run is no program for Linux, and no script/],
    ['#!/bin/sh\n', 0o644, /\/run is not executable: its mode is 644, want 755/],
  ];
  for (const [content, mode, why] of table) {
    const plant = (root: string) => plantFile(root, 'run', content, mode);
    const seen = await fates({ plant, configuration: { args: ['/run'] } });
    assert.ok(!seen.some((each) => each.startsWith('running')), seen.join('\n'));
    const failure = seen.find((each) => each.startsWith('failed: cannot start: '));
    assert.match(failure ?? seen.join('\n'), why);
  }
});

test('a status is told as it is', async () => {
  assert.ok((await fates({ script: 'exit 255' })).includes('exited: exited with 255; again in 0.5 s'));
  assert.ok(
    (await fates({ script: 'exit 137' })).includes('exited: exited with 137, as after SIGKILL; again in 0.5 s'),
  );
  const quick = await fates({ configuration: { args: ['/bin/true'] } });
  assert.ok(quick.includes('exited: exited with 0; again in 0.5 s'), quick.join('\n'));
  assert.ok(!quick.some((each) => each.startsWith('failed')), 'it was executed, however short');
});

test('its own name is its own address, and localhost is there', async () => {
  const port = { container: 8080, node: 20_000 };
  await rig.run({
    script: 'cat /etc/hosts /etc/hostname; echo $HOSTNAME; echo bound; exec httpd -f -p $(hostname -i):8080 -h /www',
    instance: { port },
  });
  await rig.said('stdout: bound');
  const [own] = rig.runtime().reports();
  const [first = '', second = '', ...names] = told().filter((line) => line !== 'bound');
  assert.equal(first, '127.0.0.1 localhost');
  assert.match(second, new RegExp(`^172\\.28\\.\\d+\\.\\d+ ${own?.id}$`));
  assert.deepEqual(names, [own?.id, own?.id]);
  await rig.until('it answers at its port', () =>
    fetch(`http://${nodeAddress}:20000/`, { signal: AbortSignal.timeout(2_000) }).then(
      async (answer) => (await answer.text()) === 'here\n',
      () => false,
    ),
  );
});

const named =
  'cat /etc/hosts && cat /etc/resolv.conf && cat /etc/hostname && echo done; echo x >>/etc/hosts && echo open; sleep 60';

test('an image without /etc has its names', async () => {
  await rig.run({
    bare: true,
    plant: (root) => plantBusybox(root, ['sh', 'cat', 'sleep']),
    script: named,
    configuration: { env: ['PATH=/bin'] },
  });
  await rig.said('stdout: open');
  assert.ok(told().includes('127.0.0.1 localhost') && told().includes('done'));
});

test('where /etc is a link within the image, its files and its names are there', async () => {
  await rig.run({
    bare: true,
    plant: (root) => {
      plantBusybox(root, ['sh', 'cat', 'sleep', 'id']);
      plantFile(root, 'usr/etc/passwd', 'root:x:0:0::/:/bin/sh\napp:x:1000:1001::/:/bin/sh\n');
      plantFile(root, 'usr/etc/app.conf', 'setting=1\n');
      symlinkSync('usr/etc', join(root, 'etc'));
      symlinkSync('/run/systemd/resolve/stub-resolv.conf', join(root, 'usr/etc/resolv.conf'));
    },
    script: `cat /etc/app.conf; id; ${named}`,
    configuration: { user: 'app' },
  });
  await rig.said('stdout: done');
  assert.ok(told().includes('setting=1') && told().includes('127.0.0.1 localhost'), told().join('\n'));
  assert.ok(told().some((line) => line.startsWith('uid=1000(app)')));
});

test('the processors can be counted, and nothing else of /sys be seen or changed', async () => {
  const script = `exec 2>&1; cat /sys/devices/system/cpu/possible; ls /sys /sys/devices /sys/devices/system
    echo 0 >/sys/devices/system/cpu/cpu1/online || echo not changed; echo done; sleep 60`;
  await rig.run({ script });
  await rig.said('stdout: done');
  assert.match(told()[0] ?? '', /^0(-\d+)?$/);
  assert.ok(told().includes('not changed'));
  const seen = told().filter((line) => /^[a-z_]+$/.test(line));
  assert.deepEqual(seen, ['devices', 'fs', 'system', 'cpu', 'done']);
});

test('its standard input is empty, and nothing of the board’s is given to it', async () => {
  await rig.run({ script: "wc -c; stat -c '%u %a' /dev/null; echo done; sleep 60" });
  await rig.said('stdout: done');
  // 65534: nobody that its user namespace knows.
  assert.deepEqual(told(), ['0', '65534 666', 'done']);
  assert.equal(statSync('/dev/null').uid, 0);
});
