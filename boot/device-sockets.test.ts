import assert from 'node:assert/strict';
import { test } from 'node:test';
import { inheritedSockets, withDeviceSockets } from './device-sockets.ts';

test('inheritedSockets() reads what the launcher leaves behind', () => {
  assert.deepEqual(
    [...inheritedSockets('dhcp=3,tftp=4')],
    [
      ['dhcp', 3],
      ['tftp', 4],
    ],
  );
  assert.equal(inheritedSockets(undefined).size, 0);
  assert.throws(() => inheritedSockets('dhcp'), /'dhcp', want NAME=NUMBER/);
});

test('withDeviceSockets() is a command that ends with the program', () => {
  const [perl, launcher, ...rest] = withDeviceSockets({
    interface: 'eth1',
    sockets: [{ name: 'dhcp', address: '0.0.0.0', port: 67 }],
    command: ['node', 'main.ts', '--', 'x'],
  });
  assert.equal(perl, 'perl');
  assert.match(launcher ?? '', /boot\/sockets\.pl$/);
  assert.deepEqual(rest, ['eth1', 'dhcp=0.0.0.0:67', '--', 'node', 'main.ts', '--', 'x']);
});
