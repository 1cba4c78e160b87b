import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { errorChain } from '../../protocol/error-chain.ts';
import { checkConfiguration, ConfigurationError, resolveConfiguration } from '../configuration.ts';
import { powerProblems } from './configuration.ts';

const mac = '02:00:00:c2:00:01';
const left = { kind: 'snmp', host: '10.0.0.20', community: 'private', controlOid: '1.3.6.1.4.1.318.1.1.4' };
const v3 = {
  kind: 'snmp',
  host: 'pdu.example',
  version: '3',
  user: 'muster',
  authProtocol: 'sha256',
  authKey: 'longenough',
  privProtocol: 'aes',
  privKey: 'longenough',
  controlOid: '1.3.6.1.4.1.318.1.1.4',
};
const site = { kind: 'webhook', url: 'https://power.example/rack', token: 'secret' };
const feed = { pdu: 'left', outlet: '2', slots: '17-32' };
const interfaces = { eth1: ['10.77.0.1/24'] };

test('a power configuration is taken whole', () => {
  const power = {
    pdus: { left, v3, site },
    feeds: [feed, { pdu: 'v3', outlets: '3-4', slots: '1,9' }, { pdu: 'site', outlet: 'spare', nodes: [mac] }],
  };
  const file = checkConfiguration({ interface: 'eth1', power }, 'test');
  const resolved = resolveConfiguration(file, interfaces).power;
  assert.equal(resolved?.automatic, true);
  assert.deepEqual(
    resolved?.feeds.map(({ pdu, outlet, slots, nodes }) => [pdu, outlet, [...slots].length, [...slots][0], ...nodes]),
    [
      ['left', '2', 16, 17],
      ['v3', '3', 1, 1],
      ['v3', '4', 1, 9],
      ['site', 'spare', 0, undefined, mac],
    ],
  );
  assert.deepEqual(resolved?.pdus.get('left'), {
    kind: 'snmp',
    host: '10.0.0.20',
    port: 161,
    security: { version: '2c', community: 'private' },
    controlOid: left.controlOid,
    statusOid: left.controlOid,
    off: 2,
    on: 1,
    statusOff: 2,
    timeoutMs: 1_000,
  });
  assert.equal(resolveConfiguration(checkConfiguration({ interface: 'eth1' }, 'test'), interfaces).power, undefined);
});

const wrong: [string, unknown, RegExp][] = [
  ['a text', 'left', /^"power" wants an object with "pdus" and "feeds"$/],
  ['nothing in it', {}, /^"power.pdus" wants an object/],
  ['an unknown key', { pdus: {}, feeds: [], pdu: 1 }, /^"power" has an unknown key "pdu"/],
  ['no feeds', { pdus: { left } }, /^"power.feeds" wants a list/],
  [
    'an unknown kind',
    { pdus: { left: { kind: 'ipmi' } }, feeds: [] },
    /^"power.pdus.left.kind" wants snmp or webhook$/,
  ],
  [
    'no OID and a wrong port',
    { pdus: { left: { ...left, controlOid: undefined, port: 0 } }, feeds: [] },
    /"power.pdus.left.port" wants a port/,
  ],
  [
    'an OID of words',
    { pdus: { left: { ...left, controlOid: 'enterprises.318' } }, feeds: [] },
    /controlOid" wants an OID in digits/,
  ],
  [
    'no community',
    { pdus: { left: { ...left, community: undefined } }, feeds: [] },
    /lacks "community" or "communityFile"/,
  ],
  [
    'two communities',
    { pdus: { left: { ...left, communityFile: '/x' } }, feeds: [] },
    /has both "community" and "communityFile"/,
  ],
  ['a v3 without user', { pdus: { v3: { ...v3, user: undefined } }, feeds: [] }, /"power.pdus.v3" lacks "user"/],
  [
    'a v3 with a short key',
    { pdus: { v3: { ...v3, privKey: 'short' } }, feeds: [] },
    /privKey" wants 8 characters or more/,
  ],
  [
    'a v3 with a community',
    { pdus: { v3: { ...v3, community: 'x' } }, feeds: [] },
    /community" does not go with SNMP version 3/,
  ],
  [
    'a v2c with a key',
    { pdus: { left: { ...left, authKey: 'x' } }, feeds: [] },
    /authKey" does not go with SNMP version 2c/,
  ],
  ['an unknown URL', { pdus: { site: { ...site, url: 'ftp://x' } }, feeds: [] }, /url" wants an http or https URL/],
  [
    'a feed of nobody',
    { pdus: { left }, feeds: [{ ...feed, pdu: 'right' }] },
    /feeds\[0\].pdu" names no PDU, want one of left/,
  ],
  [
    'a feed without outlet',
    { pdus: { left }, feeds: [{ ...feed, outlet: undefined }] },
    /wants either "outlet" or "outlets"/,
  ],
  ['a feed without boards', { pdus: { left }, feeds: [{ pdu: 'left', outlet: '1' }] }, /wants "slots" or "nodes"/],
  [
    'an outlet of words by SNMP',
    { pdus: { left }, feeds: [{ ...feed, outlet: 'spare' }] },
    /wants the number of an outlet, since left speaks SNMP/,
  ],
  ['a wrong range', { pdus: { left }, feeds: [{ ...feed, slots: '9-1' }] }, /slots" is "9-1", want numbers as 1-16,33/],
  ['a slot twice', { pdus: { left }, feeds: [{ ...feed, slots: '1-4,3' }] }, /each once/],
  ['an endless range', { pdus: { left }, feeds: [{ ...feed, slots: '1-999999' }] }, /want numbers as/],
  [
    'fewer outlets than slots',
    { pdus: { left }, feeds: [{ pdu: 'left', outlets: '1-3', slots: '1-4' }] },
    /has 3 outlets for 4 slots, want one for each/,
  ],
];

for (const [name, power, wanted] of wrong)
  test(`power: ${name} is refused`, () => {
    // As a file would bring it: without what is undefined.
    const problems = powerProblems(JSON.parse(JSON.stringify(power)));
    assert.ok(
      problems.some((problem) => wanted.test(problem)),
      problems.join('\n'),
    );
  });

test('everything that is wrong is told at once, and no secret', () => {
  const power = {
    pdus: { left: { ...left, community: 'hunter2', port: -1 }, v3: { ...v3, privKey: 'hunter2' } },
    feeds: 7,
  };
  const tell = () => checkConfiguration({ interface: 'eth1', leaseSeconds: 1, power }, 'test');
  assert.throws(tell, (error) => {
    assert.ok(error instanceof ConfigurationError);
    for (const part of ['power.pdus.left.port', 'power.pdus.v3.privKey', 'power.feeds', 'leaseSeconds'])
      assert.match(error.message, new RegExp(part));
    assert.doesNotMatch(error.message, /hunter2/);
    return true;
  });
});

test('secrets come from files, and a file that is not there is one clear sentence', (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'muster-power-'));
  t.after(() => rmSync(directory, { recursive: true }));
  writeFileSync(join(directory, 'community'), ' private\n');
  writeFileSync(join(directory, 'empty'), '\n');
  const resolve = (communityFile: string) => {
    const { community: _none, ...pdu } = left;
    const power = { pdus: { left: { ...pdu, communityFile } }, feeds: [feed] };
    return resolveConfiguration(checkConfiguration({ interface: 'eth1', power }, 'test'), interfaces).power;
  };
  const pdu = resolve(join(directory, 'community'))?.pdus.get('left');
  assert.deepEqual(pdu?.kind === 'snmp' ? pdu.security : undefined, { version: '2c', community: 'private' });
  for (const [name, wanted] of [
    ['none', /^cannot use the configured power: cannot read .*none of power.pdus.left.communityFile: ENOENT/],
    ['empty', /^cannot use the configured power: .*its community is empty$/],
  ] as const)
    assert.throws(
      () => resolve(join(directory, name)),
      (error) => error instanceof ConfigurationError && wanted.test(errorChain(error)),
    );
});
