// The control group of one customer, `<cgroupRoot>/customers/<customer>`, and the switch of its bridge. This is the kill path:
// it forks nothing and needs no memory to speak of, because it must work while a fork bomb runs; and nothing in it waits for
// the kernel's lock of control groups on the agent's thread (`control-group.ts`).
//
// SIGKILL to each container's first process goes out within the call. Then, in the pool of threads and beside each other:
// forbid (a start in flight can no longer make its group), kill, cut the network.
import { existsSync, readdirSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import type { DesiredCustomer } from '../../../protocol/api/agent.ts';
import { isCustomerName } from '../../../protocol/names.ts';
import {
  groupsBelow,
  isGroupPopulated,
  readGroup,
  removeTree,
  writeGroup,
  writeGroupIfThere,
} from './control-group.ts';
import { killFirstProcesses } from '../oci/first-process.ts';
import { unreclaimableBytes } from './kernel-memory.ts';

const wantedControllers = ['cpu', 'memory', 'pids'];

export function bridgeOf(customer: string): string {
  return `br-${customer}`;
}

/** Names of the control groups under `customers`, our own and whatever an earlier agent left. */
export function customersWithGroup(cgroupRoot: string): string[] {
  return directories(`${cgroupRoot}/customers`).filter(isCustomerName);
}

export class CustomerGroup {
  readonly customer: string;
  readonly path: string;
  readonly #root: string;
  readonly #firstProcessDirectory: string;
  readonly #descendants: string;
  readonly #kill: string;
  readonly #pids: string;
  readonly #flags: string;
  /** Of instances that have ended, as the group has counted them. */
  #settledKills: number;
  #last: Promise<void> = Promise.resolve();
  #strike: Promise<void> | undefined;

  constructor(customer: string, places: { cgroupRoot: string; firstProcessDirectory: string }) {
    const { cgroupRoot, firstProcessDirectory } = places;
    if (!isCustomerName(customer))
      throw new Error(`cannot make control group: ${JSON.stringify(customer)} is no customer's name`);
    this.customer = customer;
    this.#root = cgroupRoot;
    this.#firstProcessDirectory = firstProcessDirectory;
    this.path = `${cgroupRoot}/customers/${customer}`;
    this.#descendants = `${this.path}/cgroup.max.descendants`;
    this.#kill = `${this.path}/cgroup.kill`;
    this.#pids = `${this.path}/pids.current`;
    this.#flags = `/sys/class/net/${bridgeOf(customer)}/flags`;
    this.#settledKills = directories(this.path).reduce(
      (rest, instance) => rest - (this.#memoryKills(instance) ?? 0),
      this.#memoryKills() ?? 0,
    );
  }

  /**
   * Makes the group where it is missing and sets the customer's limits. Returns the controllers that this host's cgroup v2
   * lacks: what they would limit is not limited. Never lifts what `forbidAndKill` forbade.
   */
  async prepare(limits: Pick<DesiredCustomer, 'memoryBytes' | 'processes'>): Promise<{ missing: string[] }> {
    const parent = `${this.#root}/customers`;
    await mkdir(this.path, { recursive: true });
    const present = (readGroup(`${this.#root}/cgroup.controllers`) ?? '').trim().split(' ');
    const usable = wantedControllers.filter((controller) => present.includes(controller));
    for (const group of [this.#root, parent, this.path]) await delegate(group, usable);
    if (usable.includes('memory')) {
      await writeGroup(`${this.path}/memory.max`, String(limits.memoryBytes));
      await writeGroupIfThere(`${this.path}/memory.swap.max`, '0');
    }
    if (usable.includes('pids')) await writeGroup(`${this.path}/pids.max`, String(limits.processes));
    return { missing: wantedControllers.filter((controller) => !usable.includes(controller)) };
  }

  /**
   * Says what was running. The first processes are dead when it returns; `written` tells of the rest, and rejects with what
   * went wrong after each of its steps was tried. A customer without a group has nothing to stop.
   */
  forbidAndKill(): { processes: number; written: Promise<void> } {
    const failures: unknown[] = [];
    let processes = 0;
    try {
      processes = this.processes();
    } catch (error) {
      failures.push(error);
    }
    try {
      killFirstProcesses(this.#firstProcessDirectory, this.customer);
    } catch (error) {
      failures.push(error);
    }
    // One at a time: where the kernel keeps one waiting, more of them would take the pool's threads from everybody else.
    this.#strike ??= this.#afterTheLast(async () => {
      // 0x1002 is IFF_BROADCAST | IFF_MULTICAST without IFF_UP: 0.3 ms, where spawning nft takes 15.
      const steps = [writeGroupIfThere(this.#descendants, '0'), this.kill(), writeGroupIfThere(this.#flags, '0x1002')];
      const results = await Promise.allSettled(steps);
      failures.push(...results.flatMap((result) => (result.status === 'rejected' ? [result.reason as unknown] : [])));
      if (failures.length > 0)
        throw new AggregateError(failures, `cannot stop ${this.customer}: ${failures.join('; ')}`);
    }).finally(() => {
      this.#strike = undefined;
    });
    return { processes, written: this.#strike };
  }

  /** Again, for what entered the group after the first kill. */
  kill(): Promise<void> {
    return writeGroupIfThere(this.#kill, '1');
  }

  /**
   * True once no process is in the group and none can come, after `forbidAndKill`. An empty group is not enough: a crun that
   * had made an instance's group before the kill may yet put a process in. So those groups go, and cannot be made again.
   */
  async seal(): Promise<boolean> {
    if (this.isPopulated()) return false;
    try {
      for await (const instance of groupsBelow(this.path)) await removeTree(`${this.path}/${instance}`);
      return !this.exists() || this.isForbidden();
    } catch (error) {
      // A process came in between; it is killed next.
      if (error instanceof Error && 'code' in error && error.code === 'EBUSY') return false;
      throw error;
    }
  }

  /** Undoes `forbidAndKill`, and a kill by the leash; costs two reads where there is nothing to undo. Says whether there was. */
  async allow(): Promise<boolean> {
    const forbidden = this.isForbidden();
    const down = (Number(readGroup(this.#flags) ?? 1) & 1) === 0;
    if (!forbidden && !down) return false;
    await this.#afterTheLast(async () => {
      if (forbidden) await writeGroupIfThere(this.#descendants, 'max');
      if (down) await writeGroupIfThere(this.#flags, '0x1003');
    });
    return true;
  }

  exists(): boolean {
    return existsSync(this.path);
  }

  isForbidden(): boolean {
    return readGroup(this.#descendants)?.trim() === '0';
  }

  isPopulated(): boolean {
    return isGroupPopulated(this.path);
  }

  /** Processes and threads by the pids controller; by counting where the host has none. */
  processes(): number {
    const current = readGroup(this.#pids);
    if (current !== undefined) return Number(current);
    return directories(this.path).reduce(
      (sum, instance) => sum + ((readGroup(`${this.path}/${instance}/cgroup.procs`) ?? '').match(/\n/g)?.length ?? 0),
      0,
    );
  }

  /** Of the customer, or of one instance: what the kernel keeps for its processes. A read that adds up, for some 0.1 ms. */
  kernelBytes(instance?: string): number {
    return unreclaimableBytes(readGroup(`${this.path}/${instance === undefined ? '' : `${instance}/`}memory.stat`));
  }

  /**
   * How many of an instance's processes the kernel has killed for want of memory. To be asked once for each of its starts, when
   * that has ended. crun has removed its group by then, but the customer's has counted with it: what no other instance
   * accounts for, now or when it ended, is this one's.
   */
  settleMemoryKills(instance: string): number {
    const own = this.#memoryKills(instance);
    const all = this.#memoryKills() ?? 0;
    // Mostly nothing is left to tell apart, and nobody else is asked.
    const left = all > this.#settledKills ? all - this.#settledKills : 0;
    const others = own !== undefined || left === 0 ? [] : directories(this.path).filter((other) => other !== instance);
    const kills = own ?? others.reduce((rest, other) => rest - (this.#memoryKills(other) ?? 0), left);
    this.#settledKills += Math.max(0, kills);
    return Math.max(0, kills);
  }

  #memoryKills(instance?: string): number | undefined {
    const events = readGroup(`${this.path}/${instance === undefined ? '' : `${instance}/`}memory.events`);
    const [, count] = /^oom_kill (\d+)$/m.exec(events ?? '') ?? [];
    return count === undefined ? undefined : Number(count);
  }

  /** Removes the group and what is left of its instances' groups. Throws EBUSY while a process is in it. */
  remove(): Promise<void> {
    this.#settledKills = 0;
    return removeTree(this.path);
  }

  /** So that of a stop and a permit that follow each other the later one has the last word. */
  #afterTheLast(step: () => Promise<void>): Promise<void> {
    // The one before told its own caller when it failed.
    const next = this.#last.then(step, step);
    this.#last = next;
    return next;
  }
}

async function delegate(group: string, controllers: string[]): Promise<void> {
  const done = (readGroup(`${group}/cgroup.subtree_control`) ?? '').trim().split(' ');
  const missing = controllers.filter((controller) => !done.includes(controller));
  if (missing.length > 0)
    await writeGroup(`${group}/cgroup.subtree_control`, missing.map((name) => `+${name}`).join(' '));
}

function directories(path: string): string[] {
  try {
    return readdirSync(path, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map((entry) => entry.name);
  } catch (error) {
    // Groups are removed beside this thread.
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return [];
    throw error;
  }
}
