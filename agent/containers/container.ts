// One instance on this node, from its image to its last exit. A loop of its own:
//
//   fetching ─► starting ─► running ─► exited ─► (0.5 s, doubled up to 30 s) ─► fetching …
//      └──────────┴─► failed ─► (the same pause) …          stopped: its customer may not run; waits to be allowed
//
// Its files and mounts are those of its bundle (`oci/bundle.ts`); crun is called by `oci/crun.ts`.
import { chownSync, closeSync, existsSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import type { DesiredCustomer, DesiredInstance, InstanceReport } from '../../protocol/api/agent.ts';
import type { ContainerConfiguration, InstanceState } from '../../protocol/api/instances.ts';
import type { CheckPaces, Checking } from '../checks/checking.ts';
import type { ContainerUser } from '../../protocol/container/container-user.ts';
import { Bundle, type InstanceRecord, stopRequest, type StopRequest } from './oci/bundle.ts';
import { CrunRun, execFailure, forgetContainer, killedForMemory, StartError } from './oci/crun.ts';
import { whyNotExecuted } from './oci/executable.ts';
import { expectFirstProcess, firstProcessFile, signalFirstProcess } from './oci/first-process.ts';
import { isGroupPopulated, killGroup, removeTree } from './groups/control-group.ts';
import type { ConfigurationCache } from './cache/configuration-cache.ts';
import type { CustomerGroup } from './groups/customer-group.ts';
import type { ImageCache } from './cache/image-cache.ts';
import type { LogQueue } from './output/log-queue.ts';
import { cleanLine } from './output/line-splitter.ts';
import { OutputPipe, outputStreams } from './output/output-pipe.ts';
import type { ReadBudget } from './output/read-budget.ts';
import { addressOf, type Attachment, type Network, namespacePath } from './network.ts';
import { startInstanceChecks } from './instance-checks.ts';
import { containerUser } from './oci/container-user.ts';
import { hardLimits, ociConfig } from './oci/oci-config.ts';
import type { Semaphore } from './semaphore.ts';
import { explain } from './tool.ts';

/** What the runtime lends to each of its containers. */
export interface ContainerHost {
  cgroupRoot: string;
  stateDir: string;
  firstProcessDirectory: string;
  images: ImageCache;
  configurations: ConfigurationCache;
  network: Network;
  /** Starts and clean-ups that run at once. */
  semaphore: Semaphore;
  logs: LogQueue;
  readBudget: ReadBudget;
  checkPaces: CheckPaces;
  nodeName(): string;
  /** The `linux.seccomp` object. Throws where the node has none. */
  seccomp(): unknown;
  /** Why a customer may not run now; undefined where it may. */
  refusal(customer: string): string | undefined;
  group(customer: string): CustomerGroup;
  /** Makes the group and sets its limits; which controllers there are. Throws where the node wants more. */
  prepare(customer: DesiredCustomer): Promise<{ cpu: boolean; memory: boolean; pids: boolean }>;
  /** Resolves when no removal of the customer's bridge and group is under way. */
  settled(customer: string): Promise<void>;
  changed(): void;
  log(text: string): void;
}

const killTimeoutMs = 10_000;
const firstPauseMs = 500;
const longestPauseMs = 30_000;
const steadyAfterMs = 30_000;
const adoptedPollMs = 200;
const lastWordsCharacters = 160;

export class Container {
  readonly instance: DesiredInstance;
  readonly finished: Promise<void>;
  customer: DesiredCustomer;
  readonly #host: ContainerHost;
  readonly #bundle: Bundle;
  readonly #cgroup: string;
  readonly #firstProcessFile: string;
  readonly #removal = new AbortController();
  readonly #release = new AbortController();
  #state: InstanceState = 'placed';
  #reason = '';
  #starts = 0;
  /** A crun at work whose container does not run yet. */
  #starting: CrunRun | undefined;
  #wake: () => void = () => undefined;
  #isRefused = false;
  #endedFor: string | undefined;
  #stop: StopRequest;
  /** Of its image, which does not change: read once, however often it starts. */
  #user: ContainerUser | undefined;
  #unexecuted: { why: string | undefined } | undefined;
  #output: OutputPipe[] = [];
  /** The last line of what ended last, of stderr where it said anything there. */
  #lastWords = '';
  /** While it runs, where it has checks. */
  #checking: Checking | undefined;

  constructor(
    host: ContainerHost,
    wanted: { instance: DesiredInstance; customer: DesiredCustomer; adopted?: InstanceRecord },
  ) {
    this.#host = host;
    this.instance = wanted.instance;
    this.customer = wanted.customer;
    this.#bundle = new Bundle(host.stateDir, wanted.instance.id);
    this.#cgroup = join(host.cgroupRoot, 'customers', wanted.instance.customer, wanted.instance.id);
    this.#firstProcessFile = firstProcessFile(host.firstProcessDirectory, wanted.instance);
    this.#starts = wanted.adopted?.starts ?? 0;
    this.#stop = wanted.adopted?.stop ?? stopRequest({});
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
    const isRunning = this.#state === 'running';
    const unready = isRunning ? (this.#checking?.reason ?? '') : '';
    return {
      id: this.instance.id,
      state: this.#state,
      reason: (unready === '' ? this.#reason : `not ready: ${unready}`).slice(0, 500),
      ready: isRunning && !this.isRemoved && unready === '',
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
    this.#starting?.kill();
  }

  /** Its stop signal, its grace period, SIGKILL, and everything of it away; `finished` resolves then. */
  remove(): void {
    this.#removal.abort(new Error('removed'));
    // What ends on its own terms need not be well any more.
    this.#checking?.[Symbol.dispose]();
    this.#wake();
  }

  /** Kills what runs now; it starts again after its pause. */
  endFor(reason: string): void {
    this.#endedFor = reason;
    void this.#kill();
  }

  /** Leaves the container running and ends the agent's part. */
  release(): void {
    this.#release.abort(new Error('the agent ends'));
    this.#wake();
  }

  async #live(adopted: InstanceRecord | undefined): Promise<void> {
    const over = AbortSignal.any([this.#removal.signal, this.#release.signal]);
    let pauseMs = firstPauseMs;
    let next: (() => Promise<void>) | undefined = adopted && (() => this.#runAdopted(adopted));
    while (!over.aborted) {
      const refusal = next ? undefined : this.#host.refusal(this.instance.customer);
      if (refusal !== undefined) {
        // Nothing of it was stopped where it never began: its first permit comes some ms after its placement.
        if (this.#state === 'placed' && refusal !== 'killed') this.#set('placed', 'waits for its first permit');
        else this.#set('stopped', refusal);
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
      const again = `${this.#reason}; again in ${pauseMs / 1000} s`;
      const words = this.#state === 'exited' && this.#endedFor === undefined ? this.#lastWords : '';
      this.#set(this.#state, words === '' ? again : `${again}: ${words}`);
      this.#tell(again);
      await this.#wait(pauseMs);
      pauseMs = Math.min(longestPauseMs, pauseMs * 2);
    }
    if (this.#release.signal.aborted) {
      for (const pipe of this.#output.splice(0)) pipe.close();
      return;
    }
    this.#set('stopped', 'removed');
    try {
      using _acquired = await this.#host.semaphore.acquire(this.#release.signal);
      await this.#clean();
    } catch (error) {
      if (!this.#release.signal.aborted) this.#host.log(`cannot clean up after ${this.instance.id}: ${explain(error)}`);
    }
  }

  /** From the image to the exit. Throws where it does not come to run. */
  async #run(over: AbortSignal): Promise<void> {
    const { instance, customer } = this;
    const { network } = this.#host;
    this.#endedFor = undefined;
    this.#lastWords = '';
    this.#set('fetching', '');
    const configuration = await this.#host.configurations.get(instance.configuration, over);
    if (configuration.args.length === 0) throw new Error('no command: neither the workload nor its image names one');
    using image = await this.#host.images.acquire(instance.squashfs, { uidBase: customer.uidBase, signal: over });
    const user = (this.#user ??= containerUser(image.path, { ...instance, ...configuration }));
    this.#stop = stopRequest(configuration);
    let exit: Promise<string>;
    {
      using _acquired = await this.#host.semaphore.acquire(over);
      this.#set('starting', '');
      const seccomp = this.#host.seccomp();
      await this.#host.settled(instance.customer);
      const attachment = network.allot(instance);
      await this.#bundle.makeRoot(image, { uidBase: customer.uidBase, address: addressOf(attachment) });
      if (!existsSync(namespacePath(instance.id))) await network.attach(attachment, customer);
      if (over.aborted || this.#host.refusal(instance.customer) !== undefined) return;
      const controllers = await this.#host.prepare(customer);
      // The bridge may be new, and is built switched off.
      await this.#host.group(instance.customer).allow();
      const configured = { ...instance, ...configuration };
      const config = ociConfig(configured, {
        uidBase: customer.uidBase,
        user,
        nodeName: this.#host.nodeName(),
        rootDirectory: this.#bundle.root,
        names: this.#bundle.names,
        networkNamespace: namespacePath(instance.id),
        cgroupRoot: this.#host.cgroupRoot,
        firstProcessFile: this.#firstProcessFile,
        seccomp,
        controllers,
        hardLimits: hardLimits(readFileSync('/proc/self/limits', 'utf8')),
      });
      this.#bundle.writeConfig(config);
      expectFirstProcess(this.#host.firstProcessDirectory, instance);
      await removeTree(this.#cgroup);
      if (over.aborted || this.#host.refusal(instance.customer) !== undefined) return;
      this.#starts++;
      // Before it runs, so that no container is ever unknown to the next agent.
      this.#bundle.saveRecord({ instance, customer, attachment, starts: this.#starts, stop: this.#stop });
      const run = this.#startCrun(user);
      exit = run.ended;
      await this.#started(run, configuration);
      this.#check(configuration, { attachment, adopted: false });
    }
    await this.#untilExit(exit);
    await this.#closeAfterExit();
  }

  #startCrun({ uid, gid }: ContainerUser): CrunRun {
    const { stateDir } = this.#host;
    const group = this.#host.group(this.instance.customer);
    const open = (stream: 'stdout' | 'stderr'): number => {
      const file = this.#bundle.outputFile(stream);
      chownSync(file, this.customer.uidBase + uid, this.customer.uidBase + gid);
      return OutputPipe.openForContainer(file);
    };
    const streams: [number, number, number] = [this.#bundle.openInput(), open('stdout'), open('stderr')];
    try {
      this.#openOutput();
      const memoryKills = () => group.settleMemoryKills(this.instance.id);
      return new CrunRun(this.#bundle, { stateDir, streams, memoryKills });
    } finally {
      streams.forEach((fd) => closeSync(fd));
    }
  }

  /** Until its program has been executed. Throws, with everything of it away, where it never was. */
  async #started(run: CrunRun, configuration: ContainerConfiguration): Promise<void> {
    this.#starting = run;
    const stderr = this.#output.at(-1);
    try {
      const isSeen = await run.started();
      if (!isSeen) {
        await this.#closeAfterExit();
        if (execFailure.test(stderr?.lastLine ?? '')) throw new StartError(stderr?.lastLine ?? '');
      }
    } catch (error) {
      await this.#closeAfterExit();
      throw error instanceof StartError ? this.#explained(error, configuration) : error;
    } finally {
      this.#starting = undefined;
    }
    if (this.#host.refusal(this.instance.customer) !== undefined) await this.#host.group(this.instance.customer).kill();
    this.#set('running', '');
  }

  #explained(error: StartError, { args: [program = ''], env, workingDir }: ContainerConfiguration): Error {
    const execution = { program, env, workingDir, machine: process.arch };
    const { why } = (this.#unexecuted ??= { why: whyNotExecuted(this.#bundle.root, execution) });
    return why === undefined ? error : new StartError(why);
  }

  #check(
    configuration: ContainerConfiguration,
    { attachment, adopted }: { attachment: Attachment; adopted: boolean },
  ): void {
    if (this.isRemoved) return;
    const { stateDir, checkPaces: paces } = this.#host;
    const bundle = this.#bundle;
    const changed = () => this.#host.changed();
    const restart = (reason: string) => this.endFor(reason);
    const about = { configuration, attachment, adopted, bundle, stateDir };
    this.#checking = startInstanceChecks({ ...about, paces, changed, restart });
  }

  async #runAdopted(record: InstanceRecord): Promise<void> {
    using _held = this.#host.images.hold(record.instance.squashfs.sha256, record.customer.uidBase);
    this.#openOutput();
    // A monitor without a process in the group had not come far: nothing of the customer runs, begin again.
    if (!isGroupPopulated(this.#cgroup)) {
      await this.#closeAfterExit();
      throw new Error('ended while no agent was there');
    }
    this.#set('running', 'adopted');
    void this.#checkAdopted(record);
    await this.#untilExit(this.#emptied());
    await this.#closeAfterExit();
  }

  /** Its configuration is on this node, but for one that a full disk or a hurried end left out. */
  async #checkAdopted({ instance, attachment }: InstanceRecord): Promise<void> {
    try {
      const over = AbortSignal.any([this.#removal.signal, this.#release.signal]);
      const configuration = await this.#host.configurations.get(instance.configuration, over);
      if (this.#state === 'running') this.#check(configuration, { attachment, adopted: true });
    } catch (error) {
      if (!this.#release.signal.aborted) this.#host.log(`cannot check ${instance.id}: ${explain(error)}`);
    }
  }

  async #emptied(): Promise<string> {
    while (isGroupPopulated(this.#cgroup) && !this.#release.signal.aborted) await pause(adoptedPollMs);
    const kills = this.#host.group(this.instance.customer).settleMemoryKills(this.instance.id);
    return `ended; its status went to an earlier agent${killedForMemory(kills)}`;
  }

  /** Until the exit, or the agent's end. A removal asks first and then kills. */
  async #untilExit(exit: Promise<string>): Promise<void> {
    const { signal } = this.#removal;
    let timer: NodeJS.Timeout | undefined;
    const end = () => {
      signalFirstProcess(this.#firstProcessFile, this.#stop.signal);
      timer = setTimeout(() => void this.#kill(), this.#stop.graceMs);
    };
    if (signal.aborted) end();
    else signal.addEventListener('abort', end, { once: true });
    try {
      const released = new Promise<undefined>((resolve) => {
        if (this.#release.signal.aborted) resolve(undefined);
        this.#release.signal.addEventListener('abort', () => resolve(undefined), { once: true });
      });
      const reason = await Promise.race([exit, released]);
      if (reason !== undefined)
        this.#set('exited', this.#host.refusal(this.instance.customer) ?? this.#endedFor ?? reason);
    } finally {
      signal.removeEventListener('abort', end);
      clearTimeout(timer);
      this.#checking?.[Symbol.dispose]();
      this.#checking = undefined;
    }
  }

  async #kill(): Promise<void> {
    try {
      signalFirstProcess(this.#firstProcessFile, 'SIGKILL');
      await killGroup(this.#cgroup);
    } catch (error) {
      this.#host.log(`cannot kill ${this.instance.id}: ${explain(error)}`);
    }
  }

  #openOutput(): void {
    const { logs: queue, readBudget: budget } = this.#host;
    const instance = this.instance.id;
    for (const stream of outputStreams)
      this.#output.push(new OutputPipe({ file: this.#bundle.outputFile(stream), instance, stream, queue, budget }));
  }

  /** What every end has in common: nothing in its group, nothing in crun's books, its last lines read. */
  async #closeAfterExit(): Promise<void> {
    if (this.#release.signal.aborted) return;
    await this.#kill();
    const deadline = performance.now() + killTimeoutMs;
    while (isGroupPopulated(this.#cgroup)) {
      if (performance.now() > deadline)
        throw new Error(`cannot end ${this.instance.id}: a process in its group does not die`);
      await pause(5);
    }
    rmSync(this.#firstProcessFile, { force: true });
    await forgetContainer(this.#host.stateDir, this.instance.id);
    // A group that was killed once must not be used again: Linux (seen with 6.18) kills what is cloned into it from another.
    await removeTree(this.#cgroup);
    const pipes = this.#output.splice(0);
    for (const pipe of pipes) pipe.finish();
    const words = pipes.map(({ lastLine }) => (cleanLine(lastLine)[0] ?? '').trim().slice(0, lastWordsCharacters));
    this.#lastWords = words.findLast((text) => text !== '') ?? this.#lastWords;
  }

  async #clean(): Promise<void> {
    if (this.#bundle.exists()) {
      await this.#closeAfterExit();
      await this.#bundle.remove();
    }
    await this.#host.network.detach(this.instance.id);
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
