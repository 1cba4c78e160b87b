// The faults that need a kernel of their own: two boards in QEMU, the real controller, and the fault on both boards at once, so
// that each run gives two values. See `board-rack.ts` for who sees what, `board-run.ts` for what a run is.
import { setTimeout as delay } from 'node:timers/promises';
import {
  forkBomb,
  freezeUnderIt,
  hangingIn,
  idle,
  killAgentAgainAndAgain,
  memoryHog,
  stubborn,
  swarm,
  throttle,
  uninterruptible,
} from './board-scripts.ts';
import { BoardRack, killed, untilOnBoards, type DrillBoard } from './board-rack.ts';
import { runOnce, type Misdeed } from './board-run.ts';
import { promisedMs, titleOf, type Fault, type FaultRack, type FaultSuite } from './fault.ts';

/** Longer than the promise and than the watchdog’s patience. */
const pauseMs = 6_000;
/** Long enough for a permit to run out. */
const permitMs = 4_000;
/** On each board, of 2 GB and one emulated core; the rest of what 100 would need is not there. */
const manyContainers = 25;

const manyProcesses = 256;

const sh = (script: string): { command: string[] } => ({ command: ['/bin/sh', '-c', script] });
const megabytes = 2 ** 20;

async function agentOf(board: DrillBoard): Promise<string> {
  return (await board.run('pidof node || true')).trim();
}

const step = (seconds: number): string => `date -s @$(( $(date +%s) + ${seconds} ))`;

function stepClock(seconds: number): Pick<Misdeed, 'prepare' | 'heal'> {
  return {
    prepare: async (board) => {
      await board.run(step(seconds));
      await delay(permitMs);
    },
    heal: async (board) => {
      await board.run(step(-seconds));
    },
  };
}

const leashFrozen: Misdeed = {
  before: async (board) => {
    await board.run('kill -STOP $(cat /run/leash/pid)');
  },
  sparesBystander: false,
  resets: 'yes',
};

const processStuck: Misdeed = {
  // Long before the order: beside it another board may be one that its watchdog resets.
  prepare: async (board) => {
    await board.run(uninterruptible(killed));
    await board.run(freezeUnderIt);
    await untilOnBoards(
      'a process to hang in the kernel',
      async () => (await board.run(hangingIn(killed))).trim() !== '0',
    );
  },
  sparesBystander: false,
  resets: 'yes',
  leavesHanging: true,
};

/** That many more on each board. */
export function containers(count: number): Misdeed {
  const small = { memoryBytes: 8 * megabytes, cpu: 0.05, processes: 8 };
  return { extra: { ...sh(idle), replicas: 2 * count, ...small }, sparesBystander: true };
}

/** A container that forks as often as it may have processes. */
export function bomb(processes: number): Misdeed {
  return {
    extra: { ...sh(forkBomb), processes },
    prepare: async (board) => {
      const count = `cat /sys/fs/cgroup/customers/${killed}/pids.current`;
      await untilOnBoards(
        'the fork bomb to be at its limit',
        async () => Number(await board.run(count)) > 0.8 * processes,
      );
    },
    sparesBystander: true,
  };
}

/** A container that asks for more memory than it may have, again and again. */
export function hog(memoryBytes: number): Misdeed {
  return {
    extra: { ...sh(memoryHog), memoryBytes },
    prepare: async (board) => {
      const kills = `grep -h '^oom_kill ' /sys/fs/cgroup/customers/${killed}/memory.events`;
      await untilOnBoards(
        'the kernel to kill for memory',
        async () => Number((await board.run(kills)).split(' ')[1]) > 0,
      );
    },
    sparesBystander: true,
  };
}

const throttled: Misdeed = {
  extra: { ...sh(swarm), processes: 128 },
  prepare: async (board) => {
    const cpu = (await board.run(throttle(killed))).trim();
    if (cpu !== '1000 1000000') throw new Error(`the customer has ${cpu} of the processor, want 1000 1000000`);
  },
  sparesBystander: false,
  resets: 'yes',
};

/** The same with the cable pulled just before the order. */
const andCut = (misdeed: Misdeed): Misdeed => ({
  ...misdeed,
  before: async (board, rack) => {
    await misdeed.before?.(board, rack);
    await board.node.unplug();
  },
  after: async (board) => {
    if (misdeed.resets !== 'yes') return;
    // Its firmware looks for a link a few times, and then waits for a person.
    const fromMs = performance.now();
    await untilOnBoards(`the reset of ${board.ip}`, () => board.resetMs(fromMs) !== undefined);
    await board.node.plug();
  },
  heal: async (board, rack) => {
    if (misdeed.resets !== 'yes') await board.node.plug();
    await misdeed.heal?.(board, rack);
  },
  sparesBystander: false,
  // A board that is cut off tells nobody what its processes do: they count until the reset.
  leavesHanging: false,
});

type Drill = [Omit<Fault, 'where' | 'boundMs'>, Misdeed];

const drills: Drill[] = [
  [
    { number: 1, variant: '', name: 'nothing fails', what: 'Nothing is done beside the order.' },
    { sparesBystander: true },
  ],
  [
    {
      number: 3,
      variant: 'just before the order',
      name: 'link cut',
      what: 'QEMU takes the link of the board’s network card down, then the order is given; the board’s watcher tells the end on the serial line.',
    },
    {
      before: (board) => board.node.unplug(),
      heal: (board) => board.node.plug(),
      sparesBystander: false,
    },
  ],
  [
    {
      number: 3,
      variant: 'just after the order',
      name: 'link cut',
      what: 'QEMU takes the link of the board’s network card down when the order’s answer is there.',
    },
    {
      after: (board) => board.node.unplug(),
      heal: (board) => board.node.plug(),
      sparesBystander: false,
    },
  ],
  [
    {
      number: 5,
      variant: 'back by its supervisor',
      name: 'controller killed (-9) right after it answered',
      what: 'kill -9 of the controller when the order’s answer is there; its supervisor starts it again at once, and the other customer runs on.',
    },
    {
      after: async (board, { rack, boards, away }) => {
        if (board !== boards[0]) return;
        const { pid } = rack.controller;
        away.ms = Infinity; // until it is back
        process.kill(pid, 'SIGKILL');
        await untilOnBoards('another controller', () => rack.controller.pid !== pid);
        // Had the restart cost anybody a permit, it would show by now.
        await delay(permitMs);
      },
      // It takes orders before it serves boards, and its supervisor gives up one that ends before it says that it does.
      heal: async (_board, { rack }) => {
        await untilOnBoards('the controller to serve boards', () => rack.controller.startedInMs > 0);
      },
      sparesBystander: true,
    },
  ],
  [
    {
      number: 7,
      variant: 'and each time it comes back',
      name: 'agent killed (-9)',
      what: 'kill -9 of the agent just before the order, and of each new one that PID 1 starts, until the customer is gone.',
    },
    {
      before: async (board) => {
        const agent = await agentOf(board);
        await board.run(killAgentAgainAndAgain);
        await untilOnBoards(`agent ${agent} to be dead`, async () => (await agentOf(board)) !== agent);
      },
      heal: async (board) => {
        await board.run(': >/run/spare');
      },
      sparesBystander: false,
    },
  ],
  [
    { number: 8, variant: '', name: 'agent frozen (SIGSTOP)', what: 'SIGSTOP to the agent just before the order.' },
    {
      before: async (board) => {
        await board.run('kill -STOP $(pidof node)');
      },
      heal: async (board) => {
        await board.run('kill -CONT $(pidof node)');
      },
      sparesBystander: false,
    },
  ],
  [
    {
      number: 9,
      variant: '',
      name: 'leash killed (-9)',
      what: 'kill -9 of the leash just before the order: PID 1 stops every customer of the board, and starts a new leash.',
    },
    {
      before: async (board) => {
        await board.run('old=$(cat /run/leash/pid); kill -9 $old');
      },
      heal: async (board) => {
        const isBack = 'read -r pid </run/leash/pid; [ $pid != $old ] && [ -d /proc/$pid ] && echo yes || true';
        await untilOnBoards('a new leash', async () => (await board.run(isBack)).trim() === 'yes');
      },
      sparesBystander: false,
    },
  ],
  [
    {
      number: 9,
      variant: '',
      name: 'leash frozen (SIGSTOP)',
      what: 'SIGSTOP to the leash just before the order: the agent stops the customer; nobody feeds the watchdog, which resets the board.',
    },
    leashFrozen,
  ],
  [
    {
      number: 10,
      variant: 'an hour ahead',
      name: 'board’s clock stepped',
      what: 'date -s on the board, 4 s before the order; nobody stops for it.',
    },
    { ...stepClock(3_600), sparesBystander: true },
  ],
  [
    {
      number: 10,
      variant: 'an hour back',
      name: 'board’s clock stepped',
      what: 'date -s on the board, 4 s before the order; nobody stops for it.',
    },
    { ...stepClock(-3_600), sparesBystander: true },
  ],
  [
    {
      number: 11,
      variant: '',
      name: 'fork bomb',
      what: `A container that forks without end, at its limit of ${manyProcesses} processes when the order comes.`,
    },
    bomb(manyProcesses),
  ],
  [
    {
      number: 11,
      variant: 'with the cable pulled',
      name: 'fork bomb',
      what: `The same at its limit of ${manyProcesses} processes, and the link is taken down just before the order.`,
    },
    andCut(bomb(manyProcesses)),
  ],
  [
    {
      number: 11,
      variant: '',
      name: 'memory hog',
      what: 'A container that asks for memory without end, whose processes the kernel kills at the limit of 256 MB again and again.',
    },
    hog(256 * megabytes),
  ],
  [
    {
      number: 11,
      variant: '',
      name: 'processes that resist',
      what: 'Processes that ignore every signal, are stopped, double-forked, in a session of their own, and in nested control groups (which root makes: a container’s are read-only).',
    },
    {
      extra: { ...sh(stubborn), processes: 64 },
      prepare: async (board, { ticks }) => {
        const wanted = ['ignores-signals', 'double-forked', 'own-session'];
        await untilOnBoards('the stubborn processes', () => {
          const labels = ticks.of(board.ip, killed).map(({ label }) => label);
          return wanted.every((label) => labels.includes(label));
        });
        await board.run(`cd /sys/fs/cgroup/customers/${killed} &&
          for group in extra-*/; do echo max >$group/cgroup.max.descendants; mkdir -p $group/a/b; done
          moved=0; for pid in $(cat extra-*/cgroup.procs | tail -n +3); do echo $pid >$group/a/b/cgroup.procs && moved=1; done
          [ $moved = 1 ]`);
      },
      sparesBystander: true,
    },
  ],
  [
    {
      number: 11,
      variant: '',
      name: `${manyContainers + 1} containers on each board`,
      what: `${manyContainers + 1} containers of the customer on each board of 2 GB and one emulated core; to start 100 takes it minutes.`,
    },
    containers(manyContainers),
  ],
  [
    {
      number: 13,
      variant: '',
      name: 'process in uninterruptible sleep',
      what: 'A process of the customer writes to a file system that is frozen under it (fsfreeze) and hangs in the kernel in state D; counted is the last sign of life of any of its processes. The leash resets the board.',
    },
    processStuck,
  ],
  [
    {
      number: 13,
      variant: 'with the cable pulled',
      name: 'process in uninterruptible sleep',
      what: 'The same, and the link is taken down just before the order; counted is the reset of the board by its leash.',
    },
    andCut(processStuck),
  ],
  [
    {
      number: 13,
      variant: '',
      name: 'processes throttled to death',
      what: '60 processes that fork without end in a group that root gave 0.1 % of a processor, which a container cannot do to itself; the leash resets the board.',
    },
    throttled,
  ],
  [
    {
      number: 13,
      variant: 'with the cable pulled',
      name: 'processes throttled to death',
      what: 'The same, and the link is taken down just before the order.',
    },
    andCut(throttled),
  ],
  [
    {
      number: 14,
      variant: 'its clock with it',
      name: 'kernel hung',
      what: `All of the board stands still from before the order until ${pauseMs / 1000} s after it, its clock too; counted from the moment in which it goes on, because nothing runs before.`,
    },
    {
      before: (board) => board.node.pause(),
      after: async (board, { ticks }) => {
        await delay(pauseMs);
        ticks.forgetClock(board.ip);
        const fromMs = performance.now();
        await board.node.resume();
        return fromMs;
      },
      sparesBystander: false,
    },
  ],
  [
    {
      number: 14,
      variant: 'its clock and watchdog run on',
      name: 'kernel hung',
      what: `SIGSTOP to QEMU from before the order until ${pauseMs / 1000} s after it: the board stands still, its clock does not; counted from SIGCONT, after which the leash stops the customer or the watchdog resets the board, whichever is first.`,
    },
    {
      before: (board) => Promise.resolve(void process.kill(board.node.pid, 'SIGSTOP')),
      after: async (board, { ticks }) => {
        await delay(pauseMs);
        ticks.forgetClock(board.ip);
        const fromMs = performance.now();
        process.kill(board.node.pid, 'SIGCONT');
        return fromMs;
      },
      sparesBystander: false,
    },
  ],
  [
    {
      number: 17,
      variant: '',
      name: 'node starts while the order stands',
      what: 'The board is reset before the order and boots while it stands; then its agent is killed and joins again. It starts the other customer, never the killed one.',
    },
    { before: (board) => board.node.reset(), sparesBystander: false, resets: 'before the order' },
  ],
];

const where = 'qemu';
const faults: Fault[] = drills.map(([fault]) => ({ ...fault, where, boundMs: promisedMs }));

export const qemuSuite: FaultSuite = {
  where,
  faults,
  open: async (options) => {
    const boards = await BoardRack.open(options);
    return {
      run: (fault) =>
        runOnce(
          boards,
          boards.boards.map(() => misdeedOf(titleOf(fault))),
        ),
      [Symbol.asyncDispose]: () => boards[Symbol.asyncDispose](),
    } satisfies FaultRack;
  },
};

/** The misdeed of the fault of that title, to be done to one board: a test saves time by doing another one to the other. */
export function misdeedOf(title: string): Misdeed {
  const drill = drills.find(([fault]) => titleOf(fault) === title);
  if (drill === undefined) throw new Error(`there is no fault ${title} on boards`);
  return drill[1];
}
