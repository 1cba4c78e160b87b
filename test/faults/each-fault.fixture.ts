// Each of some faults once, on this machine: it takes effect, the killed customer is gone within the promise, nobody else is.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { titleOf, type FaultRack } from './fault.ts';
import { hostSuite } from './faults-host.ts';

export function testFaults(name: string, isMeant: (number: number) => boolean): void {
  let rack: FaultRack | undefined;
  before(async () => {
    rack = await hostSuite.open({ name, print: () => undefined });
  });
  after(async () => {
    await rack?.[Symbol.asyncDispose]();
  });
  for (const fault of hostSuite.faults.filter(({ number }) => isMeant(number)))
    test(titleOf(fault), async (t) => {
      assert.ok(rack);
      const { gone, starvedMs = 0 } = await rack.run(fault);
      t.diagnostic(`gone after ${gone.map(Math.round).join(', ')} ms`);
      // A machine that gives the observer no processor gives none to a leash either: no board does that to a real-time one.
      for (const ms of gone) assert.ok(ms <= fault.boundMs + starvedMs, `gone after ${ms} ms, want ${fault.boundMs}`);
    });
}
