import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Check } from 'typebox/value';
import { BootSays } from './message.ts';

const mac = '02:00:00:c2:00:01';
const lease = { ip: '10.77.0.50', mac, state: 'bound', expiresAtMs: 1_700_000_000_000 };
const counters = { dhcp: { acks: 1 }, tftp: {}, http: {} };
const many = Object.fromEntries(Array.from({ length: 21 }, (_, number) => [`counter ${number}`, 1]));
const note = { type: 'note', events: [], lines: [], troubles: [] };

const leases = (wrong: object) => ({ type: 'save', id: 1, leases: [{ ...lease, ...wrong }] });
const events = (wrong: object) => ({ ...note, events: [{ mac, stage: 'tftp', ...wrong }] });

test('what the boot process may say', () => {
  for (const said of [
    { type: 'save', id: 1, leases: [lease, { ...lease, ip: '0.0.0.0', state: 'declined' }] },
    { type: 'join-token', id: 2, mac, ip: '10.77.0.199' },
    {
      ...events({ ip: '10.77.0.255', firmware: 'uboot', detail: 'x'.repeat(200) }),
      lines: ['a line'],
      troubles: ['another server is here'],
    },
    { type: 'report', counters, neighbours: [{ address: '10.77.0.3', kind: 'dhcp' }] },
  ])
    assert.ok(Check(BootSays, said), JSON.stringify(said));
});

test('what it may not, whoever took it over', () => {
  for (const said of [
    null,
    [],
    { type: 'stop' },
    leases({ ip: '10.77.0.256' }),
    leases({ ip: '10.77.0.5\n' }),
    leases({ mac: 'orders/1' }),
    leases({ state: 'mine' }),
    leases({ expiresAtMs: JSON.parse('1e999') }),
    leases({ expiresAtMs: -1 }),
    leases({ more: true }),
    { type: 'save', id: 1, leases: Array.from({ length: 8_193 }, () => lease) },
    { type: 'join-token', id: 0, mac, ip: lease.ip },
    events({ stage: 'joined' }),
    events({ firmware: 'grub' }),
    events({ detail: 'x'.repeat(201) }),
    events({ ip: null }),
    { ...note, events: Array.from({ length: 65 }, () => ({ mac, stage: 'tftp' })) },
    { ...note, lines: ['x'.repeat(2_001)] },
    { ...note, troubles: ['', '', '', '', ''] },
    { type: 'report', counters: { ...counters, dhcp: { acks: -1 } }, neighbours: [] },
    { type: 'report', counters: { ...counters, dhcp: many }, neighbours: [] },
    { type: 'report', counters, neighbours: [{ address: 'rack', kind: 'dhcp' }] },
  ])
    assert.ok(!Check(BootSays, said), JSON.stringify(said).slice(0, 200));
});
