import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  type ControllerKeys,
  type NodeCmdline,
  cmdlineLengthLimit,
  encodeCmdline,
  musterWords,
  parseControllerKeys,
} from './cmdline.ts';

const node: NodeCmdline = {
  console: ['ttyAML0,115200n8', 'ttyAMA0'],
  http: 'http://10.77.0.1:8480',
  api: '10.77.0.1:8443',
  udp: '10.77.0.1:5670',
  fingerprint: 'c'.repeat(64),
  token: 'd'.repeat(64),
  root: 'e'.repeat(64),
  ssh: Buffer.alloc(51).toString('base64'),
};

// What the boot server writes, the line, what the agent reads of it.
const table: [NodeCmdline, string, ControllerKeys][] = [
  [
    node,
    `console=ttyAML0,115200n8 console=ttyAMA0 panic=5 muster.http=http://10.77.0.1:8480 muster.api=10.77.0.1:8443 ` +
      `muster.udp=10.77.0.1:5670 muster.fp=${'c'.repeat(64)} muster.token=${'d'.repeat(64)} ` +
      `muster.root=${'e'.repeat(64)} muster.ssh=${'A'.repeat(68)}`,
    {
      api: { host: '10.77.0.1', port: 8443 },
      udp: { host: '10.77.0.1', port: 5670 },
      fingerprint: 'c'.repeat(64),
      token: 'd'.repeat(64),
    },
  ],
  [
    { ...node, console: [], http: 'http://255.255.255.255:65535', api: '192.0.2.9:1', udp: '0.0.0.0:2' },
    `panic=5 muster.http=http://255.255.255.255:65535 muster.api=192.0.2.9:1 muster.udp=0.0.0.0:2 ` +
      `muster.fp=${'c'.repeat(64)} muster.token=${'d'.repeat(64)} muster.root=${'e'.repeat(64)} muster.ssh=${'A'.repeat(68)}`,
    {
      api: { host: '192.0.2.9', port: 1 },
      udp: { host: '0.0.0.0', port: 2 },
      fingerprint: 'c'.repeat(64),
      token: 'd'.repeat(64),
    },
  ],
];

test('what the boot server writes is what the agent reads', () => {
  for (const [told, line, read] of table) {
    assert.equal(encodeCmdline(told), line);
    assert.deepEqual(parseControllerKeys(musterWords(line)), read);
    assert.equal(musterWords(line).get('root'), told.root);
    assert.equal(musterWords(line).get('ssh'), told.ssh);
  }
});

test('encodeCmdline() fits into the 511 characters that U-Boot allows', () => {
  const longest = encodeCmdline({ ...node, http: 'http://255.255.255.255:65535', api: '255.255.255.255:65535' });
  assert.ok(longest.length <= 511, `${longest.length}`);
  assert.equal(cmdlineLengthLimit, 511);
});

test('encodeCmdline() names the key whose value could mean something to a shell on its way', () => {
  const wrongs: [Partial<NodeCmdline>, RegExp][] = [
    [{ console: ['ttyAMA0 init=/bin/sh'] }, /console=: 'ttyAMA0 init/],
    [{ http: 'http://10.77.0.1:8480;reset' }, /muster\.http/],
    [{ api: '10.77.0.1' }, /muster\.api: '10.77.0.1', want address:port/],
    [{ udp: '${serverip}:5670' }, /muster\.udp/],
    [{ udp: '10.77.0.256:5670' }, /muster\.udp/],
    [{ fingerprint: 'C'.repeat(64) }, /muster\.fp/],
    [{ token: '' }, /muster\.token/],
    [{ root: 'e'.repeat(63) }, /muster\.root/],
    [{ ssh: 'ssh-ed25519 AAAA' }, /muster\.ssh/],
    [{ console: Array.from({ length: 8 }, () => 'ttyAML0,115200n8') }, /characters, want at most 511/],
  ];
  for (const [wrong, wanted] of wrongs) assert.throws(() => encodeCmdline({ ...node, ...wrong }), wanted);
});

test('a node finds its controller among the other words of the kernel, and the last of two counts', () => {
  const words = musterWords(
    `quiet muster.api=10.77.0.1:8443 muster.udp=10.0.0.1:1 muster.udp=10.77.0.1:5670 muster.fp=${'C'.repeat(64)} panic=-1\n`,
  );
  assert.deepEqual(parseControllerKeys(words), {
    api: { host: '10.77.0.1', port: 8443 },
    udp: { host: '10.77.0.1', port: 5670 },
    fingerprint: 'c'.repeat(64),
    // It only continues a session.
    token: undefined,
  });
});

test('every key that is missing or wrong is named at once', () => {
  assert.throws(() => parseControllerKeys(musterWords('muster.api=10.77.0.1 muster.fp=zz muster.token=1')), {
    message:
      'cannot read the kernel\'s command line: muster.api is "10.77.0.1", want address:port; muster.udp is missing, want address:port; ' +
      'muster.fp is "zz", want 64 hex digits; muster.token is "1", want 64 hex digits',
  });
});
