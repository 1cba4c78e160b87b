// One instance on this node, from its image to its last exit. A loop of its own:
//
//   fetching ─► starting ─► running ─► exited ─► (0.5 s, doubled up to 30 s) ─► fetching …
//      └──────────┴─► failed ─► (the same pause) …          stopped: its customer may not run; waits to be allowed
//
// In `<stateDir>/instances/<id>`: `instance.json` (what an agent needs to adopt it), `config.json`, `crun.pid`, `crun.log`,
// `offsets`, and the mount points `disk` and `root`. `disk` is a tmpfs of its own with all that the container can make
// grow: `stdout`, `stderr`, and the overlay's `upper` and `work`. What fills it harms neither a neighbour nor the agent.
import { spawn, type ChildProcess } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import type { DesiredCustomer, DesiredInstance, InstanceReport, InstanceState } from '../../protocol/api.ts';
import { type CustomerGroup, isGroupPopulated, killGroup, removeTree } from './customer-group.ts';
import { type ImageCache, type ImageLease, mountOptions } from './image-cache.ts';
import { type LogQueue, LogTail } from './log-queue.ts';
import { type Attachment, type Network, namespacePath } from './network.ts';
import { hardLimits, ociConfig } from './oci-config.ts';
import type { Slots } from './slots.ts';
import { explain, runTool } from './tool.ts';

/** What the runtime lends to each of its containers. */
export interface ContainerHost {
  cgroupRoot: string;
  stateDir: string;
  images: ImageCache;
  network: Network;
  /** Starts and clean-ups that run at once. */
  slots: Slots;
  logs: LogQueue;
  nodeName(): string;
  /** The `linux.seccomp` object. Throws where the node has none. */
  seccomp(): unknown;
  /** Why a customer may not run now; undefined where it may. */
  refusal(customer: string): string | undefined;
  group(customer: string): CustomerGroup;
  /** Makes the group and sets its limits; which controllers there are. Throws where the node wants more. */
  prepare(customer: DesiredCustomer): { cpu: boolean; memory: boolean; pids: boolean };
  /** Resolves when no removal of the customer's bridge and group is under way. */
  settled(customer: string): Promise<void>;
  changed(): void;
  notice(text: string): void;
}

/** What `instance.json` holds. */
export interface InstanceRecord {
  instance: DesiredInstance;
  customer: DesiredCustomer;
  attachment: Attachment;
  starts: number;
}

const writableBytes = 16 * 2 ** 20;
const startTimeoutMs = 20_000;
const toolTimeoutMs = 10_000;
const graceMs = 3_000;
const firstPauseMs = 500;
const longestPauseMs = 30_000;
const steadyAfterMs = 30_000;
const adoptedPollMs = 200;

export class Container {
  readonly instance: DesiredInstance;
  readonly finished: Promise<void>;
  customer: DesiredCustomer;
  readonly #host: ContainerHost;
  readonly #directory: string;
  readonly #disk: string;
  readonly #cgroup: string;
  readonly #removal = new AbortController();
  readonly #release = new AbortController();
  #state: InstanceState = 'placed';
  #reason = '';
  #starts = 0;
  /** A crun at work whose container does not run yet. */
  #starting: ChildProcess | undefined;
  #wake: () => void = () => undefined;
  #isRefused = false;
  #tails: LogTail[] = [];

  constructor(
    host: ContainerHost,
    wanted: { instance: DesiredInstance; customer: DesiredCustomer; adopted?: InstanceRecord },
  ) {
    this.#host = host;
    this.instance = wanted.instance;
    this.customer = wanted.customer;
    this.#directory = join(host.stateDir, 'instances', wanted.instance.id);
    this.#disk = join(this.#directory, 'disk');
    this.#cgroup = join(host.cgroupRoot, 'customers', wanted.instance.customer, wanted.instance.id);
    this.#starts = wanted.adopted?.starts ?? 0;
    this.finished = this.#live(wanted.adopted);
  }

  get isRemoved(): boolean {
    return this.#removal.signal.aborted;
  }

  /** Waits until its customer may run, as it last heard that it may not. */
  get isRefused(): boolean {
    return this.#isRefused;
  }

  get isRunning(): boolean {
    return this.#state === 'running';
  }

  report(): InstanceReport {
    return {
      id: this.instance.id,
      state: this.#state,
      reason: this.#reason.slice(0, 500),
      restarts: Math.max(0, this.#starts - 1),
    };
  }

  /** Its customer may run again: no pause is worth waiting for. */
  wake(): void {
    this.#wake();
  }

  /**
   * For a start whose group has been taken away (`CustomerGroup.seal`): it cannot succeed. A crun whose container is killed
   * before it wrote the pid file waits for it for 10 s (seen with 1.8), and the next start for that crun.
   */
  abandonStart(): void {
    this.#starting?.kill('SIGKILL');
  }

  /** SIGTERM, 3 s, SIGKILL, and everything of it away; `finished` resolves then. */
  remove(): void {
    this.#removal.abort(new Error('removed'));
    this.#wake();
  }

  /** Leaves the container running and ends the agent's part. */
  release(): void {
    this.#release.abort(new Error('the agent ends'));
    this.#wake();
  }

  pollLogs(): void {
    if (this.#tails.length === 0) return;
    try {
      let some = false;
      for (const tail of this.#tails) some = tail.poll() || some;
      if (some) this.#keepOffsets();
    } catch (error) {
      // Its output is lost from here on; the container and the agent go on.
      for (const tail of this.#tails.splice(0)) tail.close();
      this.#host.notice(`cannot read what ${this.instance.id} prints: ${explain(error)}`);
    }
  }

  async #live(adopted: InstanceRecord | undefined): Promise<void> {
    const over = AbortSignal.any([this.#removal.signal, this.#release.signal]);
    let pauseMs = firstPauseMs;
    let next: (() => Promise<void>) | undefined = adopted && (() => this.#runAdopted(adopted));
    while (!over.aborted) {
      const refusal = next ? undefined : this.#host.refusal(this.instance.customer);
      if (refusal !== undefined) {
        this.#set('stopped', refusal);
        this.#isRefused = true;
        await this.#wait(undefined);
        this.#isRefused = false;
        continue;
      }
      const startedAt = performance.now();
      try {
        await (next ?? (() => this.#run(over)))();
      } catch (error) {
        if (!over.aborted) this.#set('failed', explain(error));
      }
      next = undefined;
      if (over.aborted || this.#host.refusal(this.instance.customer) !== undefined) continue;
      if (performance.now() - startedAt >= steadyAfterMs) pauseMs = firstPauseMs;
      this.#set(this.#state, `${this.#reason}; again in ${pauseMs / 1000} s`);
      this.#tell(this.#reason);
      await this.#wait(pauseMs);
      pauseMs = Math.min(longestPauseMs, pauseMs * 2);
    }
    if (this.#release.signal.aborted) {
      for (const tail of this.#tails.splice(0)) tail.close();
      return;
    }
    this.#set('stopped', 'removed');
    try {
      using _turn = await this.#host.slots.take(this.#release.signal);
      await this.#clean();
    } catch (error) {
      if (!this.#release.signal.aborted)
        this.#host.notice(`cannot clean up after ${this.instance.id}: ${explain(error)}`);
    }
  }

  /** From the image to the exit. Throws where it does not come to run. */
  async #run(over: AbortSignal): Promise<void> {
    const { instance, customer } = this;
    const { network } = this.#host;
    this.#set('fetching', '');
    using image = await this.#host.images.acquire(instance.squashfs, { uidBase: customer.uidBase, signal: over });
    let exit: Promise<string>;
    {
      using _turn = await this.#host.slots.take(over);
      this.#set('starting', '');
      const seccomp = this.#host.seccomp();
      await this.#host.settled(instance.customer);
      const attachment = network.allot(instance);
      await this.#makeRoot(image);
      if (!existsSync(namespacePath(instance.id))) await network.attach(attachment);
      if (over.aborted || this.#host.refusal(instance.customer) !== undefined) return;
      const controllers = this.#host.prepare(customer);
      // The bridge may be new, and is built switched off.
      this.#host.group(instance.customer).allow();
      const config = ociConfig(instance, {
        uidBase: customer.uidBase,
        nodeName: this.#host.nodeName(),
        rootDirectory: join(this.#directory, 'root'),
        networkNamespace: namespacePath(instance.id),
        cgroupRoot: this.#host.cgroupRoot,
        seccomp,
        controllers,
        hardLimits: hardLimits(readFileSync('/proc/self/limits', 'utf8')),
      });
      writeFileSync(join(this.#directory, 'config.json'), JSON.stringify(config), { mode: 0o600 });
      const memoryKills = this.#host.group(instance.customer).memoryKills();
      removeTree(this.#cgroup);
      this.#starts++;
      // Before it runs, so that no container is ever unknown to the next agent.
      this.#record({ instance, customer, attachment, starts: this.#starts });
      const monitor = this.#spawn();
      exit = this.#exited(monitor, memoryKills);
      await this.#started(monitor, exit);
    }
    await this.#untilExit(exit);
    await this.#closeAfterExit();
  }

  #spawn(): ChildProcess {
    const [out, err] = [this.#openLog('stdout'), this.#openLog('stderr')];
    try {
      const monitor = spawn(
        'crun',
        [
          ...this.#crunOptions(),
          `--log=file:${join(this.#directory, 'crun.log')}`,
          'run',
          '--bundle',
          this.#directory,
          '--pid-file',
          join(this.#directory, 'crun.pid'),
          this.instance.id,
        ],
        // A session of its own: what ends the agent's does not end the container.
        { stdio: ['ignore', out, err], detached: true },
      );
      monitor.unref();
      this.#starting = monitor;
      return monitor;
    } finally {
      closeSync(out);
      closeSync(err);
    }
  }

  /** Resolves with the reason of the exit once `crun run` has ended. */
  async #exited(monitor: ChildProcess, memoryKills: number): Promise<string> {
    const status = await new Promise<string>((resolve) => {
      monitor.once('error', (cause) => resolve(`cannot run crun: ${cause.message}`));
      monitor.once('exit', (code, signal) => {
        if (signal !== null) resolve(`crun was ended by ${signal}`);
        else if (code !== null && code > 128) resolve(`ended by signal ${code - 128}`);
        else resolve(`exited with ${code}`);
      });
    });
    const outOfMemory = this.#host.group(this.instance.customer).memoryKills() > memoryKills;
    return outOfMemory && status === 'ended by signal 9' ? 'out of memory' : status;
  }

  /** Until its process runs (crun writes the pid file then). Throws what crun said where it never did. */
  async #started(monitor: ChildProcess, exit: Promise<string>): Promise<void> {
    const deadline = performance.now() + startTimeoutMs;
    let ended: string | undefined;
    void exit.then((reason) => {
      ended = reason;
    });
    try {
      while (!existsSync(join(this.#directory, 'crun.pid'))) {
        if (ended !== undefined) {
          await this.#closeAfterExit();
          throw new Error(`cannot start: ${this.#crunLog() || ended}`);
        }
        if (performance.now() > deadline) {
          monitor.kill('SIGKILL');
          await this.#closeAfterExit();
          throw new Error(`cannot start: crun took longer than ${startTimeoutMs} ms`);
        }
        await pause(2);
      }
    } finally {
      this.#starting = undefined;
    }
    if (this.#host.refusal(this.instance.customer) !== undefined) this.#host.group(this.instance.customer).kill();
    this.#set('running', '');
  }

  async #runAdopted(record: InstanceRecord): Promise<void> {
    using _held = this.#host.images.hold(record.instance.squashfs.sha256, record.customer.uidBase);
    this.#openTails();
    // A monitor without a process in the group had not come far: nothing of the customer runs, begin again.
    if (!isGroupPopulated(this.#cgroup)) {
      await this.#closeAfterExit();
      throw new Error('ended while no agent was there');
    }
    this.#set('running', 'adopted');
    await this.#untilExit(this.#emptied());
    await this.#closeAfterExit();
  }

  async #emptied(): Promise<string> {
    while (isGroupPopulated(this.#cgroup) && !this.#release.signal.aborted) await pause(adoptedPollMs);
    return 'ended; its status went to an earlier agent';
  }

  /** Until the exit, or the agent's end. A removal asks first and then kills. */
  async #untilExit(exit: Promise<string>): Promise<void> {
    const { signal } = this.#removal;
    let timer: NodeJS.Timeout | undefined;
    const end = () => {
      const pid = this.#firstProcess();
      if (pid !== undefined) {
        try {
          process.kill(pid, 'SIGTERM');
        } catch (error) {
          // Gone in this moment: just what was wanted.
          if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error;
        }
      }
      timer = setTimeout(() => killGroup(this.#cgroup), graceMs);
    };
    if (signal.aborted) end();
    else signal.addEventListener('abort', end, { once: true });
    try {
      const released = new Promise<undefined>((resolve) => {
        if (this.#release.signal.aborted) resolve(undefined);
        this.#release.signal.addEventListener('abort', () => resolve(undefined), { once: true });
      });
      const reason = await Promise.race([exit, released]);
      if (reason !== undefined) this.#set('exited', this.#host.refusal(this.instance.customer) ?? reason);
    } finally {
      signal.removeEventListener('abort', end);
      clearTimeout(timer);
    }
  }

  /** The container's process 1 as this node numbers it, as long as it is in its group: a number may be given away again. */
  #firstProcess(): number | undefined {
    try {
      const pid = readFileSync(join(this.#directory, 'crun.pid'), 'utf8').trim();
      return readFileSync(join(this.#cgroup, 'cgroup.procs'), 'utf8').split('\n').includes(pid)
        ? Number(pid)
        : undefined;
    } catch {
      return undefined;
    }
  }

  /** A fresh root for each start: nothing that a run wrote outlives it. */
  async #makeRoot(image: ImageLease): Promise<void> {
    const { uidBase } = this.customer;
    for (const directory of [this.#directory, this.#disk]) mkdirSync(directory, { recursive: true, mode: 0o711 });
    if (mountOptions(this.#disk) === undefined) {
      const cap = `size=${writableBytes},nr_inodes=8192,mode=711,nodev,nosuid`;
      await runTool('mount', ['-t', 'tmpfs', '-o', cap, 'tmpfs', this.#disk], { timeoutMs: toolTimeoutMs });
    }
    const upper = join(this.#disk, 'upper');
    const work = join(this.#disk, 'work');
    const root = join(this.#directory, 'root');
    if (mountOptions(root) !== undefined) await unmount([root]);
    for (const path of [upper, work]) {
      await rm(path, { recursive: true, force: true });
      mkdirSync(path);
    }
    mkdirSync(root, { recursive: true });
    const { mode } = statSync(image.path);
    chmodSync(upper, mode & 0o7777);
    chownSync(upper, uidBase, uidBase);
    if (existsSync(join(image.path, 'etc'))) this.#writeNames(join(upper, 'etc'));
    for (const name of ['crun.pid', 'crun.log']) rmSync(join(this.#directory, name), { force: true });
    const layers = `lowerdir=${image.path},upperdir=${upper},workdir=${work},nodev,nosuid`;
    await runTool('mount', ['-t', 'overlay', '-o', layers, 'overlay', root], { timeoutMs: toolTimeoutMs });
  }

  /** Images come without these: an engine is expected to provide them. */
  #writeNames(directory: string): void {
    const { uidBase } = this.customer;
    const { id } = this.instance;
    const names = { hostname: `${id}\n`, hosts: `127.0.0.1 localhost\n127.0.1.1 ${id}\n` };
    mkdirSync(directory, { mode: 0o755 });
    chownSync(directory, uidBase, uidBase);
    for (const [name, text] of Object.entries(names)) {
      writeFileSync(join(directory, name), text, { mode: 0o644 });
      chownSync(join(directory, name), uidBase, uidBase);
    }
  }

  /** Owned by the container's user: programs reopen /dev/stdout by its name. */
  #openLog(stream: 'stdout' | 'stderr'): number {
    const file = join(this.#disk, stream);
    const fd = openSync(file, 'a', 0o600);
    chownSync(file, this.customer.uidBase + this.instance.uid, this.customer.uidBase + this.instance.gid);
    if (!this.#tails.some((tail) => tail.name === stream)) this.#tails.push(this.#tail(stream, 0));
    return fd;
  }

  #openTails(): void {
    const [stdout, stderr] = this.#readOffsets();
    this.#tails = [this.#tail('stdout', stdout ?? 0), this.#tail('stderr', stderr ?? 0)];
  }

  #tail(stream: 'stdout' | 'stderr', offset: number): LogTail {
    const instance = this.instance.id;
    return new LogTail(join(this.#disk, stream), {
      name: stream,
      offset,
      emit: (text) => this.#host.logs.push({ at: performance.now(), instance, stream, text }),
      lost: (bytes) => this.#host.logs.lose(instance, { bytes }),
    });
  }

  /** So that the next agent goes on where this one stopped reading. */
  #keepOffsets(): void {
    writeFileSync(join(this.#directory, 'offsets'), this.#tails.map(({ offset }) => offset).join(' '));
  }

  #readOffsets(): number[] {
    const file = join(this.#directory, 'offsets');
    return existsSync(file) ? readFileSync(file, 'utf8').split(' ').map(Number) : [];
  }

  #record(record: InstanceRecord): void {
    const file = join(this.#directory, 'instance.json');
    writeFileSync(`${file}.new`, JSON.stringify(record), { mode: 0o600 });
    renameSync(`${file}.new`, file);
  }

  /** What every end has in common: nothing in its group, nothing in crun's books, its last lines read. */
  async #closeAfterExit(): Promise<void> {
    if (this.#release.signal.aborted) return;
    killGroup(this.#cgroup);
    const deadline = performance.now() + toolTimeoutMs;
    while (isGroupPopulated(this.#cgroup)) {
      if (performance.now() > deadline)
        throw new Error(`cannot end ${this.instance.id}: a process in its group does not die`);
      await pause(5);
    }
    if (existsSync(join(this.#host.stateDir, 'crun', this.instance.id)))
      await runTool('crun', [...this.#crunOptions(), 'delete', '--force', this.instance.id], {
        timeoutMs: toolTimeoutMs,
      });
    // A group that was killed once must not be used again: Linux (seen with 6.18) kills what is cloned into it from another.
    removeTree(this.#cgroup);
    for (const tail of this.#tails.splice(0)) tail.finish();
    for (const file of [join(this.#disk, 'stdout'), join(this.#disk, 'stderr'), join(this.#directory, 'offsets')])
      rmSync(file, { force: true });
  }

  async #clean(): Promise<void> {
    if (existsSync(this.#directory)) {
      await this.#closeAfterExit();
      await removeRemains(this.#host.stateDir, this.instance.id);
    }
    await this.#host.network.detach(this.instance.id);
  }

  #crunOptions(): string[] {
    return ['--root', join(this.#host.stateDir, 'crun'), '--cgroup-manager=cgroupfs'];
  }

  #crunLog(): string {
    const file = join(this.#directory, 'crun.log');
    return existsSync(file) ? readFileSync(file, 'utf8').trim().slice(-400) : '';
  }

  #wait(ms: number | undefined): Promise<void> {
    return new Promise((resolve) => {
      const timer = ms === undefined ? undefined : setTimeout(resolve, ms);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  #tell(text: string): void {
    this.#host.logs.push({ at: performance.now(), instance: this.instance.id, stream: 'muster', text });
  }

  #set(state: InstanceState, reason: string): void {
    if (this.#state === state && this.#reason === reason) return;
    this.#state = state;
    this.#reason = reason;
    this.#host.changed();
  }
}

/** What the agent before this one knew of an instance; undefined where it had not come as far as starting it. */
export function readRecord(stateDir: string, id: string): InstanceRecord | undefined {
  const file = join(stateDir, 'instances', id, 'instance.json');
  // Written by this program alone, renamed into place before the container runs.
  return existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as InstanceRecord) : undefined;
}

/** Mounts and files; a process must not be there any more. */
export async function removeRemains(stateDir: string, id: string): Promise<void> {
  const directory = join(stateDir, 'instances', id);
  await unmount([join(directory, 'root'), join(directory, 'disk')].filter((path) => mountOptions(path) !== undefined));
  rmSync(directory, { recursive: true, force: true });
}

async function unmount(paths: string[]): Promise<void> {
  if (paths.length === 0) return;
  try {
    await runTool('umount', paths, { timeoutMs: toolTimeoutMs });
  } catch {
    // Another container that starts in this moment holds a copy of our mounts until it has pivoted: let go of ours.
    const left = paths.filter((path) => mountOptions(path) !== undefined);
    if (left.length > 0) await runTool('umount', ['--lazy', ...left], { timeoutMs: toolTimeoutMs });
  }
}
