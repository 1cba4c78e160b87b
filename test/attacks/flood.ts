// A program, started by `startBoards`: machines that nobody has take one DHCP lease after another. Prints each address.
import { takeLeases } from '../qemu/dhcp-boards.ts';

takeLeases({ prefix: '02:66:00', from: 0, to: 2 ** 24, taken: ({ ip }) => process.stdout.write(`${ip}\n`) });
