// The control group of one customer, `<cgroupRoot>/customers/<customer>`, and the switch of its bridge. This is the kill path:
// everything here is synchronous, forks nothing and needs no memory to speak of, because it must work while a fork bomb runs.
//
// Order matters: forbid first (a start in flight can no longer make its group), then kill, then cut the network.
import {
  closeSync,
  constants,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  writeSync,
} from 'node:fs';
import type { DesiredCustomer } from '../../protocol/api.ts';
import { isCustomerName } from '../../protocol/names.ts';
import { killFirstProcesses } from './first-process.ts';

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
  readonly #events: string;
  readonly #pids: string;
  readonly #flags: string;

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
    this.#events = `${this.path}/cgroup.events`;
    this.#pids = `${this.path}/pids.current`;
    this.#flags = `/sys/class/net/${bridgeOf(customer)}/flags`;
  }

  /**
   * Makes the group where it is missing and sets the customer's limits. Returns the controllers that this host's cgroup v2
   * lacks: what they would limit is not limited. Never lifts what `forbidAndKill` forbade.
   */
  prepare(limits: Pick<DesiredCustomer, 'memoryBytes' | 'processes'>): { missing: string[] } {
    const parent = `${this.#root}/customers`;
    mkdirSync(parent, { recursive: true });
    mkdirSync(this.path, { recursive: true });
    const present = readFileSync(`${this.#root}/cgroup.controllers`, 'utf8').trim().split(' ');
    const usable = wantedControllers.filter((controller) => present.includes(controller));
    for (const group of [this.#root, parent, this.path]) delegate(group, usable);
    if (usable.includes('memory')) {
      write(`${this.path}/memory.max`, String(limits.memoryBytes));
      writeIfThere(`${this.path}/memory.swap.max`, '0');
    }
    if (usable.includes('pids')) write(`${this.path}/pids.max`, String(limits.processes));
    return { missing: wantedControllers.filter((controller) => !usable.includes(controller)) };
  }

  /** Tries all steps whatever becomes of each, then throws what went wrong. A customer without a group has nothing to stop. */
  forbidAndKill(): { processes: number } {
    const failures: unknown[] = [];
    let processes = 0;
    attempt(failures, () => {
      processes = this.processes();
    });
    attempt(failures, () => killFirstProcesses(this.#firstProcessDirectory, this.customer));
    attempt(failures, () => writeIfThere(this.#descendants, '0'));
    attempt(failures, () => writeIfThere(this.#kill, '1'));
    // 0x1002 is IFF_BROADCAST | IFF_MULTICAST without IFF_UP: 0.3 ms, where spawning nft takes 15.
    attempt(failures, () => writeIfThere(this.#flags, '0x1002'));
    if (failures.length > 0) throw new AggregateError(failures, `cannot stop ${this.customer}: ${failures.join('; ')}`);
    return { processes };
  }

  /** Again, for what entered the group after the first kill. */
  kill(): void {
    writeIfThere(this.#kill, '1');
  }

  /**
   * True once no process is in the group and none can come, after `forbidAndKill`. An empty group is not enough: a crun that
   * had made an instance's group before the kill may yet put a process in. So those groups go, and cannot be made again.
   */
  seal(): boolean {
    if (this.isPopulated()) return false;
    try {
      for (const instance of directories(this.path)) removeTree(`${this.path}/${instance}`);
      return !this.exists() || this.isForbidden();
    } catch (error) {
      // A process came in between; it is killed next.
      if (error instanceof Error && 'code' in error && error.code === 'EBUSY') return false;
      throw error;
    }
  }

  /** Undoes `forbidAndKill`, and a kill by the leash; costs two reads where there is nothing to undo. Says whether there was. */
  allow(): boolean {
    const forbidden = this.isForbidden();
    if (forbidden) writeIfThere(this.#descendants, 'max');
    const flags = Number(read(this.#flags) ?? 1);
    const down = (flags & 1) === 0;
    if (down) writeIfThere(this.#flags, '0x1003');
    return forbidden || down;
  }

  exists(): boolean {
    return existsSync(this.path);
  }

  isForbidden(): boolean {
    return read(this.#descendants)?.trim() === '0';
  }

  isPopulated(): boolean {
    return read(this.#events)?.includes('populated 1') ?? false;
  }

  /** Processes and threads by the pids controller; by counting where the host has none. */
  processes(): number {
    const current = read(this.#pids);
    if (current !== undefined) return Number(current);
    return directories(this.path).reduce(
      (sum, instance) => sum + ((read(`${this.path}/${instance}/cgroup.procs`) ?? '').match(/\n/g)?.length ?? 0),
      0,
    );
  }

  /** How often the kernel has killed one of the customer's processes for want of memory. */
  memoryKills(): number {
    return Number(/^oom_kill (\d+)$/m.exec(read(`${this.path}/memory.events`) ?? '')?.[1] ?? 0);
  }

  /** Removes the group and what is left of its instances' groups. Throws EBUSY while a process is in it. */
  remove(): void {
    removeTree(this.path);
  }
}

/** Removes a control group and those under it; one that is not there is fine. */
export function removeTree(path: string): void {
  for (const child of directories(path)) removeTree(`${path}/${child}`);
  try {
    rmdirSync(path);
  } catch (error) {
    if (!isMissing(error)) throw error;
  }
}

/** Kills one instance's processes; a group that is gone has none. */
export function killGroup(path: string): void {
  writeIfThere(`${path}/cgroup.kill`, '1');
}

export function isGroupPopulated(path: string): boolean {
  return read(`${path}/cgroup.events`)?.includes('populated 1') ?? false;
}

function delegate(group: string, controllers: string[]): void {
  const done = (read(`${group}/cgroup.subtree_control`) ?? '').trim().split(' ');
  const missing = controllers.filter((controller) => !done.includes(controller));
  if (missing.length > 0) write(`${group}/cgroup.subtree_control`, missing.map((name) => `+${name}`).join(' '));
}

function attempt(failures: unknown[], step: () => unknown): void {
  try {
    step();
  } catch (error) {
    failures.push(error);
  }
}

function write(path: string, text: string): void {
  // Without O_CREAT, which a control group answers with EACCES where the file is missing.
  const fd = openSync(path, constants.O_WRONLY);
  try {
    writeSync(fd, text);
  } finally {
    closeSync(fd);
  }
}

function writeIfThere(path: string, text: string): void {
  try {
    write(path, text);
  } catch (error) {
    if (!isMissing(error)) throw error;
  }
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

function directories(path: string): string[] {
  try {
    return readdirSync(path, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map((entry) => entry.name);
  } catch (error) {
    if (isMissing(error)) return [];
    throw error;
  }
}

/** ENODEV: a group that was removed while we held its file open. EINVAL: an interface that is just being removed. */
function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && ['ENOENT', 'ENODEV', 'EINVAL'].includes(String(error.code));
}
