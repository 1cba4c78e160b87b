import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkConfiguration, ConfigurationError, resolveConfiguration } from './configuration.ts';

const eth1 = { eth1: ['10.77.0.1/24'] };

test('an interface is enough: the rest comes from it', () => {
  const configuration = resolveConfiguration({ interface: 'eth1' }, eth1);
  assert.equal(configuration.address, '10.77.0.1');
  assert.equal(configuration.netmask, '255.255.255.0');
  assert.deepEqual(configuration.range, { from: '10.77.0.64', to: '10.77.0.254' });
  assert.deepEqual(configuration.operator, { host: '127.0.0.1', port: 8080 });
});

test('the two-person rule is off until an operator says otherwise, and takes nothing but true and false', () => {
  const rule = (file: object) => {
    const { twoPersonRule, approvalSeconds } = resolveConfiguration(
      checkConfiguration({ interface: 'eth1', ...file }, 'muster.json'),
      eth1,
    );
    return [twoPersonRule, approvalSeconds];
  };
  assert.deepEqual(rule({}), [false, 600]);
  assert.deepEqual(rule({ twoPersonRule: true, approvalSeconds: 60 }), [true, 60]);
  assert.throws(() => rule({ twoPersonRule: 'yes' }), /"twoPersonRule" is "yes", want true or false/);
  assert.throws(() => rule({ approvalSeconds: 5 }), /"approvalSeconds" is 5, want how long a request waits/);
});

test('every bad key is reported at once, by name, with what was wanted', () => {
  assert.throws(
    () => checkConfiguration({ interfaces: 'eth1', leaseSeconds: 5, uboot: 'grub' }, 'muster.json'),
    (error) =>
      error instanceof ConfigurationError &&
      /unknown key "interfaces", want one of rack, interface/.test(error.message) &&
      /"leaseSeconds" is 5, want how long/.test(error.message) &&
      /"uboot" is "grub", want ipxe or pxelinux/.test(error.message),
  );
});

test('impossible networks are refused in one sentence', () => {
  const table: [Parameters<typeof resolveConfiguration>[0], RegExp][] = [
    [{}, /no interface given, want --interface/],
    [{ interface: 'eth9' }, /cannot start on eth9: there is no such interface.*want one of eth1/],
    [{ interface: 'eth1', address: '10.78.0.1/24' }, /does not have the address 10.78.0.1, want 10.77.0.1/],
    [{ interface: 'eth1', range: '10.77.0.9-10.77.0.2' }, /cannot lease 10.77.0.9-10.77.0.2/],
    [{ interface: 'eth1', range: '10.78.0.5-10.78.0.9' }, /want a range inside 10.77.0.1-10.77.0.254/],
    [{ interface: 'eth1', reservations: { '02:00:00:c2:00:01': '10.99.0.1' } }, /cannot reserve 10.99.0.1/],
  ];
  for (const [file, message] of table) assert.throws(() => resolveConfiguration(file, eth1), message);
});
