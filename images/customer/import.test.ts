import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { promisify } from 'node:util';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import {
  archive,
  directory,
  dockerSave,
  file,
  hardlink,
  imported,
  json,
  layout,
  lines,
  one,
  refused,
  scratch,
  symlink,
  tar,
} from './archive.fixture.ts';
import { importImage, type ImportLimits } from './import.ts';
import { sampleArchives } from './samples.ts';

const lower = tar([
  directory('./', 0o755),
  directory('bin'),
  { ...file('bin/tool', 'tool'), mode: 0o4755, uid: 5, gid: 6 },
  hardlink('bin/same', 'bin/tool'),
  directory('etc'),
  file('etc/gone', 'x'),
  file('etc/passwd', 'root:x:0:0::/:/bin/sh\napp:x:1000:1001::/:/bin/sh\n'),
  file('etc/group', 'wheel:x:10:\n'),
  directory('opt/old'),
  file('opt/old/a', 'a'),
  file('opt/old/deep/b', 'b'),
  symlink('lib', 'usr/lib'),
  directory('usr/lib'),
  symlink('abs', '/usr'),
  file('var/cache', 'was a file'),
]);
const upper = tar([
  file('etc/.wh.gone'),
  file('etc/.wh.never-there'),
  file('opt/old/new', 'stays: of the same layer as the whiteout'),
  file('opt/old/.wh..wh..opq'),
  file('lib/through-link.so', 'so'),
  file('abs/through-absolute', 'x'),
  { ...file('bin/tool', 'replaced'), mode: 0o755 },
  directory('var/cache', 0o700),
  { name: 'dev/null', kind: 'fifo', mode: 0o600 },
]);
const golden = [
  'drwxr-xr-x 0/0 /',
  'lrwxrwxrwx 0/0 /abs -> /usr',
  'drwxr-xr-x 0/0 /bin',
  '-rwsr-xr-x 5/6 /bin/same',
  '-rwxr-xr-x 0/0 /bin/tool',
  'drwxr-xr-x 0/0 /dev',
  'prw------- 0/0 /dev/null',
  'drwxr-xr-x 0/0 /etc',
  '-rw-r--r-- 0/0 /etc/group',
  '-rw-r--r-- 0/0 /etc/passwd',
  'lrwxrwxrwx 0/0 /lib -> usr/lib',
  'drwxr-xr-x 0/0 /opt',
  'drwxr-xr-x 0/0 /opt/old',
  '-rw-r--r-- 0/0 /opt/old/new',
  'drwxr-xr-x 0/0 /usr',
  'drwxr-xr-x 0/0 /usr/lib',
  '-rw-r--r-- 0/0 /usr/lib/through-link.so',
  '-rw-r--r-- 0/0 /usr/through-absolute',
  'drwxr-xr-x 0/0 /var',
  'drwx------ 0/0 /var/cache',
];
const toolConfig = { Entrypoint: ['/bin/tool'], Cmd: null, Env: ['A=1'], WorkingDir: '', User: 'app:wheel' };
const parts = { layers: [lower, upper], config: toolConfig };

describe('importImage() merges layers', () => {
  for (const [what, source] of [
    ['an OCI archive with gzip layers', archive(layout(parts))],
    ['an OCI archive with zstd layers', archive(layout({ ...parts, compress: zstdCompressSync }))],
    [
      'an OCI archive with plain layers, itself in gzip',
      gzipSync(archive(layout({ ...parts, compress: (bytes) => bytes }))),
    ],
    ['an OCI layout', layout(parts)],
    ['a docker save archive', dockerSave(parts)],
  ] as const) {
    test(`of ${what}, by the golden list`, async () => {
      const { image, listing } = await imported({ source });
      assert.deepEqual(lines(listing), golden);
      assert.deepEqual(image.config, {
        entrypoint: ['/bin/tool'],
        cmd: [],
        env: ['A=1'],
        workingDir: '/',
        user: 'app:wheel',
      });
      assert.equal(image.architecture, 'arm64');
      assert.equal(image.importedAt, 1_700_000_000_000);
    });
  }

  test('with the image’s own health check, in milliseconds', async () => {
    const Healthcheck = { Test: ['CMD', '/bin/ok'], Interval: 30e9, Timeout: 3e9, StartPeriod: 5e9, Retries: 2 };
    const { image } = await imported({ source: archive(layout({ ...parts, config: { ...toolConfig, Healthcheck } })) });
    assert.deepEqual(image.config.healthcheck, {
      test: ['CMD', '/bin/ok'],
      intervalMs: 30_000,
      timeoutMs: 3_000,
      startPeriodMs: 5_000,
      retries: 2,
    });
  });

  test('into the same squashfs, however it came and whenever', async () => {
    const first = await imported({ source: archive(layout(parts)) });
    const second = await imported({ source: dockerSave(parts) });
    assert.equal(first.image.squashfs.sha256, second.image.squashfs.sha256);
  });

  test('and keeps capabilities of files and times, and drops labels and times to come', async () => {
    const capability = Buffer.from('0100000200040000000000000000000000000000', 'hex').toString('latin1');
    const xattrs = new Map([
      ['security.capability', capability],
      ['security.selinux', 'somewhere_t'],
    ]);
    await using place = await scratch();
    const source = join(place.path, 'web.tar');
    const layer = tar([
      { ...file('ping', 'x'), xattrs },
      { ...file('later', ''), mtime: 4_000_000_000 },
    ]);
    await writeFile(source, archive(layout({ layers: [layer] })));
    const image = await importImage({ source, name: 'web', storeDirectory: place.path, now: () => 1_700_000_000_000 });
    const squashfs = join(place.path, `${image.squashfs.sha256}.squashfs`);
    const { stdout } = await promisify(execFile)('unsquashfs', ['-UTC', '-lln', squashfs]).catch(() =>
      promisify(execFile)('unsquashfs', ['-lln', squashfs], { env: { ...process.env, TZ: 'UTC' } }),
    );
    assert.match(stdout, /2020-09-13 12:26 squashfs-root\/ping/);
    assert.match(stdout, /1970-01-01 00:00 squashfs-root\/later/);
    const pseudo = await promisify(execFile)('unsquashfs', ['-s', squashfs]);
    assert.match(pseudo.stdout, /Number of xattr ids 1\b/);
  });
});

describe('importImage() chooses', () => {
  const layers = [tar([file('a')])];
  test('the wanted architecture among several', async () => {
    const source = archive(layout({ layers, architecture: 'amd64' }, { layers, architecture: 'arm64' }));
    assert.equal((await imported({ source })).image.architecture, 'arm64');
  });
  test('nothing when it is not there, and lists what is', async () => {
    const source = archive(layout({ layers, architecture: 'amd64' }, { layers, architecture: 's390x' }));
    await refused({ source }, /^cannot import web: want linux\/arm64, it holds linux\/amd64, linux\/s390x$/);
  });
  test('by name where several fit', async () => {
    const other = [tar([file('b')])];
    const source = archive(layout({ layers, ref: 'web' }, { layers: other, ref: 'app' }));
    assert.match((await imported({ source, name: 'app' })).listing, /squashfs-root\/b/);
    await refused({ source, name: 'other' }, /holds 2 images for linux\/arm64 .*want the name of one/);
  });
});

const whole = layout({ layers: [tar([file('a', 'aaa')])] });
const soundArchive = archive(whole);
const layerName = [...whole.keys()].find((name) => whole.get(name)?.readUInt16BE() === 0x1f8b) ?? '';
const changed = (name: string, bytes: Buffer): Buffer => archive(new Map([...whole, [name, bytes]]));

const refusals: [what: string, source: Buffer, wanted: RegExp, limits?: Partial<ImportLimits>][] = [
  ['what is no archive', Buffer.from('hello'.repeat(200)), /checksum .*is it a tar archive/],
  ['an empty file', Buffer.alloc(0), /neither index.json \(OCI\) nor manifest.json/],
  ['a truncated archive', soundArchive.subarray(0, 1100), /^cannot read web: it ends within/],
  ['a truncated gzip archive', gzipSync(soundArchive).subarray(0, 200), /^cannot unpack web: unexpected end/],
  ['a layer of another digest', changed(layerName, gzipSync(tar([file('a', 'bbb')]))), /its sha256 is|bytes, want/],
  ['a missing blob', archive(new Map([...whole].filter(([name]) => name !== layerName))), /blob sha256:\w+ is missing/],
  ['an index that is not JSON', changed('index.json', Buffer.from('{')), /index.json of web: it is not JSON/],
  ['an index of another shape', changed('index.json', Buffer.from('{"manifests":7}')), /manifests must be array/],
  ['a path out of the image', one(file('../etc/passwd', 'x')), /"\.\.\/etc\/passwd" leads out of the image/],
  ['a path out further down', one(file('a/../../b')), /leads out of the image/],
  ['a hard link out', one(hardlink('a', '../../etc/shadow')), /leads out of the image/],
  ['a hard link to nothing', one(hardlink('a', 'etc/shadow')), /hard link to "etc\/shadow", which is not in the image/],
  ['a hard link to a directory', one(directory('d'), hardlink('a', 'd')), /which is a directory/],
  ['a loop of links', one(symlink('a', 'b'), symlink('b', 'a'), file('a/x')), /lies in a loop of links/],
  ['a file below a file', one(file('a', 'x'), file('a/b')), /below something that is not a directory/],
  ['a whiteout of nothing', one(file('.wh.')), /removes no name/],
  ['a name too long', one(file('n'.repeat(300))), /part of more than 255 bytes/],
  ['a path too deep', one(file('d/'.repeat(300) + 'x')), /directories deep/],
  ['too many files', one(...'abcdefghij'.split('').map((name) => file(name))), /more than 5 files/, { entries: 5 }],
  [
    'too many files in one directory',
    one(directory('d'), ...'abcd'.split('').map((name) => file(`d/${name}`))),
    /^cannot take layer 1: "d\/d" is one name too many in its directory, want at most 3 in each$/,
    { directoryEntries: 3 },
  ],
  [
    'directories without an entry of their own count too',
    one(...'abcd'.split('').map((name) => file(`${name}/x`))),
    /^cannot take layer 1: "d\/x" is one name too many/,
    { directoryEntries: 3 },
  ],
  [
    'an environment that no board is told',
    configured({ Env: ['PATH=/bin', `MODEL=${'x'.repeat(1_200_000)}`] }),
    /^cannot import web: its environment is 1200022 bytes, want at most 32768; the largest entry, "MODEL", has 1200008/,
  ],
  [
    'an environment of too many entries',
    configured({ Env: Array.from({ length: 5_000 }, (_, index) => `V${index}=`) }),
    /^cannot import web: its environment has 5000 entries, want at most 512$/,
  ],
  [
    'a command that is too long',
    configured({ Entrypoint: ['/bin/app'], Cmd: ['x'.repeat(40_000)] }),
    /^cannot import web: its command is 40015 bytes, want at most 32768/,
  ],
  ['a zero byte in the environment', configured({ Env: ['A=1\0B=2'] }), /holds a zero byte/],
  ['a working directory that is none', configured({ WorkingDir: 'd'.repeat(5_000) }), /a name of 5003 bytes, want/],
  ['a bomb', one(file('zeros', '\0'.repeat(1 << 22))), /more than the 1048576 bytes/, { unpackedBytes: 1 << 20 }],
  ['a user who is not there', userImage('nobody'), /"nobody" is not in its \/etc\/passwd/],
  ['a user beyond the range', userImage('70000'), /id "70000", want 0 to 65535/],
];

describe('importImage() refuses, in one sentence and leaving nothing', () => {
  for (const [what, source, wanted, limits] of refusals) {
    test(what, () => refused({ source, ...(limits === undefined ? {} : { limits }) }, wanted));
  }

  test('a name that is none', () => refused({ source: soundArchive, name: 'Web Server' }, /an image's name is like/));

  test('to go on when it is aborted', async () => {
    await using place = await scratch();
    const source = join(place.path, 'web.tar');
    await writeFile(source, one(file('a', 'x'.repeat(1 << 22))));
    const storeDirectory = join(place.path, 'store');
    for (const stage of ['reading 1 layers of web', 'packing web']) {
      const stop = new AbortController();
      const step = (name: string) => {
        if (name === stage) setImmediate(() => stop.abort());
        return { done: () => undefined };
      };
      await assert.rejects(
        importImage({ source, name: 'web', storeDirectory, progress: { step }, signal: stop.signal }),
        { name: 'AbortError' },
      );
      assert.deepEqual(await readdir(storeDirectory), []);
    }
  });
});

function userImage(user: string): Buffer {
  return configured({ User: user });
}

function configured(config: unknown): Buffer {
  return archive(layout({ layers: [tar([file('a')])], config }));
}

// xorshift32
const dice = (start: number) => {
  let state = start | 0 || 1;
  return (below: number): number => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
};
const damaged = (bytes: Buffer, roll: (below: number) => number) => {
  const copy = Buffer.from(roll(4) === 0 ? bytes.subarray(0, roll(bytes.length)) : bytes);
  for (let changes = 1 + roll(8); changes > 0 && copy.length > 0; changes -= 1) copy[roll(copy.length)] = roll(256);
  return copy;
};
const fix = (layer: Buffer): Buffer => {
  // A right checksum over a wrong header leads further in than a wrong one.
  for (let at = 0; at + 512 <= layer.length; at += 512) {
    const header = layer.subarray(at, at + 512);
    if (header.toString('latin1', 257, 262) !== 'ustar') continue;
    header.fill(0x20, 148, 156);
    header.write(
      `${header
        .reduce((sum, byte) => sum + byte, 0)
        .toString(8)
        .padStart(6, '0')}\0 `,
      148,
      'latin1',
    );
  }
  return layer;
};
const outcome = async (source: Buffer, label: string): Promise<'taken' | 'refused'> => {
  try {
    await imported({ source });
    return 'taken';
  } catch (error) {
    assert.ok(error instanceof Error);
    assert.match(error.message, /^cannot /, `${label}: ${error.message}`);
    assert.doesNotMatch(error.message, /\n/, label);
    return 'refused';
  }
};

test('a name that replaces another is not one more in its directory', async () => {
  const layers = [tar([file('a', '1'), file('b', '2')]), tar([file('a', '3'), file('.wh.b'), file('c', '4')])];
  const { listing } = await imported({ source: archive(layout({ layers })), limits: { directoryEntries: 2 } });
  assert.deepEqual(lines(listing).filter((line) => line.startsWith('-')).length, 2);
});

test('files of one size are not compared with each other where there are many', async () => {
  const files = Array.from({ length: 10_001 }, (_, index) => file(`d${index % 10}/${index}`, String(index % 5)));
  const few = await imported({ source: one(...files.slice(0, 100)) });
  const many = await imported({ source: one(...files) });
  // 100 files share five contents; 10,001 do not any more.
  assert.ok(few.image.squashfs.sizeBytes < many.image.squashfs.sizeBytes);
});

describe('importImage() survives seeded damage', () => {
  const seed = Number(process.env['MUSTER_SEED'] ?? 20_261_121);
  const layer = tar([
    directory('d'),
    file('d/a', 'content'),
    hardlink('d/b', 'd/a'),
    symlink('l', '/d'),
    file('l/c', 'x'),
    { ...file(`d/${'long'.repeat(40)}`, 'y'), xattrs: new Map([['user.note', 'z']]) },
    file('d/.wh.a'),
  ]);
  test(`of archives (seed ${seed})`, async () => {
    const roll = dice(seed);
    const sound = archive(layout({ layers: [layer] }));
    for (let round = 0; round < 60; round += 1) await outcome(damaged(sound, roll), `round ${round} of seed ${seed}`);
  });

  test(`of layers whose digests are right (seed ${seed})`, async () => {
    const roll = dice(seed + 1);
    const seen = { taken: 0, refused: 0 };
    for (let round = 0; round < 40; round += 1) {
      const source = archive(layout({ layers: [fix(damaged(layer, roll))] }));
      seen[await outcome(source, `round ${round} of seed ${seed}`)] += 1;
    }
    assert.ok(seen.taken > 0 && seen.refused > 0, json(seen));
  });
});

describe('sampleArchives()', () => {
  const busybox = Buffer.from('stands in for the program');
  test('gives equal bytes for equal parts, and images that import', async () => {
    const first = sampleArchives({ busybox, architecture: 'arm64' });
    assert.deepEqual(sampleArchives({ busybox, architecture: 'arm64' }), first);
    const { image, listing } = await imported({ source: first.web });
    assert.deepEqual(image.config, {
      entrypoint: ['/usr/bin/web'],
      cmd: [],
      env: ['PATH=/usr/bin:/bin', 'PORT=8080'],
      workingDir: '/',
      user: 'app',
    });
    assert.ok(lines(listing).includes('-rwxr-xr-x 0/0 /usr/bin/web'));
    assert.ok(lines(listing).includes('drwxrwxrwt 0/0 /tmp'));
  });
});
