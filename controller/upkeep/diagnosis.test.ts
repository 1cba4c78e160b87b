import assert from 'node:assert/strict';
import { test } from 'node:test';
import { diagnose, diagnosisText, type Machine } from './diagnosis.ts';

const well: Machine = {
  versions: { muster: '1.0.0', node: 'v24.1.0', kernel: '6.1.0-13-arm64', system: 'Debian' },
  configuration: undefined,
  interface: { name: 'eth1', carrier: true, speedMbps: 1_000 },
  holders: [],
  otherServers: [],
  addresses: 191,
  neighbourLimit: 1_024,
  openFiles: 65_536,
  directories: [
    { name: 'state', path: '/var/lib/muster', freeBytes: 50e9, totalBytes: 100e9 },
    { name: 'cache', path: '/var/cache/muster', freeBytes: 50e9, totalBytes: 100e9 },
  ],
  bootFiles: undefined,
  clock: { now: Date.UTC(2026, 10, 21), newestFile: Date.UTC(2026, 10, 20), synchronized: true },
  lacking: [],
  missingPrograms: [],
  isStateOpen: false,
};

test('a machine that is well: each check says so', () => {
  const findings = diagnose(well);
  assert.deepEqual(
    findings.filter(({ verdict }) => verdict !== 'ok'),
    [],
  );
  assert.ok(findings.length >= 12);
});

const state = (freeBytes: number) => [{ name: 'state', path: '/s', freeBytes, totalBytes: 10e9 }];

test('what is not well is a warning or a problem, and says what to do', () => {
  const cases: [Partial<Machine>, string, 'warning' | 'problem', RegExp][] = [
    [{ versions: { ...well.versions, node: 'v20.1.0' } }, 'versions', 'problem', /Node 24/],
    [{ versions: { ...well.versions, kernel: '4.19.0' } }, 'versions', 'warning', /5\.10/],
    [{ configuration: 'cannot use the flags' }, 'configuration', 'problem', /correct it/],
    [{ interface: { name: 'eth1', carrier: false, speedMbps: undefined } }, 'interface', 'problem', /cable/],
    [{ interface: { name: 'eth1', carrier: true, speedMbps: 100 } }, 'interface', 'warning', /1000 Mbit/],
    [{ holders: [{ protocol: 'udp', port: 67, program: 'dnsmasq', pid: 7 }] }, 'ports', 'problem', /stop it/],
    [{ otherServers: [{ address: '10.0.0.1', kind: 'dhcp' }] }, 'DHCP servers', 'problem', /switch it off/],
    [{ otherServers: 'not looked for: no right' }, 'DHCP servers', 'warning', /muster status/],
    [{ addresses: 2_000 }, 'neighbour table', 'warning', /gc_thresh3/],
    [{ openFiles: 1_024 }, 'open files', 'warning', /LimitNOFILE/],
    [{ openFiles: 128 }, 'open files', 'problem', /LimitNOFILE/],
    [{ directories: state(1e8) }, 'disk of the state', 'warning', /room/],
    [{ directories: state(1e6) }, 'disk of the state', 'problem', /room/],
    [{ bootFiles: 'none' }, 'boot files', 'problem', /build them/],
    [{ clock: { ...well.clock, now: 0 } }, 'clock', 'problem', /set it/],
    [{ clock: { ...well.clock, newestFile: Date.UTC(2027, 1, 1) } }, 'clock', 'problem', /set it/],
    [{ clock: { ...well.clock, synchronized: false } }, 'clock', 'warning', /timesyncd/],
    [{ lacking: ['CAP_NET_RAW'] }, 'rights', 'problem', /sudo|as root/],
    [{ missingPrograms: ['ss'] }, 'programs', 'problem', /iproute2/],
    [{ isStateOpen: true }, 'state', 'warning', /Damage/],
  ];
  for (const [change, check, verdict, advice] of cases) {
    const found = diagnose({ ...well, ...change }).filter((finding) => finding.verdict !== 'ok');
    assert.deepEqual(
      found.map((finding) => [finding.check, finding.verdict]),
      [[check, verdict]],
    );
    assert.match(found[0]?.advice ?? '', advice);
  }
});

test('the text has a line for each check, and below it what to do', () => {
  const text = diagnosisText([
    { check: 'ports', verdict: 'ok', text: 'all are free' },
    { check: 'open files', verdict: 'warning', text: '1024 at most', advice: 'raise it' },
  ]);
  assert.equal(
    text,
    'ok       ports       all are free\nwarning  open files  1024 at most\n                     → raise it\n',
  );
});
