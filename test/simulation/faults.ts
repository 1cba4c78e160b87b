// What can fail, one thing a run. Each fault begins around the time of the order and is over when everything heals.
import type { Board } from './board.ts';
import { type Direction, fairWeather, type Weather } from './network.ts';
import type { Random } from './random.ts';
import type { World } from './world.ts';

export interface FaultTimes {
  /** Ms from now. */
  begin: number;
  /** When it is over, if before everything heals. */
  end: number;
}

/** When it is to begin and to end in this run, and what it draws from. */
interface Course extends FaultTimes {
  random: Random;
}

interface Fault {
  /** How many in a hundred or so runs. */
  weight: number;
  /** How long the world stays ill after the order, at least. */
  lastsMs?: number;
  /** Unkilled customers on healthy boards run through it: no datagram is lost, no gap is as long as a permit. */
  isCalm?: (times: FaultTimes) => boolean;
  begin: (world: World, course: Course) => void;
}

const always = (): boolean => true;

export const faults: Record<string, Fault> = {
  nothing: { weight: 6, isCalm: always, begin: () => undefined },
  weather: {
    weight: 12,
    begin: (world, { random }) => {
      world.network.weather = {
        loss: random.pick([0.1, 0.2, 0.3, 0.3, 0.5]),
        duplication: random.between(0, 0.2),
        replay: random.between(0, 0.1),
        forgery: random.between(0, 0.1),
        delayMs: random.between(0.1, 50),
        jitterMs: random.pick([1, 20, 200]),
        spike: random.between(0, 0.1),
        spikeMs: 10_000,
      };
    },
  },
  'a cut cable': {
    weight: 8,
    begin: (world, { random, ...times }) =>
      cut(world, { boards: some(world, random), directions: ['up', 'down'], ...times }),
  },
  'a cut switch': {
    weight: 5,
    begin: (world, times) => cut(world, { ...times, boards: world.boards, directions: ['up', 'down'] }),
  },
  'a long cut': {
    weight: 3,
    lastsMs: 45_000,
    begin: (world, { random, begin }) =>
      cut(world, {
        boards: some(world, random),
        directions: ['up', 'down'],
        begin: Math.min(0, begin),
        end: Infinity,
      }),
  },
  'boards are not heard': {
    weight: 6,
    begin: (world, { random, ...times }) => cut(world, { boards: some(world, random), directions: ['up'], ...times }),
  },
  'boards hear nothing': {
    weight: 6,
    begin: (world, { random, ...times }) => cut(world, { boards: some(world, random), directions: ['down'], ...times }),
  },
  'the controller is killed': {
    weight: 10,
    isCalm: ({ begin, end }) => end - begin <= 300,
    begin: (world, { begin, end }) => {
      world.whileIll(begin, () => world.killController());
      // Starting takes up to 0.9 s of its own.
      world.whileIll(end, () => {
        if (world.controller === undefined) world.startController();
      });
    },
  },
  'the controller is frozen': {
    weight: 8,
    isCalm: ({ begin, end }) => end - begin <= 1_400,
    begin: (world, { begin, end }) => {
      world.whileIll(begin, () => {
        world.timeline.tell('controller', 'frozen');
        world.controller?.program.freeze();
      });
      world.whileIll(end, () => {
        world.timeline.tell('controller', 'goes on');
        world.controller?.program.thaw();
      });
    },
  },
  'the disk is full': {
    weight: 4,
    isCalm: always,
    begin: (world, { begin, end }) => {
      world.whileIll(begin, () => {
        world.disk.isFull = true;
      });
      world.whileIll(end, () => {
        world.disk.isFull = false;
      });
    },
  },
  'the disk is slow': {
    weight: 4,
    isCalm: always,
    begin: (world, { random, begin }) =>
      world.whileIll(begin, () => {
        world.disk.extraMs = random.between(100, 3_000);
      }),
  },
  'the clock is stepped': {
    weight: 3,
    isCalm: always,
    begin: (world, { random, begin }) =>
      world.whileIll(begin, () => {
        world.wallClockStepMs = random.pick([-3_600_000, 3_600_000]);
      }),
  },
  'agents are killed': {
    weight: 8,
    begin: (world, { random, begin }) => {
      const again = random.chance(0.5);
      for (const board of some(world, random)) {
        const kill = (): void => {
          board.killAgent();
          if (again) world.whileIll(random.between(500, 4_000), () => (world.isIll ? kill() : undefined));
        };
        world.whileIll(begin + random.between(0, 100), kill);
      }
    },
  },
  'agents are frozen': {
    weight: 8,
    begin: (world, { random, begin, end }) => {
      for (const board of some(world, random)) {
        world.whileIll(begin, () => {
          board.tell('agent frozen');
          board.agent?.program.freeze();
        });
        world.whileIll(end, () => board.agent?.program.thaw());
      }
    },
  },
  'leashes are killed': {
    weight: 4,
    begin: (world, { random, begin }) => {
      for (const board of faulty(some(world, random))) world.whileIll(begin, () => board.killLeash());
    },
  },
  'leashes are frozen': {
    weight: 4,
    begin: (world, { random, begin, end }) => {
      for (const board of faulty(some(world, random))) {
        world.whileIll(begin, () => board.freezeLeash());
        world.whileIll(end, () => board.thawLeash());
      }
    },
  },
  'kernels hang': {
    weight: 6,
    begin: (world, { random, begin, end }) => {
      for (const board of faulty(some(world, random))) {
        world.whileIll(begin, () => board.hang());
        world.whileIll(random.chance(0.7) ? begin + random.between(50, 3_200) : end, () => board.wake());
      }
    },
  },
  'boards lose power': {
    weight: 5,
    begin: (world, { random, begin }) => {
      for (const board of faulty(some(world, random))) world.whileIll(begin, () => board.reset('no power'));
    },
  },
  'a process sleeps in the kernel': {
    weight: 3,
    begin: (world, { random }) => {
      for (const board of faulty(some(world, random))) board.neverDies = random.pick(world.customers).name;
    },
  },
};

/** What a network does to datagrams on an ordinary day. */
export function ordinaryWeather(random: Random): Weather {
  if (random.chance(0.3)) return fairWeather;
  return {
    loss: random.pick([0, 0.001, 0.01, 0.05]),
    duplication: random.between(0, 0.02),
    replay: random.between(0, 0.02),
    forgery: random.between(0, 0.02),
    delayMs: random.between(0.1, 2),
    jitterMs: random.pick([0.2, 1, 5, 20]),
    spike: random.pick([0, 0, 0.01]),
    spikeMs: 2_000,
  };
}

export function pickFault(random: Random): string {
  const names = Object.keys(faults);
  let at = random.between(
    0,
    Object.values(faults).reduce((sum, { weight }) => sum + weight, 0),
  );
  return names.find((name) => (at -= faults[name]?.weight ?? 0) < 0) ?? 'nothing';
}

interface Cut extends FaultTimes {
  boards: Board[];
  directions: Direction[];
}

function cut(world: World, { boards, directions, begin, end }: Cut): void {
  world.whileIll(begin, () => {
    world.timeline.tell('network', `${directions.join(' and ')} cut for ${boards.map(({ name }) => name).join(', ')}`);
    for (const { index } of boards) for (const direction of directions) world.network.cut(index, direction);
  });
  if (end !== Infinity)
    world.whileIll(end, () => {
      world.timeline.tell('network', 'mended');
      for (const { index } of boards) for (const direction of directions) world.network.mend(index, direction);
    });
}

/** One board, a few, or all of them: a cable, a shelf's power, one fault of our own on every board at once. */
function some(world: World, random: Random): Board[] {
  const { boards } = world;
  const count = random.pick([1, Math.ceil(boards.length / 4), boards.length]);
  const from = random.integer(boards.length);
  return Array.from({ length: count }, (_, at) => boards[(from + at) % boards.length]).filter(
    (board) => board !== undefined,
  );
}

function faulty(boards: Board[]): Board[] {
  for (const board of boards) board.isFaulty = true;
  return boards;
}
