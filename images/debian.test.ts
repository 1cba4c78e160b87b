import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseCandidates, parseDeb822Sources, parseListSources, sourcesFor } from './debian.ts';

const deb822 = `# a comment
Types: deb
# http://mirror.example/old
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb deb-src
URIs: http://mirror.example/debian-security
Suites: bookworm-security
Components: main contrib
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 abc

Enabled: no
Types: deb
URIs: http://off.example/debian
Suites: bookworm
Components: main
`;

test('parseDeb822Sources() reads stanzas, keeps embedded keys and skips what is disabled', () => {
  assert.deepEqual(parseDeb822Sources(deb822), [
    {
      uri: 'http://mirror.example/debian',
      suites: ['bookworm', 'bookworm-updates'],
      components: ['main'],
      signedBy: '/usr/share/keyrings/debian-archive-keyring.gpg',
    },
    {
      uri: 'http://mirror.example/debian-security',
      suites: ['bookworm-security'],
      components: ['main', 'contrib'],
      signedBy: '-----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n abc',
    },
  ]);
});

test('parseListSources() reads one-line entries with and without options', () => {
  const text = [
    '# deb http://no.example/debian bookworm main',
    'deb http://mirror.example/debian/ bookworm main non-free # home',
    'deb [arch=amd64 signed-by=/etc/k.gpg] http://vendor.example/apt bookworm main',
    'deb-src http://mirror.example/debian bookworm main',
  ].join('\n');
  assert.deepEqual(parseListSources(text), [
    {
      uri: 'http://mirror.example/debian/',
      suites: ['bookworm'],
      components: ['main', 'non-free'],
      signedBy: undefined,
    },
    { uri: 'http://vendor.example/apt', suites: ['bookworm'], components: ['main'], signedBy: '/etc/k.gpg' },
  ]);
});

test('sourcesFor() prefers the archive with the Debian keyring and adds updates and security', () => {
  const vendor = parseListSources('deb [signed-by=/etc/k.gpg] http://vendor.example/apt bookworm main');
  const text = sourcesFor({ suite: 'trixie', arch: 'arm64', sources: [...vendor, ...parseDeb822Sources(deb822)] });
  assert.equal(
    text,
    `Types: deb
URIs: http://mirror.example/debian
Suites: trixie trixie-updates
Components: main
Architectures: arm64
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://mirror.example/debian-security
Suites: trixie-security
Components: main
Architectures: arm64
Signed-By: -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 abc
`,
  );
});

test('sourcesFor() names a rolling suite alone and refuses a machine without an archive', () => {
  const sources = parseListSources('deb http://mirror.example/debian bookworm main');
  assert.match(sourcesFor({ suite: 'sid', arch: 'arm64', sources }), /^Suites: sid$/m);
  assert.throws(() => sourcesFor({ suite: 'sid', arch: 'arm64', sources: [] }), /cannot find a Debian archive/);
});

test('parseCandidates() reads versions and refuses a package without a SHA256', () => {
  const stanza = `Package: crun\nVersion: 1.21-1\nDepends: libc6 (>= 2.38)\nSize: 371456\nSHA256: ${'a'.repeat(64)}\n`;
  assert.deepEqual(parseCandidates(`${stanza}\n`), [
    [
      'crun',
      { name: 'crun', version: '1.21-1', sha256: 'a'.repeat(64), sizeBytes: 371456, depends: 'libc6 (>= 2.38)' },
    ],
  ]);
  assert.throws(() => parseCandidates('Package: crun\nVersion: 1\n'), /no SHA256/);
});
