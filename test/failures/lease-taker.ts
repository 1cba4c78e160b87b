// A program, started by `startBoards`: prints `{"mac", "ip"}` for each lease that was acknowledged, until it is killed.
// `node lease-taker.ts FIRST`, a number that no other run counts from.
import { takeLeases } from '../qemu/dhcp-boards.ts';

takeLeases({
  prefix: '02:00:01',
  from: Number(process.argv[2] ?? 0),
  to: 2 ** 24,
  taken: (lease) => process.stdout.write(`${JSON.stringify(lease)}\n`),
});
