// A program, started by `startBoards`: everything that a busy rack asks of its controller besides permits, until it is
// killed. DHCP for one board after another, TFTP and HTTP boot downloads from our own address.
//
//   node load.ts CONTROLLER KERNEL_PATH    prints one JSON line a second: what was done so far
import { execFileSync } from 'node:child_process';
import { get } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import { fetchFile } from '../../bench/boot-server/tftp-client.ts';
import { takeLeases } from '../../qemu/dhcp-boards.ts';

const [controller = '', kernelPath = ''] = process.argv.slice(2);
const boards = 64;
const downloads = 8;
const tftpDownloads = 2;
const counts = { leases: 0, downloads: 0, files: 0 };

function download(url: string, from: string): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  get(url, { agent: false, localAddress: from }, (answer) => {
    answer.on('data', () => undefined).once('close', resolve);
  }).once('error', reject);
  return promise;
}

/** A refusal under load is no end: it is tried again, as a board does. */
async function forever(work: () => Promise<void>): Promise<never> {
  for (;;) {
    try {
      await work();
    } catch (error) {
      process.stderr.write(`${String(error)}\n`);
      await delay(500);
    }
  }
}

/** The boot server knows boards by the addresses that it leased. */
function loadFrom(address: string): void {
  execFileSync('ip', ['address', 'replace', `${address}/32`, 'dev', 'lo']);
  for (let i = 0; i < downloads; i++)
    void forever(async () => {
      await download(`http://${controller}:8480${kernelPath}`, address);
      counts.downloads++;
    });
  for (let i = 0; i < tftpDownloads; i++)
    void forever(async () => {
      await fetchFile('ipxe.efi', { from: address, to: controller, port: 69 });
      counts.files++;
    });
}

takeLeases({
  prefix: '02:00:02',
  from: 0,
  to: boards,
  taken: ({ ip }) => {
    if (counts.leases++ === 0) loadFrom(ip);
  },
});
setInterval(() => process.stdout.write(`${JSON.stringify(counts)}\n`), 500);
