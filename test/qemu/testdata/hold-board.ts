// Powers a board on, says which processes that took, and stays: to be killed by a test.
import { Board } from '../board.ts';
import { RackNetwork } from '../rack-network.ts';

const network = await RackNetwork.create({ boards: 1, port: 0 });
const board = new Board({
  firmware: 'uefi',
  network,
  environmentImage: '',
  serialPath: '/dev/null',
  machine: { mac: '52:54:00:c2:00:01', tap: 'tap1', memoryMb: 512, cores: 1, icount: false },
});
await board.powerOn();
process.stdout.write(`${JSON.stringify({ holder: network.holderPid, machine: board.pid })}\n`);
