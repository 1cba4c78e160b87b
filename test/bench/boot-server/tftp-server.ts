// A program: the boot server's TFTP alone, with the one file that it is given. `node tftp-server.ts FILE`; says its port.
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { serveTftp } from '../../../boot/tftp/server.ts';

const bytes = await readFile(process.argv[2] ?? '');
const socket = createSocket({ type: 'udp4', recvBufferSize: 4 * 2 ** 20 });
socket.bind(0, '127.0.0.1');
await once(socket, 'listening');
serveTftp({
  socket,
  address: '127.0.0.1',
  file: () => Promise.resolve(bytes),
  ended: () => undefined,
  log: (line) => process.stderr.write(`${line}\n`),
});
process.stdout.write(`${socket.address().port}\n`);
