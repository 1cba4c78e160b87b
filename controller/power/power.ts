// The power of the rack's boards: which outlets feed a board, what else is connected to them, and the switching itself.
import { errorChain } from '../../protocol/error-chain.ts';
import type { Mac } from '../../protocol/mac.ts';
import type { Feed, PowerConfiguration } from './configuration.ts';
import type { Board, PowerDriver } from './driver.ts';
import { snmpDriver } from './snmp.ts';
import { webhookDriver } from './webhook.ts';

export interface Power {
  /** Whether an order that a node does not acknowledge may cut its power by itself. */
  readonly automatic: boolean;
  /** `left 2`, for words; empty where nothing here can switch the board. */
  outletsOf(board: Board): string[];
  /** The other boards that lose power with it, by slot. */
  neighboursOf(board: Board): Board[];
  /** Resolves when every PDU took the command; throws what the first one that did not had to say. */
  turn(state: 'on' | 'off', of: { board: Board; order: number | null }): Promise<void>;
  /** Read back from the PDUs. Throws where one does not say. */
  isOff(board: Board, order: number | null): Promise<boolean>;
  /** Asks every PDU about one of its outlets; one sentence for each that does not answer. */
  check(): Promise<string[]>;
}

export function feeds(feed: Pick<Feed, 'slots' | 'nodes'>, board: { mac: Mac; slot: number }): boolean {
  return feed.slots.has(board.slot) || feed.nodes.has(board.mac);
}

export function startPower(
  configuration: PowerConfiguration,
  { boards, drivers = driversOf(configuration) }: { boards: () => Board[]; drivers?: ReadonlyMap<string, PowerDriver> },
): Power {
  const inTurn = queueOfEach();
  /** Commands under way: a bank's boards all ask for the same one. */
  const underWay = new Map<string, Promise<void>>();

  /** By PDU, of the outlets of one board. */
  function requestsFor(board: Board, order: number | null) {
    const own = configuration.feeds.filter((feed) => feeds(feed, board));
    return Array.from(
      Map.groupBy(own, ({ pdu }) => pdu),
      ([pdu, group]) => ({
        pdu,
        driver: driverOf(pdu),
        request: {
          outlets: group.map(({ outlet }) => outlet),
          boards: boards().filter((each) => group.some((feed) => feeds(feed, each))),
          order,
        },
      }),
    );
  }
  function driverOf(pdu: string): PowerDriver {
    const driver = drivers.get(pdu);
    if (driver === undefined) throw new Error(`there is no PDU ${pdu}`);
    return driver;
  }

  return {
    automatic: configuration.automatic,
    outletsOf: (board) =>
      configuration.feeds.filter((feed) => feeds(feed, board)).map(({ pdu, outlet }) => `${pdu} ${outlet}`),
    neighboursOf: (board) => neighbours(board, { feeds: configuration.feeds, boards: boards() }),
    turn: async (state, { board, order }) => {
      await Promise.all(
        requestsFor(board, order).map(({ pdu, driver, request }) => {
          const key = `${state} ${pdu} ${request.outlets.join(' ')}`;
          const running = underWay.get(key) ?? inTurn(pdu, () => driver.turn(state, request));
          underWay.set(key, running);
          return running.finally(() => underWay.delete(key));
        }),
      );
    },
    isOff: async (board, order) => {
      const requests = requestsFor(board, order);
      if (requests.length === 0) return false;
      const answers = await Promise.all(
        requests.map(({ pdu, driver, request }) => inTurn(pdu, () => driver.isOff(request))),
      );
      return answers.every((off) => off);
    },
    check: async () => {
      const problems: string[] = [];
      for (const pdu of configuration.pdus.keys()) {
        const feed = configuration.feeds.find((each) => each.pdu === pdu);
        if (feed === undefined) continue;
        const request = {
          outlets: [feed.outlet],
          boards: boards().filter((each) => feeds(feed, each)),
          order: null,
        };
        try {
          await inTurn(pdu, () => driverOf(pdu).isOff(request));
        } catch (error) {
          problems.push(`power.pdus.${pdu} cannot be used: ${errorChain(error)}`);
        }
      }
      return problems;
    },
  };
}

/** PDUs' processors are small, and take one request at a time. */
function queueOfEach() {
  const ends = new Map<string, Promise<unknown>>();
  return <T>(pdu: string, work: () => Promise<T>): Promise<T> => {
    const done = (ends.get(pdu) ?? Promise.resolve()).then(work, work);
    ends.set(
      pdu,
      done.catch(() => undefined),
    );
    return done;
  };
}

function neighbours(board: Board, rack: { feeds: readonly Feed[]; boards: Board[] }): Board[] {
  const own = rack.feeds.filter((feed) => feeds(feed, board));
  return rack.boards
    .filter(({ mac }) => mac !== board.mac)
    .filter((each) => {
      const theirs = rack.feeds.filter((feed) => feeds(feed, each));
      // One with a supply elsewhere goes on.
      return theirs.length > 0 && theirs.every((feed) => own.includes(feed));
    })
    .toSorted((a, b) => a.slot - b.slot);
}

function driversOf({ pdus }: PowerConfiguration): Map<string, PowerDriver> {
  return new Map(
    Array.from(pdus, ([name, pdu]) => [name, pdu.kind === 'snmp' ? snmpDriver(pdu) : webhookDriver(pdu)] as const),
  );
}
