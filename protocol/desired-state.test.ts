import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Desired, DesiredCustomer, DesiredInstance } from './api/agent.ts';
import type { ContainerConfiguration } from './api/instances.ts';
import { containerCapabilities } from './container/capabilities.ts';
import {
  configurationLimitBytes,
  configurationProblem,
  configurationText,
  desiredLimitBytes,
  instancesPerNodeLimit,
} from './desired-state.ts';
import { customersPerNodeLimit } from './roll-call.ts';

test('the longest desired state that there can be is within its limit', () => {
  const most = Number.MAX_SAFE_INTEGER;
  const customer: DesiredCustomer = {
    name: 'c'.repeat(12),
    uidBase: 2 ** 32,
    memoryBytes: most,
    processes: most,
    onSilence: 'stop',
  };
  const instance: DesiredInstance = {
    id: `${'w'.repeat(30)}-00000000`,
    customer: customer.name,
    workload: 'w'.repeat(30),
    squashfs: { sha256: 'a'.repeat(64), sizeBytes: most },
    configuration: 'a'.repeat(64),
    uid: 65_535,
    gid: 65_535,
    memoryBytes: most,
    cpu: 1 / 3e-7,
    processes: most,
    port: { container: 65_535, node: 65_535 },
  };
  const desired: Desired = {
    generation: most,
    customers: Array.from({ length: customersPerNodeLimit }, () => customer),
    instances: Array.from({ length: instancesPerNodeLimit }, () => instance),
  };
  const sizeBytes = Buffer.byteLength(JSON.stringify(desired));
  assert.ok(sizeBytes < desiredLimitBytes, `${sizeBytes} bytes, want less than ${desiredLimitBytes}`);
});

/** Of strings that are each `jsonBytes` long as JSON, with the comma after it. */
function list(entries: number, jsonBytes: number): string[] {
  return Array.from({ length: entries }, () => 'x'.repeat(jsonBytes - 3));
}

test('the longest configuration that is taken is within what an agent reads', () => {
  // Both brackets, and one comma less than entries.
  const full = [...list(511, 64), 'x'.repeat(32 * 1024 - 511 * 64 - 4)];
  const configuration: ContainerConfiguration = {
    args: full,
    env: full,
    workingDir: `/${'d'.repeat(4 * 1024 - 3)}`,
    user: '\u0001'.repeat(256),
    capabilities: [...containerCapabilities],
    stopSignal: 'SIGRTMIN+10',
    stopGraceMs: 300_000,
  };
  assert.equal(configurationProblem(configuration), undefined);
  const sizeBytes = Buffer.byteLength(configurationText(configuration));
  assert.ok(sizeBytes <= configurationLimitBytes, `${sizeBytes} bytes, want at most ${configurationLimitBytes}`);
});

test('what no board can be asked to run is refused with its size, the limit and what is large', () => {
  const small: ContainerConfiguration = { args: ['/bin/app'], env: ['PATH=/bin'], workingDir: '/' };
  const cases: [Partial<ContainerConfiguration>, string][] = [
    [
      { env: ['PATH=/bin', `MODEL=${'x'.repeat(1_200_000)}`] },
      'its environment is 1200022 bytes, want at most 32768; the largest entry, "MODEL", has 1200008: put such data into a file of the image',
    ],
    [{ env: list(513, 6) }, 'its environment has 513 entries, want at most 512'],
    [{ args: list(2_000, 4) }, 'its command has 2000 entries, want at most 512'],
    // Escaped it is six times as long, and so on the wire.
    [
      { args: ['\u0001'.repeat(6_000)] },
      `its command is 36004 bytes, want at most 32768; the largest entry, "${'\\u0001'.repeat(40)}", has 36002: put such data into a file of the image`,
    ],
    [{ workingDir: `/${'d'.repeat(5_000)}` }, 'its working directory is a name of 5003 bytes, want at most 4096'],
    [{ env: ['A=1\0B=2'] }, 'its environment holds a zero byte in "A=1\\u0000B=2"'],
    [{ workingDir: '/a\0b' }, 'its working directory holds a zero byte'],
    [{ user: 'x'.repeat(300) }, `its user is "${'x'.repeat(40)}", want user or user:group in at most 256 characters`],
    [{ stopSignal: 'SIGSOON' }, 'its stop signal is "SIGSOON", want one like SIGTERM, SIGINT or SIGRTMIN+3'],
  ];
  for (const [change, problem] of cases) assert.equal(configurationProblem({ ...small, ...change }), problem);
  assert.equal(configurationProblem(small), undefined);
});
