// Runs in the rack's network and hears what customers say: prints each line that comes in over TCP, after the moment in which
// it came, in ms of the kernel's monotonic clock, which is the same in every namespace, and the board's address.
import { createServer } from 'node:net';
import { createInterface } from 'node:readline';

const lineLimit = 200;

const server = createServer((socket) => {
  socket.on('error', () => undefined); // a board that was reset, or whose cable was pulled for long
  const board = socket.remoteAddress ?? 'nobody';
  const lines = createInterface({ input: socket });
  lines.on('error', () => undefined);
  lines.on('line', (line) => {
    const atMs = Number(process.hrtime.bigint()) / 1e6;
    if (line.length <= lineLimit) process.stdout.write(`${atMs.toFixed(3)} ${board} ${line}\n`);
  });
});
server.listen(9000, '10.78.0.1', () => process.stdout.write('listening\n'));
