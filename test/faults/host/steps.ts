// What the faults on this machine do, and how it is known that they did it: steps for `drill.ts`.
import { setTimeout as delay } from 'node:timers/promises';
import { startBusyRack } from './busy-rack.ts';
import { drill, type Steps } from './drill.ts';
import { promisedMs, type Run } from '../fault.ts';
import { cpuTimeOf, stateOf, type HostNode, type Part } from './node.ts';
import { areCut, healLosses, lose, lost, plugCables, pullCables, type Losses } from './links.ts';
import { monotonicMs } from './observer.ts';
import { keyOf, ordinary, type Rig } from './rig.ts';
import { until } from '../../until.ts';

/** Two of three: the third shows that a fault elsewhere harms nobody here. */
const firstTwo = (rig: Rig): readonly HostNode[] => rig.nodes.slice(0, 2);

export function losing(rig: Rig, losses: Losses): Steps {
  const struck = firstTwo(rig);
  return {
    struck: firstTwo,
    before: () => lose(rig, { nodes: struck, ...losses }),
    async verify() {
      // One rule for each node and direction; a controller that is silent for want of heartbeats has nothing to lose.
      await until('frames are lost', async () => (await lost(rig)).every((count) => count > 0), { withinMs: 5_000 });
      return undefined;
    },
    heal: () => healLosses(rig),
    boltMayStop: 'on struck nodes',
  };
}

export function cutting(rig: Rig, when: 'before' | 'after'): Steps {
  const struck = firstTwo(rig);
  return {
    struck: firstTwo,
    [when]: () => pullCables(rig, struck),
    async verify() {
      if (!(await areCut(rig, struck))) throw new Error('the cables are not cut');
      return undefined;
    },
    heal: () => plugCables(rig, struck),
    boltMayStop: 'on struck nodes',
  };
}

export function controllerDies(rig: Rig, backAfterMs: number | undefined): Steps {
  let back: Promise<void> = Promise.resolve();
  return {
    async after() {
      await rig.controller.kill9();
      if (backAfterMs !== undefined) back = delay(backAfterMs).then(() => rig.controller.start());
    },
    async verify() {
      if (backAfterMs === undefined && rig.controller.isRunning) throw new Error('the controller is not dead');
      return Promise.resolve(undefined);
    },
    async heal() {
      await back;
      if (!rig.controller.isRunning) await rig.controller.start();
    },
    boltMayStop: 'anywhere',
  };
}

export function controllerFreezes(rig: Rig): Steps {
  return {
    after: () => Promise.resolve(void process.kill(rig.controller.pid, 'SIGSTOP')),
    async verify() {
      await until('the controller is frozen', () => stateOf(rig.controller.pid) === 'T', { withinMs: 1_000 });
      return undefined;
    },
    heal: () => Promise.resolve(void process.kill(rig.controller.pid, 'SIGCONT')),
    boltMayStop: 'anywhere',
  };
}

/** Kills it now, and each time that it is back, until told to end. Says how often. */
function keepKilling(struck: readonly HostNode[], part: Part): { end: () => Promise<number[]> } {
  const ended = new AbortController();
  const killing = Promise.all(
    struck.map(async (node) => {
      let kills = 0;
      let last = 0;
      while (!ended.signal.aborted) {
        const pid = node.find(part);
        if (pid !== undefined && pid !== last && kill(pid)) {
          kills++;
          last = pid;
        }
        await delay(20);
      }
      return kills;
    }),
  );
  return {
    end: () => {
      ended.abort();
      return killing;
    },
  };
}

/** False where it has just ended by itself. */
function kill(pid: number): boolean {
  try {
    process.kill(pid, 'SIGKILL');
    return true;
  } catch {
    return false;
  }
}

export function agentDies(rig: Rig): Steps {
  const struck = firstTwo(rig);
  const killed = new Map<HostNode, number>();
  return {
    struck: firstTwo,
    before() {
      for (const node of struck) killed.set(node, node.signal('agent', 'SIGKILL'));
      return Promise.resolve();
    },
    async verify() {
      for (const node of struck) {
        await until(`the agent of node ${node.number} is back`, () => node.find('agent') !== undefined);
        if (node.find('agent') === killed.get(node)) throw new Error(`the agent of node ${node.number} was not killed`);
      }
      return undefined;
    },
    boltMayStop: 'on struck nodes',
  };
}

export function agentKeepsDying(rig: Rig): Steps {
  const struck = firstTwo(rig);
  let killing = { end: () => Promise.resolve<number[]>([]) };
  return {
    struck: firstTwo,
    before() {
      killing = keepKilling(struck, 'agent');
      return Promise.resolve();
    },
    async verify() {
      // Long enough to have met it twice: it comes back after a second.
      await delay(2_000);
      const kills = await killing.end();
      if (kills.some((count) => count < 2))
        throw new Error(`agents were killed ${kills.join(' and ')} times, want 2 and more`);
      return undefined;
    },
    heal: async () => void (await killing.end()),
    boltMayStop: 'on struck nodes',
  };
}

export function agentFreezes(rig: Rig): Steps {
  const struck = firstTwo(rig);
  const frozen: number[] = [];
  return {
    struck: firstTwo,
    before() {
      for (const node of struck) frozen.push(node.signal('agent', 'SIGSTOP'));
      return Promise.resolve();
    },
    verify() {
      for (const pid of frozen) if (stateOf(pid) !== 'T') throw new Error(`agent ${pid} is not frozen`);
      return Promise.resolve(undefined);
    },
    heal() {
      for (const pid of frozen) process.kill(pid, 'SIGCONT');
      return Promise.resolve();
    },
    boltMayStop: 'on struck nodes',
  };
}

export function agentBlocks(rig: Rig): Steps {
  const struck = firstTwo(rig);
  const before = new Map<number, { cpu: number; atMs: number }>();
  return {
    struck: firstTwo,
    async before() {
      for (const node of struck) {
        const pid = node.signal('agent', 'SIGUSR2');
        before.set(pid, { cpu: cpuTimeOf(pid), atMs: monotonicMs() });
      }
      // The signal is handled in a turn of the loop: the next one is the last.
      await delay(50);
    },
    verify() {
      for (const [pid, { cpu, atMs }] of before) {
        const spent = (10 * (cpuTimeOf(pid) - cpu)) / (monotonicMs() - atMs);
        if (spent < 0.1)
          throw new Error(`agent ${pid} is not blocked: it used ${(100 * spent).toFixed(0)} % of a core`);
      }
      return Promise.resolve(undefined);
    },
    boltMayStop: 'on struck nodes',
  };
}

export function leashDies(rig: Rig): Steps {
  const struck = firstTwo(rig);
  const killed = new Map<HostNode, number>();
  return {
    struck: firstTwo,
    before() {
      for (const node of struck) killed.set(node, node.signal('leash', 'SIGKILL'));
      return Promise.resolve();
    },
    async verify() {
      for (const node of struck)
        await until(`node ${node.number} has a new leash`, () => {
          const pid = node.find('leash');
          return pid !== undefined && pid !== killed.get(node);
        });
      return undefined;
    },
    boltMayStop: 'on struck nodes',
  };
}

export async function hundredContainers(rig: Rig): Promise<Run> {
  const replicas = 99;
  await rig.deploy('acme', { replicas, command: ordinary });
  try {
    await until(
      `${replicas} containers run`,
      async () => (await rig.instances('acme')).filter(({ state }) => state === 'running').length === replicas,
      { withinMs: 180_000, everyMs: 200 },
    );
    return await drill(rig, {});
  } finally {
    await rig.deploy('acme', { replicas: rig.nodes.length, command: ordinary });
    await until('the others are gone', async () => (await rig.instances('acme')).length === rig.nodes.length, {
      withinMs: 60_000,
      everyMs: 100,
    });
  }
}

/** Ignores what can be ignored, is stopped, has forked itself away twice, and leads a session of its own. */
const stubborn = [
  '/bin/sh',
  '-c',
  `trap '' HUP INT QUIT TERM USR1 USR2 PIPE ALRM
   for i in 1 2 3; do busybox setsid busybox sh -c '(sleep 100000 &) & sleep 100000' & done
   for i in 1 2 3; do sleep 100000 & busybox kill -STOP $!; done
   while :; do sleep 100000; done`,
];
const stubbornProcesses = 10;

export async function stubbornProcessesDie(rig: Rig): Promise<Run> {
  await rig.deploy('acme', { replicas: rig.nodes.length, command: stubborn });
  try {
    await rig.allRun();
    let nested = 0;
    return await drill(rig, {
      async before() {
        for (const node of rig.nodes) {
          const states = (): string => node.processesOf('acme').map(stateOf).join('');
          await until(
            'they have multiplied and are stopped',
            () => states().length >= stubbornProcesses && states().split('T').length > 3,
          );
          nested += node.nest('acme', 3);
        }
        if (nested < rig.nodes.length)
          throw new Error(`${nested} processes are in groups of their own, want ${rig.nodes.length}`);
      },
    });
  } finally {
    await rig.deploy('acme', { replicas: rig.nodes.length, command: ordinary });
    await rig.allRun();
  }
}

export async function startsInFlight(rig: Rig): Promise<Run> {
  const replicas = 8 * rig.nodes.length;
  try {
    return await drill(rig, {
      async before() {
        await rig.deploy('acme', { replicas, command: ordinary });
        const seen = async () => (await rig.instances('acme')).filter(({ state }) => state === 'running').length;
        await until('the first new ones run', async () => (await seen()) > rig.nodes.length);
        await delay(Math.random() * 200);
        const running = await seen();
        if (running >= replicas) throw new Error('no start is in flight any more');
      },
    });
  } finally {
    await rig.deploy('acme', { replicas: rig.nodes.length, command: ordinary });
    await until('the others are gone', async () => (await rig.instances('acme')).length === rig.nodes.length, {
      withinMs: 60_000,
      everyMs: 100,
    });
  }
}

export function joining(rig: Rig): Steps {
  const [board, restarted] = rig.nodes;
  if (board === undefined || restarted === undefined) throw new Error('want two nodes');
  let before: number | undefined;
  return {
    struck: firstTwo,
    async before() {
      await board.powerOff();
      await board.powerOn();
      before = restarted.signal('agent', 'SIGKILL');
      // Anywhere between its first DHCP packet and its first permit.
      await delay(Math.random() * 2_500);
    },
    async verify({ acceptedMs }) {
      await rig.allReady();
      await until('bolt runs on the node that started', () => rig.observer.isPopulated(keyOf(board, 'bolt')), {
        withinMs: 60_000,
      });
      if (restarted.find('agent') === before) throw new Error('the agent was not restarted');
      const late = rig.observer.changes(keyOf(board, 'acme'), acceptedMs + promisedMs);
      if (late.some(({ populated }) => populated))
        throw new Error('a node that joined started acme while the order stood');
      return undefined;
    },
    boltMayStop: 'on struck nodes',
  };
}

export async function underFullLoad(rig: Rig): Promise<Run> {
  const flood = ['/bin/sh', '-c', 'while :; do echo what a customer prints all day long; done'];
  await rig.deploy('bolt', { replicas: rig.nodes.length, command: flood });
  try {
    await rig.allRun();
    await using busy = await startBusyRack(rig);
    await until(
      'the rack is busy',
      () => ['leases', 'downloads', 'files', 'bytes'].every((key) => (busy.done[key] ?? 0) > 0),
      { withinMs: 180_000 },
    );
    await rig.allRun();
    return await drill(rig, {
      verify: () => Promise.resolve(undefined),
    });
  } finally {
    await rig.deploy('bolt', { replicas: rig.nodes.length, command: ordinary });
    await rig.allRun();
  }
}
