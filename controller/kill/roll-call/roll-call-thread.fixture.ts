// A program: a controller's inventory with the roll call in its thread, and one node that joined, in a process of its own. It
// prints a line of JSON when it serves, then one for each line that it reads.
//
//   roll-call-thread.fixture.ts DIRECTORY FD     DIRECTORY: of the inventory; FD: a bound UDP socket
//   place CUSTOMER | block MS | kill CUSTOMER | lift CUSTOMER | state
import { randomBytes } from 'node:crypto';
import { createInterface } from 'node:readline';
import { openInventory } from '../../../inventory/inventory.ts';
import { joinBoard, macOf, placeWeb } from '../../../inventory/rack.fixture.ts';
import { giveKillOrder, liftKillOrder } from '../kill-order.ts';
import { startRollCallThread } from './roll-call-link.ts';

const [directory = '', fd = ''] = process.argv.slice(2);
const mac = macOf(1);
const sweepEveryMs = 250;

function say(what: object): void {
  process.stdout.write(`${JSON.stringify(what)}\n`);
}

const thread = startRollCallThread((why) => {
  process.stderr.write(`${why}\n`);
  process.exit(70);
});
const inventory = await openInventory({ directory, now: Date.now, random: randomBytes });
let sweptAt = 0;
const rollCall = thread.serve({
  fd: Number(fd),
  inventory,
  now: () => performance.now(),
  wallClock: Date.now,
  onHeard: () => {
    if (rollCall.heardUpTo() - sweptAt < sweepEveryMs) return;
    sweptAt = rollCall.heardUpTo();
    void inventory.nodes.sweep(sweptAt);
  },
  onFailure: (error) => {
    throw error;
  },
});
const { session, key } = await joinBoard(inventory, { mac });
say({ session: session.toString('hex'), key: key.toString('hex') });

async function obey(command: string, argument: string): Promise<object> {
  switch (command) {
    case 'place':
      await placeWeb(inventory, { customer: argument, nodes: [mac] });
      await rollCall.taken();
      return {};
    case 'block': {
      say({ blocked: true });
      const until = performance.now() + Number(argument);
      while (performance.now() < until);
      return { blocked: false };
    }
    case 'kill':
      return giveKillOrder({ inventory, rollCall }, { scope: argument, reason: 'test', by: 'op' });
    case 'lift': {
      const lifted = await liftKillOrder({ inventory, rollCall }, { scope: argument, reason: 'test', by: 'op' });
      await rollCall.taken();
      return lifted;
    }
    case 'state':
      return {
        node: inventory.nodes.get(mac)?.state,
        audit: await inventory.audit.verify(),
        events: (await inventory.events.list({ limit: 1_000, subject: mac })).map(({ message }) => message),
      };
    default:
      throw new Error(`there is no command ${command}`);
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  const [command = '', argument = ''] = line.split(' ');
  // Several at once, as operators ask.
  void obey(command, argument).then(say);
}
