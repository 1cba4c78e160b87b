// Images that were made to be too much, against the real controller, agent and mksquashfs: each is refused or fails by
// name, and nobody beside it notices.
import assert from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';
import { request, type IncomingMessage } from 'node:http';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { sha256 } from '../../images/digest.ts';
import { sampleArchives } from '../../images/customer/samples.ts';
import { tarEnd, tarHeader, tarPadding, type TarHeader } from '../../images/customer/tar.ts';
import { openSqliteStore } from '../../inventory/store/sqlite-store.ts';
import { Images } from '../../protocol/api/images.ts';
import { keyOf, Rig } from '../faults/host/rig.ts';
import { until } from '../until.ts';
import { ControllerProcess } from '../qemu/controller-process.ts';
import { cacheDir, runningNetwork, scratch } from './attempt.ts';

const entry = (name: string, rest: Partial<TarHeader> = {}): Buffer =>
  tarHeader({
    name,
    kind: 'file',
    mode: 0o644,
    uid: 0,
    gid: 0,
    mtime: 0,
    target: '',
    sizeBytes: 0,
    xattrs: new Map(),
    ...rest,
  });

/** An OCI archive of one layer. */
function archive(entries: readonly Buffer[], config: unknown = {}): Buffer {
  const layer = Buffer.concat([...entries, tarEnd]);
  const files = new Map<string, Buffer>();
  const blob = (bytes: Buffer) => {
    files.set(`blobs/sha256/${sha256(bytes)}`, bytes);
    return { digest: `sha256:${sha256(bytes)}`, size: bytes.length };
  };
  const rootfs = { diff_ids: [`sha256:${sha256(layer)}`] };
  const configuration = blob(Buffer.from(JSON.stringify({ architecture: 'arm64', os: 'linux', config, rootfs })));
  const manifest = blob(Buffer.from(JSON.stringify({ config: configuration, layers: [blob(gzipSync(layer))] })));
  files.set('index.json', Buffer.from(JSON.stringify({ manifests: [manifest] })));
  const parts = [...files].flatMap(([name, bytes]) => [
    entry(name, { sizeBytes: bytes.length }),
    bytes,
    tarPadding(bytes.length),
  ]);
  return Buffer.concat([...parts, tarEnd]);
}

interface Upload {
  status: number;
  said: string;
}

async function upload(
  controller: ControllerProcess,
  { name, bytes }: { name: string; bytes: Buffer },
): Promise<Upload> {
  const sending = request(`${controller.url}/v1/images?name=${name}`, {
    method: 'POST',
    agent: false,
    headers: { authorization: `Bearer ${await controller.token()}`, 'content-type': 'application/octet-stream' },
  });
  sending.end(bytes);
  const answer = await new Promise<IncomingMessage>((resolve, reject) => {
    sending.once('response', resolve).once('error', reject);
  });
  return { status: answer.statusCode ?? 0, said: await text(answer) };
}

/** Programs that were told a path below that folder. */
async function processesAbout(path: string): Promise<string[]> {
  const found: string[] = [];
  for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
    const command = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
    if (command.startsWith('mksquashfs') && command.includes(path)) found.push(command.replaceAll('\0', ' '));
  }
  return found;
}

const range = (count: number): number[] => Array.from({ length: count }, (_, index) => index);

/** Each of its 40,000 hard links is found by a walk over 40,000 names: mksquashfs is busy for long. */
function slowArchive(): Buffer {
  const levels = ['a', 'a/a', 'a/a/a', 'a/a/a/a'];
  const links = range(40).flatMap((folder) => [
    entry(`z${folder}`, { kind: 'directory', mode: 0o755 }),
    ...range(1_000).map((index) => entry(`z${folder}/${index}`, { kind: 'hardlink', target: 'a/a/a/a/a' })),
  ]);
  return archive([
    ...levels.map((name) => entry(name, { kind: 'directory', mode: 0o755 })),
    entry('a/a/a/a/a'),
    ...levels.flatMap((name) => range(10_000).map((index) => entry(`${name}/b${index}`))),
    ...links,
  ]);
}

test(
  'what is too much for a board or for mksquashfs is refused; what is slow delays no other import',
  { timeout: 300_000 },
  async (t) => {
    await using state = await scratch();
    await using network = await runningNetwork({ boards: 0 });
    const stateDir = join(state.path, 'state');
    await using controller = new ControllerProcess({
      network,
      stateDir,
      cacheDir,
      logPath: join(state.path, 'log'),
      flags: [],
    });
    await controller.start();
    const { web } = sampleArchives({ busybox: Buffer.from('stands in for the program'), architecture: 'arm64' });

    const large = archive([entry('a')], { Env: [`MODEL=${'x'.repeat(1_200_000)}`] });
    const refused = await upload(controller, { name: 'large', bytes: large });
    assert.equal(refused.status, 400);
    assert.match(
      refused.said,
      /"detail":"cannot import large: its environment is 1200010 bytes, want at most 32768; the largest entry, \\"MODEL\\", has 1200008: put such data into a file of the image"/,
    );

    const crowd = archive([
      entry('d', { kind: 'directory', mode: 0o755 }),
      ...range(50_000).map((index) => entry(`d/${index}`)),
    ]);
    const crowdedMs = performance.now();
    const crowded = await upload(controller, { name: 'crowd', bytes: crowd });
    t.diagnostic(`50,000 files in one directory: refused after ${Math.round(performance.now() - crowdedMs)} ms`);
    assert.equal(crowded.status, 400);
    assert.match(
      crowded.said,
      /layer 1: \\"d\/20000\\" is one name too many in its directory, want at most 20000 in each/,
    );

    const slow = upload(controller, { name: 'slow', bytes: slowArchive() }).then(
      () => 'answered',
      () => 'cut',
    );
    const doing = async (): Promise<string[]> =>
      (await controller.get('/v1/images', Images)).imports.map((each) => each.doing);
    await until('the slow one is packed', async () => (await doing()).includes('packing slow'), { withinMs: 150_000 });
    const quickMs = performance.now();
    assert.equal((await upload(controller, { name: 'web', bytes: web })).status, 201);
    t.diagnostic(`meanwhile an ordinary import took ${Math.round(performance.now() - quickMs)} ms`);
    assert.deepEqual(await doing(), ['packing slow']);

    assert.equal((await processesAbout(stateDir)).length, 1);
    await controller.kill9();
    assert.equal(await slow, 'cut');
    await until('what it ran has ended', async () => (await processesAbout(stateDir)).length === 0, {
      withinMs: 30_000,
    });
  },
);

test(
  '1.2 MB of environment from before there was a limit: the neighbour comes back on a board that restarts',
  { timeout: 300_000 },
  async (t) => {
    await using rig = await Rig.create({ name: 'large-image', nodes: 1, print: (line) => t.diagnostic(line) });
    const [node] = rig.nodes;
    assert.ok(node !== undefined);
    await rig.controller.stop();
    {
      await using store = await openSqliteStore(join(rig.stateDir, 'muster', 'inventory.sqlite'));
      const { documents } = await store.list('');
      const values = new Map(documents.map(({ key, value }) => [key, Object(value)]));
      const big = { args: ['/bin/sh'], env: [`MODEL=${'x'.repeat(1_200_000)}`], workingDir: '/' };
      const workload = values.get('workloads/acme/app');
      workload.image.config.env = big.env;
      await store.transact([
        { key: 'workloads/acme/app', value: workload },
        // As they were stored: each with a copy of its own.
        ...[...values].flatMap(([key, value]) => {
          if (!key.startsWith('instances/')) return [];
          const { configuration, ...desired } = value.desired;
          const own = key.startsWith('instances/acme/') ? big : values.get(`configurations/${configuration}`);
          return [{ key, value: { ...value, desired: { ...desired, ...own } } }];
        }),
      ]);
    }
    await rig.controller.start();
    t.diagnostic(`the controller started in ${Math.round(rig.controller.startedInMs)} ms`);
    await node.powerOff();
    await node.powerOn();
    await rig.allReady();
    const shown = async (): Promise<string> => {
      const [acme] = await rig.instances('acme');
      return `${acme?.state} ${acme?.reason}`;
    };
    // What is shown of it is never that it runs, once its board has said what it has.
    await until('the large one fails by name', async () => /^failed .*its environment is 12000/.test(await shown()), {
      withinMs: 60_000,
    });
    await until('the neighbour runs', () => rig.observer.isPopulated(keyOf(node, 'bolt')), { withinMs: 60_000 });
    await until('and is shown to', async () => (await rig.instances('bolt'))[0]?.state === 'running', {
      withinMs: 30_000,
    });
    assert.match(await shown(), /^failed /);
  },
);
