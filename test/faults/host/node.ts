// One node on this machine: network, mounts, processes and control groups of its own, a cable into the rack's bridge, and
// in it the real leash and the real agent, which got its join token over DHCP and HTTP as a board does.
import type { ChildProcess } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { closeSync, mkdirSync, openSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { killGroup, removeTree } from '../../../agent/containers/groups/control-group.fixture.ts';
import { bridgeOf } from '../../../agent/containers/groups/customer-group.ts';
import { rackAddress, type RackNetwork } from '../../qemu/rack-network.ts';
import { endProcess, startTied } from '../../qemu/tied-process.ts';
import { until } from '../../until.ts';

const inRoom = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

export interface HostNodeOptions {
  number: number;
  network: RackNetwork;
  /** The control group that holds all nodes, as this process sees it. */
  groupRoot: string;
  /** Where the bundled agent is. */
  agentDir: string;
  seccompFile: string;
  logPath: string;
}

export type Part = 'agent' | 'leash' | 'hand';

const programs = { agent: '/agent.mjs', leash: '/leash.sh', hand: '/leash-hand.sh' } as const;

export class HostNode implements AsyncDisposable {
  readonly number: number;
  readonly mac: string;
  /** The end of its cable in the rack's bridge. */
  readonly cable: string;
  readonly group: string;
  readonly #options: HostNodeOptions;
  #process: ChildProcess | undefined;
  #init = 0;

  constructor(options: HostNodeOptions) {
    this.#options = options;
    this.number = options.number;
    this.mac = `02:00:00:00:78:0${options.number}`;
    this.cable = `v${options.number}`;
    this.group = join(options.groupRoot, `node${options.number}`);
  }

  /** A fresh start: nothing of an earlier one is left. Resolves when its first process runs and the cable is in. */
  async powerOn(): Promise<void> {
    const { network, agentDir, seccompFile, logPath } = this.#options;
    mkdirSync(this.group, { recursive: true });
    const enter = `echo $$ >"$0/cgroup.procs"; exec unshare --cgroup --net --mount --pid --fork --kill-child -- "$@"`;
    const environment = [
      `AGENT=${agentDir}`,
      `LEASH=${inRoom('../../../images/node')}`,
      `PRELOAD=${inRoom('preload.mjs')}`,
      `SECCOMP=${seccompFile}`,
      `RACK=${rackAddress}`,
    ];
    const init = ['busybox', 'sh', inRoom('node-init.sh'), this.mac, randomUUID()];
    const log = openSync(logPath, 'a');
    this.#process = await startTied(['env', ...environment, 'sh', '-c', enter, this.group, ...init], {
      stdio: ['ignore', log, log],
    });
    closeSync(log);
    const pid = this.#process.pid ?? 0;
    await until(`node ${this.number} starts`, () => childrenOf(pid).length === 1);
    this.#init = childrenOf(pid)[0] ?? 0;
    const { cable, mac } = this;
    await until(`node ${this.number} has its own network`, () => this.#isApart());
    const lay = [
      `link add ${cable} type veth peer name eth0 address ${mac} netns ${this.#init}`,
      `link set ${cable} master br0 up`,
    ];
    const { code, stderr } = await network.exec(['ip', '-batch', '-'], { input: `${lay.join('\n')}\n` });
    if (code !== 0) throw new Error(`cannot lay the cable of node ${this.number}: ${stderr.trim()}`);
  }

  /** As a power cut would: everything of it is gone at once. */
  async powerOff(): Promise<void> {
    if (this.#process !== undefined) await endProcess(this.#process, 'SIGKILL');
    this.#process = undefined;
    killGroup(this.group);
    await until(`node ${this.number} is off`, () => {
      try {
        removeTree(this.group);
        return true;
      } catch {
        return false;
      }
    });
    // The cable goes with the namespace, a moment later.
    const { network } = this.#options;
    while ((await network.exec(['ip', 'link', 'show', this.cable])).code === 0) await delay(20);
  }

  /** This machine's number of the process; undefined while it does not run. */
  find(part: Part): number | undefined {
    // `chrt` and its like have it among their words, too, until they become it.
    const isIt = (pid: number): boolean => {
      const [program = '', ...words] = commandOf(pid);
      return /(node|busybox)$/.test(program) && words.some((word) => word.endsWith(programs[part]));
    };
    const left = [...childrenOf(this.#init)];
    for (let pid = left.shift(); pid !== undefined; pid = left.shift()) {
      if (isIt(pid)) return pid;
      left.push(...childrenOf(pid));
    }
    return undefined;
  }

  /** Throws where there is no such process. */
  signal(part: Part, signal: NodeJS.Signals): number {
    const pid = this.find(part);
    if (pid === undefined) throw new Error(`node ${this.number} has no ${part}`);
    process.kill(pid, signal);
    return pid;
  }

  /** The control group of a customer here, as this process sees it. */
  groupOf(customer: string): string {
    return join(this.group, 'customers', customer);
  }

  /** A file as this node sees it. */
  read(path: string): Promise<string> {
    return readFile(`/proc/${this.#init}/root${path}`, 'utf8');
  }

  /** Whether the customer's bridge would carry anything. */
  hasTraffic(customer: string): boolean {
    try {
      const flags = readFileSync(`/proc/${this.#init}/root/sys/class/net/${bridgeOf(customer)}/flags`, 'latin1');
      return (Number(flags) & 1) === 1;
    } catch {
      return false;
    }
  }

  /** This machine's numbers of the customer's processes here, at any depth of groups. */
  processesOf(customer: string): number[] {
    return processesBelow(this.groupOf(customer));
  }

  /** UDP datagrams that a socket of this node has got. */
  datagramsIn(): number {
    const line = /^Udp: (\d+)/m.exec(readFileSync(`/proc/${this.#init}/net/snmp`, 'latin1'));
    return Number(line?.[1] ?? 0);
  }

  /** Puts one process of each instance into a group of its own below the instance's. Says how many. */
  nest(customer: string, depth: number): number {
    let nested = 0;
    // The container itself could make none.
    for (const instance of instancesIn(this.groupOf(customer))) {
      const group = join(this.groupOf(customer), instance);
      const pid = processesIn(join(group, 'cgroup.procs')).at(-1);
      if (pid === undefined) continue;
      const below = join(group, ...Array.from({ length: depth }, (_, i) => `deeper${i}`));
      writeFileSync(join(group, 'cgroup.max.descendants'), 'max');
      mkdirSync(below, { recursive: true });
      writeFileSync(join(below, 'cgroup.procs'), String(pid));
      nested++;
    }
    return nested;
  }

  #isApart(): boolean {
    const of = (pid: number | 'self') => readlinkSync(`/proc/${pid}/ns/net`);
    return of(this.#init) !== of('self');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.powerOff();
  }
}

function childrenOf(pid: number): number[] {
  try {
    const text = readFileSync(`/proc/${pid}/task/${pid}/children`, 'latin1').trim();
    return text === '' ? [] : text.split(' ').map(Number);
  } catch {
    return []; // it has just ended
  }
}

function commandOf(pid: number): string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'latin1').split('\0');
  } catch {
    return [];
  }
}

/** None where the group has just gone. */
function processesIn(file: string): number[] {
  try {
    return readFileSync(file, 'latin1')
      .split('\n')
      .flatMap((pid) => (pid === '' ? [] : [Number(pid)]));
  } catch {
    return [];
  }
}

/** Group by group: one may go while they are looked through. */
function processesBelow(group: string): number[] {
  return [
    ...processesIn(join(group, 'cgroup.procs')),
    ...instancesIn(group).flatMap((below) => processesBelow(join(group, below))),
  ];
}

/** None where the group has just gone. */
function instancesIn(group: string): string[] {
  try {
    return readdirSync(group, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map(({ name }) => name);
  } catch {
    return [];
  }
}

/** The letter of /proc/PID/stat: R, S, D, T, Z. */
export function stateOf(pid: number): string {
  try {
    return /^\d+ \(.*\) (\S)/.exec(readFileSync(`/proc/${pid}/stat`, 'latin1'))?.[1] ?? '';
  } catch {
    return ''; // it has just ended
  }
}

/** Of user and system together, in hundredths of a second. */
export function cpuTimeOf(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'latin1')
    .replace(/^.*\) /, '')
    .split(' ');
  return Number(fields[11]) + Number(fields[12]);
}
