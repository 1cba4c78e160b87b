// TFTP throughput, ours and tftpd-hpa's in turn over loopback: what a rack that powers on as a whole asks at once.
import { randomBytes } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { endProcess, startTied } from '../../qemu/tied-process.ts';
import { figureOf, type BenchOptions, type Figure } from '../figure.ts';
import { fetchFile } from './tftp-client.ts';

const transfers = 50;
const fileBytes = 1_000_000;
const fileName = 'boot.bin';
const ourProgram = fileURLToPath(new URL('tftp-server.ts', import.meta.url));
const startWithinMs = 10_000;

interface Server extends AsyncDisposable {
  port: number;
}

export async function measureTftp({ runs, print }: BenchOptions): Promise<Figure[]> {
  await using stack = new AsyncDisposableStack();
  const directory = await mkdtemp(join(tmpdir(), 'bench-tftp-'));
  stack.defer(() => rm(directory, { recursive: true, force: true }));
  const served = join(directory, 'served');
  await mkdir(served, { mode: 0o755 });
  await writeFile(join(served, fileName), randomBytes(fileBytes), { mode: 0o644 });
  const ours = stack.use(await startOurs(join(served, fileName)));
  const peerProgram = (process.env['PATH'] ?? '')
    .split(':')
    .concat('/usr/sbin')
    .map((folder) => join(folder, 'in.tftpd'))
    .find((path) => existsSync(path));
  if (peerProgram === undefined) print('without tftpd-hpa beside it: apt-get install tftpd-hpa');
  const peer = peerProgram === undefined ? undefined : stack.use(await startPeer(peerProgram, served));

  const [oursMbs, peersMbs, ratios]: [number[], number[], number[]] = [[], [], []];
  await throughput(ours.port); // compiled once, as in a controller that has been up for a while
  for (let run = 1; run <= runs; run++) {
    const own = await throughput(ours.port);
    oursMbs.push(own);
    if (peer !== undefined) {
      const other = await throughput(peer.port);
      peersMbs.push(other);
      ratios.push(own / other);
    }
    print(`${run}/${runs}: ${own.toFixed(1)} MB/s, tftpd-hpa ${peersMbs.at(-1)?.toFixed(1) ?? 'not installed'}`);
  }
  const how = `${transfers} fetches of 1 MB at once over loopback, lockstep, blksize 1468; one Node process is the client of both, and on a small machine their bound`;
  const each = { unit: 'MB/s', moreIsBetter: true, how } as const;
  const figures = [figureOf({ ...each, name: 'TFTP', samples: oursMbs })];
  if (peersMbs.length > 0) {
    figures.push(figureOf({ ...each, name: 'TFTP, tftpd-hpa', samples: peersMbs }));
    figures.push(
      figureOf({
        name: 'TFTP, ours to tftpd-hpa’s',
        unit: '×',
        samples: ratios,
        moreIsBetter: true,
        how: 'throughput of ours over theirs, run by run',
      }),
    );
  }
  return figures;
}

/** Of all transfers together, MB/s. */
async function throughput(port: number): Promise<number> {
  const startedAt = performance.now();
  const sizes = await Promise.all(
    // Loopback addresses of their own: our server bounds the transfers of one board.
    Array.from({ length: transfers }, (_, index) => fetchFile(fileName, { from: `127.0.1.${index + 1}`, port })),
  );
  const seconds = (performance.now() - startedAt) / 1000;
  const bytes = sizes.reduce((sum, size) => sum + size, 0);
  if (bytes !== transfers * fileBytes) throw new Error(`fetched ${bytes} bytes, want ${transfers * fileBytes}`);
  return bytes / 1e6 / seconds;
}

async function startOurs(file: string): Promise<Server> {
  const server = await startTied([process.execPath, '--disable-warning=ExperimentalWarning', ourProgram, file], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const dispose = () => endProcess(server, 'SIGKILL');
  if (server.stdout === null) throw new Error('the TFTP server was started without an output');
  const [line]: unknown[] = await once(server.stdout, 'data', { signal: AbortSignal.timeout(startWithinMs) });
  return { port: Number(String(line)), [Symbol.asyncDispose]: dispose };
}

async function startPeer(program: string, directory: string): Promise<Server> {
  const port = await freePort();
  const server = await startTied(
    [program, '--foreground', '--listen', '--address', `127.0.0.1:${port}`, '--secure', directory],
    { stdio: ['ignore', 'ignore', 'inherit'] },
  );
  const dispose = () => endProcess(server, 'SIGKILL');
  // It says nothing when it listens: it does when it answers.
  const deadline = performance.now() + startWithinMs;
  for (;;) {
    if (
      await fetchFile(fileName, { from: '127.0.1.1', port }).then(
        () => true,
        () => false,
      )
    )
      break;
    if (performance.now() > deadline) {
      await dispose();
      throw new Error('tftpd-hpa does not answer');
    }
    await delay(100);
  }
  return { port, [Symbol.asyncDispose]: dispose };
}

async function freePort(): Promise<number> {
  const socket = createSocket('udp4');
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  const { port } = socket.address();
  socket.close();
  await once(socket, 'close');
  return port;
}
