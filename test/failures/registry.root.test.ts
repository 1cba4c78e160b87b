// The registry of the real controller, from a client in its network: over TLS, by skopeo, and over a crash.
import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { test } from 'node:test';
import { sampleArchives } from '../../images/customer/samples.ts';
import { Images } from '../../protocol/api/images.ts';
import { ControllerProcess } from '../qemu/controller-process.ts';
import { rackAddress } from '../qemu/rack-network.ts';
import { cacheDir, runningNetwork, scratch } from './attempt.ts';

test(
  'skopeo pushes to the controller, which crashes and starts again with the image, and pulls it',
  { timeout: 300_000 },
  async () => {
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
    const archive = join(state.path, 'web.tar');
    await writeFile(archive, sampleArchives({ busybox: randomBytes(2 << 20), architecture: 'arm64' }).web);
    const token = await controller.token();
    const skopeo = async (...args: string[]) => {
      const { code, stderr } = await network.exec(
        ['skopeo', '--insecure-policy', '--override-arch', 'arm64', ...args],
        { timeoutMs: 120_000 },
      );
      assert.equal(code, 0, stderr);
    };
    const at = `docker://${rackAddress}:8443/web:1.4`;
    await skopeo('copy', '--dest-tls-verify=false', `--dest-creds=me:${token}`, `oci-archive:${archive}`, at);
    const named = async () => (await controller.get('/v1/images', Images)).images.map(({ name }) => name);
    assert.deepEqual(await named(), ['web:1.4']);
    await controller.kill9();
    await controller.start();
    assert.deepEqual(await named(), ['web:1.4']);
    const pulled = join(state.path, 'pulled');
    await skopeo('copy', '--src-tls-verify=false', `--src-creds=me:${token}`, at, `oci:${pulled}:web`);
    const [image] = (await controller.get('/v1/images', Images)).images;
    assert.match(await readFile(join(pulled, 'index.json'), 'utf8'), new RegExp(`sha256:${image?.digest}`));
  },
);
