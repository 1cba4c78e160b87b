// For tests without root: what the agent's thread asks of a container runtime, with one ordinary process a customer.
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import type { Runtime, Stop } from '../containers/runtime.ts';

export interface ProcessCustomers
  extends Pick<Runtime, 'allowCustomer' | 'stopCustomer' | 'stopEverything' | 'isStopping' | 'loads'>, AsyncDisposable {
  stops: { scope: string; reason: string; atMs: number }[];
}

export function processCustomers(): ProcessCustomers {
  const processes = new Map<string, ChildProcess>();
  const stops: ProcessCustomers['stops'] = [];

  function kill(customers: string[]): Stop {
    const startMs = performance.now();
    const exits: Promise<unknown>[] = [];
    for (const customer of customers) {
      const child = processes.get(customer);
      if (child === undefined) continue;
      processes.delete(customer);
      exits.push(once(child, 'exit'));
      child.kill('SIGKILL');
    }
    return { processes: exits.length, gone: Promise.all(exits).then(() => ({ afterMs: performance.now() - startMs })) };
  }

  return {
    stops,
    allowCustomer(customer) {
      if (!processes.has(customer)) processes.set(customer, spawn('sleep', ['300'], { stdio: 'ignore' }));
    },
    stopCustomer(customer, reason) {
      stops.push({ scope: customer, reason, atMs: performance.now() });
      return kill([customer]);
    },
    stopEverything(reason) {
      stops.push({ scope: '*', reason, atMs: performance.now() });
      return kill([...processes.keys()]);
    },
    isStopping: () => false,
    loads: () => [...processes.keys()].map((customer) => ({ customer, instances: 1, processes: 1 })),
    async [Symbol.asyncDispose]() {
      await kill([...processes.keys()]).gone;
    },
  };
}
