// Images that the controller fetches from a registry: from its own, which is one.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { sampleArchives } from '../../../images/customer/samples.ts';
import { until } from '../../../test/until.ts';
import { registryPlace } from './registry.fixture.ts';

test('an image is pulled with a login that no process list shows, and is the one that was pushed', async () => {
  await using place = await registryPlace();
  const { inventory, directory } = place.rack;
  const source = join(directory, 'web.tar');
  await writeFile(source, sampleArchives({ busybox: randomBytes(1 << 20), architecture: 'arm64' }).web);
  const at = `docker://127.0.0.1:${place.port}/acme/web`;
  const push = ['--insecure-policy', '--override-arch', 'arm64', 'copy', '--dest-tls-verify=false'];
  await promisify(execFile)('skopeo', [...push, '--dest-creds=me:secret', `oci-archive:${source}`, `${at}:1.4`]);
  const pushed = inventory.images.get('acme/web:1.4');
  assert.ok(pushed !== undefined);

  const pull = (reference: string, { password = 'secret', checksCertificate = false } = {}) =>
    place.images.pull(`${at}${reference}`, {
      name: 'pulled',
      by: 'anna',
      login: { user: 'me', password },
      checksCertificate,
    });
  const pulling = pull(':1.4');
  const doing = () => place.images.imports().map((each) => each.doing);
  await until('it is told what is done', () => doing().some((each) => each.startsWith('fetching pulled')));
  const { digest, squashfs } = await pulling;
  assert.deepEqual([digest, squashfs], [pushed.digest, pushed.squashfs]);
  assert.equal((await pull(`@sha256:${digest}`)).digest, digest, 'by its digest');

  await assert.rejects(
    pull(':1.4', { password: 'wrong' }),
    /^Error: cannot import docker:\/\/127[^\n]*no operator has this token/,
  );
  await assert.rejects(pull(':none'), /cannot import docker:.*(none|manifest unknown|404)/);
  await assert.rejects(pull(':1.4', { checksCertificate: true }), /cannot import docker:.*certificate/);
  await assert.rejects(pull(' --help'), /want an address like docker:\/\/host\/name:tag/);
  assert.deepEqual(await readdir(join(directory, 'images', 'incoming')), [], 'nothing is left, and no password');
});
