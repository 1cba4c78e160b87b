import assert from 'node:assert/strict';
import { test } from 'node:test';
import { broadcastOf, netmaskOf, networkOf, parseEndpoint, parseIpv4, inNetwork, subnetOf } from './ipv4.ts';

test('network, broadcast address and subnet', () => {
  for (const [address, prefix, netmask, network, broadcast] of [
    ['10.77.0.51', 24, '255.255.255.0', '10.77.0.0', '10.77.0.255'],
    ['172.16.35.9', 20, '255.255.240.0', '172.16.32.0', '172.16.47.255'],
    ['127.0.0.1', 8, '255.0.0.0', '127.0.0.0', '127.255.255.255'],
    ['192.0.2.1', 32, '255.255.255.255', '192.0.2.1', '192.0.2.1'],
    ['192.0.2.1', 0, '0.0.0.0', '0.0.0.0', '255.255.255.255'],
  ] as const) {
    assert.equal(netmaskOf(prefix), netmask);
    assert.equal(networkOf(address, netmask), network);
    assert.equal(broadcastOf(address, netmask), broadcast);
    assert.equal(subnetOf(address, netmask), `${network}/${prefix}`);
  }
  const network = { address: '10.77.0.254', netmask: '255.255.255.0' };
  assert.ok(inNetwork('10.77.0.1', network));
  assert.ok(!inNetwork('10.77.1.1', network));
});

test('addresses are four numbers from 0 to 255', () => {
  assert.equal(parseIpv4('255.255.255.255'), 0xffffffff);
  for (const wrong of ['', '10.77.0', '10.77.0.256', '10.77.0.1.2', '10.77.0.1 ', '::1', '0x0a.0.0.1'])
    assert.equal(parseIpv4(wrong), undefined, wrong);
});

test('endpoints are IPv4 addresses with a port', () => {
  assert.deepEqual(parseEndpoint('10.77.0.1:8443'), { host: '10.77.0.1', port: 8443 });
  for (const wrong of [
    '',
    '10.77.0.1',
    '10.77.0.256:1',
    '10.77.0.1:0',
    '10.77.0.1:65536',
    'rack:1',
    '[::1]:1',
    '1.2.3:4',
  ])
    assert.equal(parseEndpoint(wrong), undefined, wrong);
});
