// What image-spec 1.1 and the tar and zstd formats allow, and few builders do: each as images in the field had it.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdir, mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { sha256 } from '../digest.ts';
import { directory, file, imported, json, oddLayout, one, refused, tar } from './archive.fixture.ts';
import { tarEnd, tarHeader, tarPadding } from './tar.ts';

const layerOf = (text: string): Buffer => tar([directory('etc'), file('etc/a', text)]);
const arm64 = { platform: { architecture: 'arm64', os: 'linux' } };

async function holds(source: Buffer, text: string): Promise<void> {
  const { contents } = await imported({ source, read: ['etc/a'] });
  assert.equal(contents[0]?.toString(), text);
}

const foreignEntries = [
  [
    'a signature, as an image without a platform',
    (odd: ReturnType<typeof oddLayout>) => {
      const payload = odd.blob('{"critical":{}}', 'application/vnd.dev.cosign.simplesigning.v1+json');
      const own = { architecture: '', os: '' };
      return odd.manifest(odd.configuration([Buffer.from('{"critical":{}}')], own), { layers: [payload] });
    },
  ],
  [
    'an artifact with an empty configuration',
    (odd: ReturnType<typeof oddLayout>) =>
      odd.manifest(
        {},
        {
          configType: 'application/vnd.oci.empty.v1+json',
          layers: [odd.blob('{"spdxVersion":"SPDX-2.3"}', 'application/spdx+json')],
        },
      ),
  ],
  [
    'a blob of an unknown media type',
    (odd: ReturnType<typeof oddLayout>) => odd.blob('<component/>', 'application/xml'),
  ],
  [
    'an entry by another digest algorithm',
    () => ({ mediaType: 'application/vnd.oci.image.manifest.v1+json', size: 7, digest: `sha512:${'0'.repeat(128)}` }),
  ],
  [
    'an image of another platform with layers that nobody knows',
    (odd: ReturnType<typeof oddLayout>) =>
      odd.image(layerOf('x'), { own: { architecture: 'amd64' }, layerType: 'text/x' }),
  ],
  ['an image whose configuration is broken', (odd: ReturnType<typeof oddLayout>) => odd.manifest([], { layers: [] })],
] as const;

describe('importImage() chooses by the index', () => {
  test('the first of several that fit: one image with gzip and with zstd layers', async () => {
    const odd = oddLayout();
    const layer = layerOf('a');
    const gzip = odd.image(layer);
    const zstd = odd.image(layer, {
      stored: zstdCompressSync(layer),
      layerType: 'application/vnd.oci.image.layer.v1.tar+zstd',
    });
    const { image } = await imported({ source: odd.saved([odd.index([gzip, zstd])]) });
    assert.equal(`sha256:${image.digest}`, gzip.digest);
  });

  test('what its index says, where the configuration names no platform', async () => {
    const odd = oddLayout();
    const bare = odd.image(layerOf('a'), { own: { architecture: '', os: '' } });
    const { image } = await imported({ source: odd.saved([{ ...bare, ...arm64 }]) });
    assert.equal(image.architecture, 'arm64');
    await refused(
      { source: odd.saved([bare]) },
      /want linux\/arm64, it holds an image whose configuration names no platform/,
    );
    const without = odd.image(layerOf('a'), { own: { architecture: undefined, os: null } });
    await imported({ source: odd.saved([{ ...without, ...arm64 }]) });
  });

  test('no variant that a board does not have', async () => {
    const odd = oddLayout();
    const variant = (name: string) => ({ platform: { architecture: 'arm64', os: 'linux', variant: name } });
    const newer = { ...odd.image(layerOf('newer'), { own: { variant: 'v9' } }), ...variant('v9') };
    const fits = { ...odd.image(layerOf('fits'), { own: { variant: 'v8' } }), ...variant('v8') };
    await holds(odd.saved([newer, fits]), 'fits');
    await refused({ source: odd.saved([newer]) }, /want linux\/arm64, it holds linux\/arm64\/v9$/);
  });

  for (const [what, extra] of foreignEntries) {
    test(`past ${what}`, async () => {
      const odd = oddLayout();
      const image = odd.image(layerOf('a'));
      const other = extra(odd);
      await holds(odd.saved([other, image]), 'a');
      await holds(odd.saved([image, other]), 'a');
    });
  }

  test('nothing, and says why, where what is there is broken', async () => {
    const odd = oddLayout();
    await refused(
      { source: odd.saved([odd.manifest([], { layers: [] })]) },
      /^cannot import web: want linux\/arm64, it holds one that cannot read the configuration in web: .*object/,
    );
    const strange = odd.image(layerOf('a'), { layerType: 'application/vnd.example.rpm' });
    await refused({ source: odd.saved([strange]) }, /layer 1 of web: it is "application\/vnd.example.rpm", want a tar/);
  });

  test('manifest.json, where the manifest behind index.json has no layers', async () => {
    const odd = oddLayout();
    const layer = layerOf('a');
    const stored = odd.blob(layer, 'application/vnd.oci.image.layer.v1.tar');
    const configuration = odd.configuration([layer]);
    const empty = odd.manifest(configuration, { layers: [] });
    const blob = (digest: string) => digest.replace('sha256:', 'blobs/sha256/');
    const Config = `blobs/sha256/${sha256(json(configuration))}`;
    const images = [{ Config, RepoTags: ['web:latest'], Layers: [blob(stored.digest)] }];
    odd.files.set('manifest.json', Buffer.from(json(images)));
    await holds(odd.saved([empty]), 'a');
    odd.files.delete('manifest.json');
    await refused({ source: odd.saved([empty]) }, /0 layers, but its configuration lists 1, want it saved again/);
  });
});

/** A layer as stored by `stored`, with its own digests. */
function storedAs(layer: Buffer, stored: Buffer): Buffer {
  const odd = oddLayout();
  return odd.saved([odd.image(layer, { stored, layerType: 'application/vnd.oci.image.layer.v1.tar+zstd' })]);
}

describe('importImage() unpacks, or says', () => {
  const layer = tar([directory('etc'), file('etc/a', 'a'.repeat(3_000)), file('etc/b', 'b'.repeat(300_000))]);
  const skippable = Buffer.concat([Buffer.from('502a4d1808000000', 'hex'), Buffer.from('metadata')]);
  const half = 1_024;
  const frames = [zstdCompressSync(layer.subarray(0, half)), zstdCompressSync(layer.subarray(half))];
  for (const [what, stored] of [
    ['zstd frames one after another', Buffer.concat(frames)],
    ['zstd frames with a skippable one behind', Buffer.concat([...frames, skippable])],
    [
      'zstd frames with a skippable one before and between',
      Buffer.concat([skippable, ...frames.flatMap((each) => [each, skippable])]),
    ],
    ['a zstd frame for each hundred bytes', Buffer.concat(hundreds(layer).map((piece) => zstdCompressSync(piece)))],
    [
      'gzip members one after another',
      Buffer.concat([gzipSync(layer.subarray(0, half)), gzipSync(layer.subarray(half))]),
    ],
  ] as const) {
    test(what, async () => {
      const { contents } = await imported({ source: storedAs(layer, stored), read: ['etc/a', 'etc/b'] });
      assert.deepEqual(
        contents.map((each) => each.toString()),
        ['a'.repeat(3_000), 'b'.repeat(300_000)],
      );
    });
  }

  for (const [what, stored, wanted] of [
    ['a zstd frame that is cut', Buffer.concat([...frames]).subarray(0, -20), /it ends within a zstd frame/],
    [
      'rubbish behind a zstd frame',
      Buffer.concat([...frames, Buffer.from('rubbish')]),
      /after a zstd frame come the bytes/,
    ],
    [
      'a skippable frame that is cut',
      Buffer.concat([...frames, skippable.subarray(0, 10)]),
      /it ends within a zstd frame/,
    ],
    [
      'xz',
      Buffer.from('fd377a585a000004e6d6b446', 'hex'),
      /layer 1 of web: it is compressed with xz, want gzip, zstd or/,
    ],
    ['bzip2', Buffer.from('425a6839314159265359', 'hex'), /compressed with bzip2, want gzip/],
  ] as const) {
    test(`what is wrong with ${what}`, () => refused({ source: storedAs(layer, stored) }, wanted));
  }
});

function hundreds(bytes: Buffer): Buffer[] {
  return Array.from({ length: Math.ceil(bytes.length / 100) }, (_, index) =>
    bytes.subarray(index * 100, index * 100 + 100),
  );
}

test('an empty pax value takes nothing but an earlier pax value away', async () => {
  const blank = { kind: 'file', mode: 0o644, uid: 0, gid: 0, mtime: 0, target: '', xattrs: new Map() } as const;
  const empty = Buffer.from('8 path=\n9 mtime=\n8 size=\n13 linkpath=\n', 'latin1');
  const extension = tarHeader({ ...blank, name: 'pax', sizeBytes: empty.length });
  extension.write('x', 156);
  withSum(extension);
  const own = tarHeader({ ...blank, name: 'etc/a', uid: 7, sizeBytes: 1 });
  const layer = Buffer.concat([
    extension,
    empty,
    tarPadding(empty.length),
    own,
    Buffer.from('a'),
    tarPadding(1),
    tarEnd,
  ]);
  const odd = oddLayout();
  const { listing } = await imported({ source: odd.saved([odd.image(layer)]) });
  assert.match(listing, /^-rw-r--r-- 7\/0 +1 .*squashfs-root\/etc\/a$/m);
});

function withSum(header: Buffer): void {
  header.fill(0x20, 148, 156);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
}

/** A layer by GNU tar with a file of holes, and that file's bytes. */
async function sparseLayer(form: readonly string[], pieces: number) {
  const place = await mkdtemp(join(tmpdir(), 'muster-sparse-'));
  try {
    await mkdir(join(place, 'log'));
    const content = Buffer.alloc(5 << 20);
    {
      await using sparse = await open(join(place, 'log/lastlog'), 'w');
      await sparse.truncate(content.length);
      for (let piece = 0; piece < pieces; piece += 1) {
        const at = Math.floor((piece * content.length) / pieces / 65_536) * 65_536;
        const { bytesWritten } = await sparse.write(`login ${piece}`, at);
        content.write(`login ${piece}`, at);
        assert.ok(bytesWritten > 0);
      }
    }
    const layer = execFileSync('tar', ['--sparse', ...form, '-C', place, '-cf', '-', 'log'], { maxBuffer: 1 << 26 });
    return { layer, content };
  } finally {
    await rm(place, { recursive: true, force: true });
  }
}

const forms = [
  ['old GNU', ['--format=gnu']],
  ['pax 0.0', ['--format=pax', '--sparse-version=0.0']],
  ['pax 0.1', ['--format=pax', '--sparse-version=0.1']],
  ['pax 1.0', ['--format=pax', '--sparse-version=1.0']],
] as const;

describe('importImage() reads sparse files', () => {
  for (const [name, form] of forms) {
    for (const pieces of [0, 1, 60]) {
      test(`of the form ${name}, in ${pieces} pieces`, async () => {
        const { layer, content } = await sparseLayer(form, pieces);
        assert.ok(layer.length < content.length, 'it was stored sparsely');
        const odd = oddLayout();
        const { contents } = await imported({ source: odd.saved([odd.image(layer)]), read: ['log/lastlog'] });
        assert.equal(sha256(contents[0] ?? Buffer.alloc(0)), sha256(content));
      });
    }
  }

  test('but none whose holes are more than an image may have, nor whose map lies', async () => {
    const { layer } = await sparseLayer(forms[3][1], 1);
    const odd = oddLayout();
    const source = odd.saved([odd.image(layer)]);
    await refused(
      { source, limits: { unpackedBytes: 1 << 20 } },
      /layer 1 of web: with the sparse file "log\/lastlog" it is more/,
    );
    const far = Buffer.from(
      layer.toString('latin1').replace('22 GNU.sparse.major=1\n', '22 GNU.sparse.major=7\n'),
      'latin1',
    );
    await refused(
      { source: odd.saved([odd.image(far)]) },
      /"log\/lastlog" in layer 1 of web: .* in the form "7.0", want/,
    );
  });

  test('and survives seeded damage to their maps', async () => {
    let state = Number(process.env['MUSTER_SEED'] ?? 20_261_201) | 1;
    const roll = (below: number): number => {
      state ^= state << 13;
      state ^= state >>> 17;
      state ^= state << 5;
      return (state >>> 0) % below;
    };
    const outcomes = { taken: 0, refused: 0 };
    for (const [, form] of forms) {
      const { layer } = await sparseLayer(form, 6);
      for (let round = 0; round < 15; round += 1) {
        const copy = Buffer.from(layer);
        for (let change = 0; change < 3; change += 1)
          copy[512 + roll(3_072)] = roll(2) === 0 ? 0x30 + roll(10) : roll(256);
        for (let at = 0; at + 512 <= copy.length; at += 512)
          if (copy.toString('latin1', at + 257, at + 262) === 'ustar') withSum(copy.subarray(at, at + 512));
        const odd = oddLayout();
        try {
          await imported({ source: odd.saved([odd.image(copy)]), limits: { unpackedBytes: 1 << 26 } });
          outcomes.taken += 1;
        } catch (error) {
          assert.ok(error instanceof Error);
          assert.match(error.message, /^cannot [^\n]*$/);
          outcomes.refused += 1;
        }
      }
    }
    assert.ok(outcomes.refused > 0, json(outcomes));
  });

  test('but not in an archive of images', async () => {
    const { layer } = await sparseLayer(forms[0][1], 1);
    await refused({ source: layer }, /"log\/lastlog" is stored sparsely, want the archive without --sparse/);
  });
});

describe('importImage() keeps of the configuration', () => {
  const of = (config: unknown, files = [file('a')]) => {
    const odd = oddLayout();
    return odd.saved([odd.image(tar(files), { own: { config } })]);
  };

  test('what a board runs it by', async () => {
    const config = {
      StopSignal: 'quit',
      Volumes: { '/data': {} },
      ExposedPorts: { '80/tcp': {} },
      Labels: { version: '1' },
      Healthcheck: { Test: ['CMD-SHELL', 'true'], Interval: 5e9, Timeout: 0, Retries: 3 },
      OnBuild: ['unknown keys are no error'],
    };
    const { image } = await imported({ source: of(config) });
    assert.deepEqual(image.config, {
      entrypoint: [],
      cmd: [],
      env: [],
      workingDir: '/',
      stopSignal: 'SIGQUIT',
      volumes: ['/data'],
      exposedPorts: ['80/tcp'],
      labels: { version: '1' },
      healthcheck: { test: ['CMD-SHELL', 'true'], intervalMs: 5_000, retries: 3 },
      user: '',
    });
    assert.equal((await imported({ source: of({ StopSignal: 'SIGRTMIN+3' }) })).image.config.stopSignal, 'SIGRTMIN+3');
    assert.equal((await imported({ source: of({ StopSignal: '9' }) })).image.config.stopSignal, '9');
    assert.equal(
      (await imported({ source: of({ Healthcheck: { Test: ['NONE'] } }) })).image.config.healthcheck,
      undefined,
    );
  });

  for (const [what, config, wanted] of [
    [
      'a signal that is none',
      { StopSignal: 'SIGSTOPP' },
      /^cannot import web: cannot use its StopSignal: it is "SIGSTOPP", want/,
    ],
    [
      'a check of an unknown kind',
      { Healthcheck: { Test: ['HTTP', '/'] } },
      /cannot use its Healthcheck: Test begins with "HTTP"/,
    ],
    [
      'labels without end',
      { Labels: { a: 'x'.repeat(40_000) } },
      /cannot use its Labels: 40\d\d\d bytes, want at most 32768/,
    ],
    ['a key of another type', { Cmd: 'sh' }, /configuration in web: \/config\/Cmd must be/],
  ] as const) {
    test(`not ${what}`, () => refused({ source: of(config) }, wanted));
  }
});

test('an archive in more than one zstd frame', async () => {
  const whole = one(directory('etc'), file('etc/a', 'a'));
  const half = whole.length >> 1;
  await holds(Buffer.concat([zstdCompressSync(whole.subarray(0, half)), zstdCompressSync(whole.subarray(half))]), 'a');
});
