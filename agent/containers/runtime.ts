// The node's container runtime: it makes what runs on this board equal to what the controller wants, and stops a customer at once.
//
//   apply(desired) ─► for each instance: image (fetch, verify, mount) ─► network ─► crun run ─► exit ─► backoff ─► again
//   stopCustomer() ─► SIGKILL to first processes, at once ─► forbid, kill, cut: three writes, no fork ─► clean up behind it
//
// A customer runs only while it is allowed: nothing is at first, `allowCustomer` says so for each permit that lists it, and
// `stopCustomer` takes it back. Containers outlive the agent: a new one adopts what it finds under `stateDir`.
// No signing, no deadlines: they belong to permits and leash.
import { mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import type { Desired, DesiredCustomer, DesiredInstance, InstanceReport } from '../../protocol/api/agent.ts';
import { instancePattern, isCustomerName, sha256Pattern } from '../../protocol/names.ts';
import type { CustomerLoad } from '../../protocol/roll-call.ts';
import { checkPaces } from '../checks/checking.ts';
import { Bundle } from './oci/bundle.ts';
import { ConfigurationCache } from './cache/configuration-cache.ts';
import { Container, type ContainerHost } from './container.ts';
import { CustomerGroup, customersWithGroup } from './groups/customer-group.ts';
import { hoarder, kernelMemoryPollMs } from './groups/kernel-memory.ts';
import { ImageCache } from './cache/image-cache.ts';
import { LogQueue, type RuntimeLogLine } from './output/log-queue.ts';
import { ReadBudget } from './output/read-budget.ts';
import { Network, type RuntimeNetwork } from './network.ts';
import { Semaphore } from './semaphore.ts';
import { explain } from './tool.ts';

export interface RuntimeOptions {
  /** Where cgroup v2 is mounted: `/sys/fs/cgroup`. The groups are `<cgroupRoot>/customers/<customer>/<instance>`. */
  cgroupRoot: string;
  /** On tmpfs, kept by an agent's restart, gone with a board's: `/run/muster`. */
  stateDir: string;
  /** `/run/leash/first`: the containers' first processes, for whoever must stop them (`oci/first-process.ts`). */
  firstProcessDirectory: string;
  /** Most bytes of squashfs files kept; more only while containers run from them. */
  imageCacheBytes: number;
  /** OCI seccomp profile (the `linux.seccomp` object) as a JSON file. */
  seccompFile: string;
  /** False only where the host's cgroup v2 lacks controllers: limits are left out then, and `log` tells which. */
  requireLimits: boolean;
  /** For MUSTER_NODE: asked at each start, because a node gets its name when it joins and may be renamed. */
  readonly nodeName: () => string;
  network: RuntimeNetwork;
  /** Writes the image's bytes to the file `destination`. The runtime verifies size and sha256 itself. */
  readonly fetchSquashfs: (sha256: string, to: { destination: string; signal: AbortSignal }) => Promise<void>;
  /** The configuration's bytes; the runtime verifies the sha256 itself. */
  readonly fetchConfiguration: (sha256: string, signal: AbortSignal) => Promise<Buffer>;
  /** What an operator of the node should read: one sentence, for the serial console. */
  readonly log: (text: string) => void;
}

export type { RuntimeLogLine, RuntimeNetwork };

export type StopReason = 'killed' | 'silence' | 'removed';

export interface Stop {
  /** Processes that were running when the stop came. */
  processes: number;
  /** When no process is left: ms from the call. Never rejects; stays pending while one hangs in the kernel. */
  gone: Promise<{ afterMs: number }>;
}

export interface Runtime extends AsyncDisposable {
  /**
   * The latest wins. Returns at once; starts and stops follow in the background, two at a time. `misfits`: what else was
   * wanted, in a form that nothing can be done with, as it is to be reported.
   */
  apply(desired: Desired, misfits?: readonly InstanceReport[]): void;
  /** Kills within the call; forbids new containers, kills what that spared, cuts the network, and cleans up behind it. */
  stopCustomer(customer: string, reason: StopReason): Stop;
  stopEverything(reason: StopReason): Stop;
  /** A permit lists it: call for every permit, it repairs what the leash cut. Desired instances are started (again). */
  allowCustomer(customer: string): void;
  /** Its processes were told to end and some are left: until they are gone nobody vouches for it. */
  isStopping(customer: string): boolean;
  /** Each customer with a control group here. Cheap: a few reads, no fork. */
  loads(): CustomerLoad[];
  /** Each desired instance, and each one that is still being stopped. */
  reports(): InstanceReport[];
  /** Takes the oldest lines, at most `limit`. Lines that a flood lost are told in a line of the stream `muster`. */
  takeLogs(limit: number): RuntimeLogLine[];
  /** Called after reports() changed; never during one of the calls above. */
  onChange(listener: () => void): void;
  /** Ends the agent's part: containers run on. */
  [Symbol.asyncDispose](): Promise<void>;
}

const atOnce = 2;
const instanceName = new RegExp(instancePattern);
const sha256 = new RegExp(sha256Pattern);

/** Adopts what an earlier agent left under `stateDir`. Throws where the options or the directories are unusable. */
export function createRuntime(options: RuntimeOptions): Runtime {
  return new NodeRuntime(options);
}

class NodeRuntime implements Runtime {
  readonly #options: RuntimeOptions;
  readonly #network: Network;
  readonly #configurations: ConfigurationCache;
  readonly #logs = new LogQueue(performance.now());
  readonly #semaphore = new Semaphore(atOnce);
  readonly #host: ContainerHost;
  readonly #groups = new Map<string, CustomerGroup>();
  readonly #containers = new Map<string, Container>();
  readonly #allowed = new Set<string>();
  readonly #refusals = new Map<string, StopReason>();
  readonly #stopping = new Map<string, Stop>();
  readonly #repairing = new Set<string>();
  readonly #removing = new Map<string, Promise<void>>();
  readonly #hoardTimer: NodeJS.Timeout;
  #customers = new Map<string, DesiredCustomer>();
  #desired: Desired | undefined;
  /** As they were applied, and those found here. */
  #unreadable: readonly InstanceReport[] = [];
  /** Wanted, but not in a form that can be started. */
  #misfits: InstanceReport[] = [];
  #listeners: (() => void)[] = [];
  #changeTold = true;
  #noticedMissing = false;
  #seccomp: unknown;
  #disposed = false;

  constructor(options: RuntimeOptions) {
    this.#options = options;
    // Containers' first processes must be able to walk to their root: searchable, not readable.
    for (const directory of ['', 'instances', 'crun'])
      mkdirSync(join(options.stateDir, directory), { recursive: true, mode: 0o711 });
    this.#network = new Network(options.network, options.stateDir);
    const images = new ImageCache({
      directory: join(options.stateDir, 'images'),
      limitBytes: options.imageCacheBytes,
      fetchSquashfs: options.fetchSquashfs,
      log: options.log,
    });
    this.#configurations = new ConfigurationCache({
      directory: join(options.stateDir, 'configurations'),
      fetchConfiguration: options.fetchConfiguration,
    });
    this.#host = {
      cgroupRoot: options.cgroupRoot,
      stateDir: options.stateDir,
      firstProcessDirectory: options.firstProcessDirectory,
      images,
      configurations: this.#configurations,
      network: this.#network,
      semaphore: this.#semaphore,
      logs: this.#logs,
      readBudget: new ReadBudget(),
      checkPaces: checkPaces(),
      nodeName: () => options.nodeName(),
      seccomp: () => (this.#seccomp ??= readSeccomp(options.seccompFile)),
      refusal: (customer) => this.#refusal(customer),
      group: (customer) => this.#group(customer),
      prepare: (customer) => this.#prepare(customer),
      settled: async (customer) => this.#removing.get(customer),
      changed: () => this.#changed(),
      log: options.log,
    };
    for (const customer of customersWithGroup(options.cgroupRoot)) this.#group(customer);
    this.#adopt();
    this.#hoardTimer = setInterval(() => this.#endHoarders(), kernelMemoryPollMs);
    this.#hoardTimer.unref();
  }

  apply(desired: Desired, misfits: readonly InstanceReport[] = []): void {
    this.#desired = desired;
    this.#unreadable = misfits;
    this.#customers = new Map(desired.customers.map((customer) => [customer.name, customer]));
    this.#converge();
  }

  stopCustomer(customer: string, reason: StopReason): Stop {
    const at = performance.now();
    const group = this.#group(customer);
    this.#allowed.delete(customer);
    const processes = this.#kill(group);
    this.#refusals.set(customer, reason);
    const underWay = this.#stopping.get(customer);
    if (underWay) return underWay;
    const gone = this.#emptied(group).then(() => {
      this.#stopping.delete(customer);
      return { afterMs: performance.now() - at };
    });
    const stop = { processes, gone };
    this.#stopping.set(customer, stop);
    // Each waiting container learns why; those that ran end by themselves.
    for (const container of this.#of(customer)) container.wake();
    return stop;
  }

  stopEverything(reason: StopReason): Stop {
    const at = performance.now();
    const stops = [...new Set([...this.#groups.keys(), ...this.#allowed])].map((customer) =>
      this.stopCustomer(customer, reason),
    );
    return {
      processes: stops.reduce((sum, { processes }) => sum + processes, 0),
      gone: Promise.all(stops.map(({ gone }) => gone)).then(() => ({ afterMs: performance.now() - at })),
    };
  }

  allowCustomer(customer: string): void {
    // Until the last process is gone the stop goes on: the next permit comes soon.
    if (this.#stopping.has(customer)) return;
    const isNews = !this.#allowed.has(customer);
    this.#allowed.add(customer);
    this.#refusals.delete(customer);
    void this.#repair(customer, isNews);
  }

  async #repair(customer: string, isNews: boolean): Promise<void> {
    if (this.#repairing.has(customer)) return;
    this.#repairing.add(customer);
    let repaired = false;
    try {
      repaired = (await this.#groups.get(customer)?.allow()) ?? false;
    } catch (error) {
      // It stays as it is until the next permit.
      this.#options.log(`cannot let ${customer} run again: ${explain(error)}`);
    } finally {
      this.#repairing.delete(customer);
    }
    // The leash takes back by itself what it forbade, so one that it refused meanwhile may wait with nothing left to repair.
    for (const container of this.#of(customer)) if (isNews || repaired || container.isRefused) container.wake();
  }

  isStopping(customer: string): boolean {
    return this.#stopping.has(customer);
  }

  loads(): CustomerLoad[] {
    return [...this.#groups.values()]
      .filter((group) => group.exists())
      .map((group) => ({
        customer: group.customer,
        instances: this.#of(group.customer).filter((container) => container.isRunning).length,
        processes: group.processes(),
      }));
  }

  reports(): InstanceReport[] {
    return [...[...this.#containers.values()].map((container) => container.report()), ...this.#misfits];
  }

  takeLogs(limit: number): RuntimeLogLine[] {
    return this.#logs.take(limit, performance.now());
  }

  onChange(listener: () => void): void {
    this.#listeners = [...this.#listeners, listener];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#disposed = true;
    clearInterval(this.#hoardTimer);
    for (const container of this.#containers.values()) container.release();
    await Promise.all([...this.#containers.values()].map((container) => container.finished));
    await Promise.all(this.#removing.values());
  }

  #adopt(): void {
    for (const id of readdirSync(join(this.#options.stateDir, 'instances'))) {
      const bundle = new Bundle(this.#options.stateDir, id);
      const record = bundle.record();
      if (!record) {
        // Its agent died before anything ran in it.
        void this.#tidy(`the remains of ${id}`, () => bundle.remove());
        continue;
      }
      const { instance, customer, attachment } = record;
      this.#group(customer.name);
      this.#network.adopt(attachment);
      this.#containers.set(id, new Container(this.#host, { instance, customer, adopted: record }));
    }
  }

  #converge(): void {
    const { instances } = this.#desired ?? { instances: [] };
    this.#misfits = [...this.#unreadable];
    const wanted = new Set<string>();
    for (const instance of instances) {
      const customer = this.#customers.get(instance.customer);
      const problem = problemOf(instance, customer);
      if (!customer || problem !== undefined) {
        this.#misfits.push({ id: instance.id, state: 'failed', reason: problem ?? '', restarts: 0 });
        continue;
      }
      wanted.add(instance.id);
      const present = this.#containers.get(instance.id);
      if (present) present.customer = customer;
      else this.#containers.set(instance.id, new Container(this.#host, { instance, customer }));
    }
    this.#configurations.keepOnly(new Set(instances.map(({ configuration }) => configuration)));
    for (const [id, container] of this.#containers) {
      if (wanted.has(id) || container.isRemoved) continue;
      container.remove();
      void container.finished.then(() => {
        this.#containers.delete(id);
        this.#changed();
        // It may be wanted again by now, or its customer be the next to go.
        if (!this.#disposed) this.#converge();
      });
    }
    for (const group of this.#groups.values()) {
      const customer = this.#customers.get(group.customer);
      if (customer) void this.#adjust(group, customer);
      else if (this.#of(group.customer).length === 0) this.#removeCustomer(group);
    }
    this.#changed();
  }

  /** New limits for a customer that has a group; one without gets them with its first start. */
  async #adjust(group: CustomerGroup, customer: DesiredCustomer): Promise<void> {
    if (!group.exists()) return;
    try {
      await group.prepare(customer);
    } catch (error) {
      this.#options.log(`cannot set the limits of ${customer.name}: ${explain(error)}`);
    }
  }

  #removeCustomer(group: CustomerGroup): void {
    const { customer } = group;
    if (this.#disposed || this.#removing.has(customer)) return;
    const removal = this.#tidy(`customer ${customer}`, async () => {
      if (group.isPopulated()) await this.stopCustomer(customer, 'removed').gone;
      await this.#network.removeCustomer(customer);
      await group.remove();
      this.#groups.delete(customer);
    }).then(() => {
      this.#removing.delete(customer);
      this.#changed();
    });
    this.#removing.set(customer, removal);
  }

  async #tidy(what: string, work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      this.#options.log(`cannot remove ${what}: ${explain(error)}`);
    }
  }

  #endHoarders(): void {
    for (const group of this.#groups.values()) {
      const running = this.#of(group.customer).filter((container) => container.isRunning);
      if (running.length === 0) continue;
      const found = hoarder(group.kernelBytes(), () =>
        running.map(({ instance: { id } }) => ({ id, bytes: group.kernelBytes(id) })),
      );
      if (found) this.#containers.get(found.id)?.endFor(found.reason);
    }
  }

  #kill(group: CustomerGroup): number {
    const { processes, written } = group.forbidAndKill();
    // The stop goes on, again and again until the group is empty; the leash and the watchdog stand behind it.
    written.catch((error: unknown) => this.#options.log(explain(error)));
    return processes;
  }

  /** Empty means: no process, and no start under way that could still bring one. */
  async #emptied(group: CustomerGroup): Promise<void> {
    for (let waitMs = 1; !(await this.#isSealed(group));) {
      await pause(waitMs);
      waitMs = Math.min(20, waitMs * 2);
      if (waitMs >= 8) this.#kill(group);
    }
    for (const container of this.#of(group.customer)) container.abandonStart();
  }

  async #isSealed(group: CustomerGroup): Promise<boolean> {
    try {
      return await group.seal();
    } catch (error) {
      this.#options.log(`cannot clear the groups of ${group.customer}: ${explain(error)}`);
      return false;
    }
  }

  #refusal(customer: string): string | undefined {
    if (!this.#allowed.has(customer)) return this.#refusals.get(customer) ?? 'not permitted yet';
    // Not by us, so by the leash: this process was not heard in time.
    return this.#groups.get(customer)?.isForbidden() ? 'silence' : undefined;
  }

  async #prepare(customer: DesiredCustomer): Promise<{ cpu: boolean; memory: boolean; pids: boolean }> {
    const { missing } = await this.#group(customer.name).prepare(customer);
    if (missing.length > 0) {
      const text = `this host's control groups lack ${missing.join(', ')}`;
      if (this.#options.requireLimits) throw new Error(`cannot limit ${customer.name}: ${text}`);
      if (!this.#noticedMissing) this.#options.log(`containers run without some limits: ${text}`);
      this.#noticedMissing = true;
    }
    return { cpu: !missing.includes('cpu'), memory: !missing.includes('memory'), pids: !missing.includes('pids') };
  }

  #group(customer: string): CustomerGroup {
    const known = this.#groups.get(customer);
    if (known) return known;
    const group = new CustomerGroup(customer, this.#options);
    this.#groups.set(customer, group);
    return group;
  }

  #of(customer: string): Container[] {
    return [...this.#containers.values()].filter(({ instance }) => instance.customer === customer);
  }

  #changed(): void {
    if (!this.#changeTold) return;
    this.#changeTold = false;
    setImmediate(() => {
      this.#changeTold = true;
      if (!this.#disposed) for (const listener of this.#listeners) listener();
    });
  }
}

/** The controller's answers are checked against the schema where they come in; what becomes a path or a name is checked here too. */
function problemOf(instance: DesiredInstance, customer: DesiredCustomer | undefined): string | undefined {
  if (!instanceName.test(instance.id)) return `${JSON.stringify(instance.id)} is no instance's name`;
  if (!isCustomerName(instance.customer)) return `${JSON.stringify(instance.customer)} is no customer's name`;
  if (!sha256.test(instance.squashfs.sha256)) return `${JSON.stringify(instance.squashfs.sha256)} is no sha256`;
  if (!sha256.test(instance.configuration)) return `${JSON.stringify(instance.configuration)} is no sha256`;
  if (!customer) return `customer ${instance.customer} is not among the node's customers`;
  if (customer.uidBase < 65_536) return `user ids from ${customer.uidBase} are the node's own, want 65536 and up`;
  return undefined;
}

function readSeccomp(file: string): unknown {
  try {
    const profile: unknown = JSON.parse(readFileSync(file, 'utf8'));
    return profile;
  } catch (cause) {
    throw new Error(`cannot read seccomp profile ${file}`, { cause });
  }
}
