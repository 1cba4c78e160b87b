import assert from 'node:assert/strict';
import { test } from 'node:test';
import { keptSockets } from './service-manager.ts';

const sockets = [
  { name: 'dhcp', address: '0.0.0.0', port: 67 },
  { name: 'tftp', address: '10.77.0.1', port: 69 },
];
const wanted = { pid: 7, interface: 'eth1', sockets };
const kept = {
  notifySocket: '/run/systemd/notify',
  watchdogUsec: undefined,
  listenPid: '7',
  listenFds: '2',
  listenFdNames: 'tftp/eth1/10.77.0.1/69:dhcp/eth1/0.0.0.0/67',
};

test('sockets that were kept are found by their names, whatever their order', () => {
  const found = new Map([
    ['dhcp', 4],
    ['tftp', 3],
  ]);
  assert.deepEqual(keptSockets(kept, wanted), found);
});

test('sockets of another process, interface or address, and incomplete ones, are opened anew', () => {
  for (const [change, other] of [
    [{ listenPid: '8' }, {}],
    [{ listenPid: undefined, listenFds: undefined, listenFdNames: undefined }, {}],
    [{ listenFds: '1' }, {}],
    [{ listenFds: '1e9' }, {}],
    [{ listenFds: '3', listenFdNames: `${kept.listenFdNames}:udp/eth1/0.0.0.0/5670` }, {}],
    [{}, { interface: 'eth2' }],
    [{}, { sockets: [...sockets, { name: 'udp', address: '0.0.0.0', port: 5670 }] }],
  ] as const)
    assert.equal(keptSockets({ ...kept, ...change }, { ...wanted, ...other }), undefined);
});
