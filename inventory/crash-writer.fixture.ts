// Run by crash.test.ts in a process of its own, and killed there: writes without end, and says what was acknowledged.
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { writeSync } from 'node:fs';
import { Type } from 'typebox';
import { Value } from 'typebox/value';
import { openInventory } from './inventory.ts';

// Ends with the test, should that be the one to die.
process.once('disconnect', () => process.exit(1));
const [task]: unknown[] = await once(process, 'message');
const { directory, round } = Value.Parse(Type.Object({ directory: Type.String(), round: Type.Integer() }), task);
const target = '02:00:00:c2:00:01';
const silence = { evidence: 'silence', evidenceAfterMs: 4_000, stoppedAfterMs: null, processes: 0 } as const;
const inventory = await openInventory({ directory, now: Date.now, random: randomBytes });

async function write(writer: number): Promise<never> {
  for (let i = 0; ; i++) {
    const name = `c${round}_${writer}_${i}`;
    await inventory.customers.add({ name });
    writeSync(1, `customer ${name}\n`);
    const order = await inventory.orders.kill({ scope: name, reason: 'crash test', by: 'test', targets: [target] });
    if ('refused' in order) throw new Error(order.refused);
    writeSync(1, `kill ${order.number} ${name}\n`);
    await inventory.orders.saveReceipt({ number: order.number, mac: target, receipt: silence });
    writeSync(1, `receipt ${order.number} ${name}\n`);
  }
}

// Several at once, so that a kill also finds transactions of more than one writer.
await Promise.all([1, 2, 3, 4].map(write));
