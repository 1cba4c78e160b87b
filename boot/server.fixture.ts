// A boot server over small made-up artefacts, for the tests that need one in a network namespace of its own. Prints what
// the server tells its host, a JSON document a line. `node boot/server.fixture.ts ADDRESS` under the launcher.

import { createHash } from 'node:crypto';
import { seededRandom } from '../test/fuzz/random.ts';
import type { Artefact, BootArtefacts } from './artefacts.ts';
import { deviceSocketsVariable, inheritedSockets } from './device-sockets.ts';
import { startBoot } from './server.ts';

function artefact(seed: number, sizeBytes: number): Artefact {
  const bytes = seededRandom(seed).bytes(sizeBytes);
  return { sizeBytes, bytes: () => Promise.resolve(bytes), sha256: createHash('sha256').update(bytes).digest('hex') };
}

/** The kernel fills its last TFTP block of 1,468 bytes, so that an empty one must follow. */
export const testArtefacts: BootArtefacts = {
  imageKey: 'test',
  kernel: artefact(1, 1468 * 500),
  kernelGz: artefact(2, 20_000),
  initrd: artefact(3, 123_457),
  root: artefact(4, 200_000),
  dtb: new Map([['amlogic/meson-gxbb-odroidc2.dtb', artefact(5, 40_000)]]),
  ipxe: { version: 'test', plain: artefact(6, 1_000_001), patched: artefact(7, 1_000_001), hashCheck: true },
};

/** Its address is 10.77.0.7, and its boot method is pxelinux. */
export const fencedMac = '02:00:00:c2:00:07';

/** Its address is 10.77.0.8, its boot method pxelinux too, and an earlier start of it is alive until two tokens were refused. */
export const heldMac = '02:00:00:c2:00:08';

function say(line: object): void {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

if (import.meta.main) {
  const address = process.argv[2] ?? '10.77.0.1';
  const inherited = inheritedSockets(process.env[deviceSocketsVariable]);
  let heldAsked = 0;
  const [dhcpFd, tftpFd] = [inherited.get('dhcp'), inherited.get('tftp')];
  await using server = await startBoot(
    {
      address,
      netmask: '255.255.255.0',
      range: { from: '10.77.0.50', to: '10.77.0.250' },
      leaseSeconds: 3600,
      reservations: new Map([
        [fencedMac, '10.77.0.7'],
        [heldMac, '10.77.0.8'],
      ]),
      httpPort: 8480,
      sockets: { ...(dhcpFd === undefined ? {} : { dhcpFd }), ...(tftpFd === undefined ? {} : { tftpFd }) },
      artefacts: testArtefacts,
      cmdline: {
        console: ['ttyAMA0'],
        api: `${address}:8443`,
        udp: `${address}:5670`,
        fingerprint: 'f'.repeat(64),
        ssh: Buffer.alloc(51).toString('base64'),
      },
      uboot: 'ipxe',
      ubootOf: new Map([
        [fencedMac, 'pxelinux'],
        [heldMac, 'pxelinux'],
      ]),
      now: Date.now,
    },
    {
      leases: { load: async () => [], save: async (leases) => say({ saved: leases.map(({ ip }) => ip) }) },
      joinToken: async (mac) => {
        if (mac === fencedMac) return { refused: 'fenced' };
        if (mac === heldMac && ++heldAsked % 3 !== 0) return { refused: 'it is alive', held: true };
        return { token: '0'.repeat(64) };
      },
      placeHolder: () => undefined,
      isBoard: () => true,
      trouble: (message) => say({ trouble: message }),
      refusal: (mac) => (mac === fencedMac ? 'fenced' : undefined),
      stage: (event) => say({ event }),
      log: (line) => say({ line: line() }),
    },
  );
  say({ ready: server.http });
  await new Promise((resolve) => process.once('SIGTERM', resolve));
  say({ counters: server.counters });
}
