// What the rest of Muster asks about nodes: how they boot, join and are heard, and what each of them is told.
import type { Desired, JoinAnswer, JoinRequest } from '../../protocol/api/agent.ts';
import type { NodeFacts, NodePatch } from '../../protocol/api/nodes.ts';
import type { Mac } from '../../protocol/mac.ts';
import { everything, type PermittedCustomer } from '../../protocol/roll-call.ts';
import { desired, permitted } from '../customers/permitted-customers.ts';
import type { UnstoredOrders } from '../orders/unstored-orders.ts';
import type { Refused } from '../refused.ts';
import type { Cache } from '../store/cache.ts';
import type { Change } from '../store/changes.ts';
import type { NodeDocument } from '../store/documents.ts';
import type { NewEvent } from '../store/transaction.ts';
import type { Transact } from '../store/writer.ts';
import { HeartbeatRecord } from './heartbeat-record.ts';
import { decideJoin, decideJoinToken, heldPlace } from './join-token.ts';
import { beginsBoot, type BootProgress, decideBootStage, decidePatch, decideRemoveNode } from './nodes.ts';
import type { LocalTables } from '../samples/local-tables.ts';
import { Places } from './places.ts';
import { isRestart, restartEventsLimit, restartText } from './restart.ts';
import type { Session, SessionIndex } from './session-index.ts';
import { Newcomers, Strangers } from './strangers.ts';

/** Documents that it returns are shared and must not be changed. */
export interface NodeBook {
  all(): NodeDocument[];
  get(mac: Mac): NodeDocument | undefined;
  /**
   * Makes unknown nodes (`node-<last three bytes>`, lowest free slot): 700 at once and 50 a second, 4,096 in all; what
   * is beyond that is ignored.
   */
  bootStage(stage: BootProgress): Promise<void>;
  /**
   * A one-time join token, 64 hex digits, bound to the MAC, good for ten minutes; an earlier one stops working. Where `ip`
   * is given, only who joins from there, or from another address that is leased to this MAC, may use it. `held` while the
   * node's standing session may be alive.
   */
  issueJoinToken(mac: Mac, ip?: string): Promise<{ token: string } | Refused>;
  /** As `issueJoinToken` would refuse now because the node's session may be alive: who holds its place. Costs no write. */
  placeHolder(mac: Mac): string | undefined;
  join(request: JoinRequest, ip: string): Promise<JoinAnswer | Refused>;
  session(id: string): Session | undefined;
  sessionOf(mac: Mac): Session | undefined;
  /**
   * For each heartbeat whose signature was right: memory only, but for the step to `ready`. `isReplay`: it
   * answers no permit of this process, so it may be an old one that somebody sends again, and proves nothing about whose
   * place it is; false when left out.
   */
  heartbeat(mac: Mac, heard: { at: number; isReplay?: boolean }): void;
  /** By the clock of `heartbeat`, which may be monotonic. */
  lastHeartbeatAt(mac: Mac): number | undefined;
  /** By the inventory's own clock. */
  lastHeartbeatWallClock(mac: Mac): number | undefined;
  /**
   * ready → silent → lost by time, on the clock of `heartbeat`: call it every 250 ms. The first call starts the time of
   * nodes not heard yet. After a pause of over 5 s (a suspended machine) all nodes get their time anew, since their
   * heartbeats may still be waiting in the socket.
   */
  sweep(now: number): Promise<void>;
  /** A beacon proves nothing: an unknown sender leaves an event (a bounded number of them) and nothing else. */
  beaconSeen(beacon: { uuid: string; ip?: string; mac?: Mac }): void;
  /** `by`, here and below: the operator who asked, for the events. */
  patch(mac: Mac, patch: NodePatch & { by?: string | undefined }): Promise<NodeDocument | Refused>;
  /** Refused while it is ready. Its session, join token and instances go with it. */
  remove(mac: Mac, by?: string): Promise<{ removed: Mac } | Refused>;
  /** What a node found out about itself after its join. */
  saveFacts(mac: Mac, facts: NodeFacts): Promise<void>;

  /** What should be on a node. Without killed customers' instances; nothing where the node is fenced. */
  desired(mac: Mac): Desired;
  permitted(mac: Mac): PermittedCustomer[];
  /** Grows whenever `desired` or `permitted` of that node changed. */
  generation(mac: Mac): bigint;
  /** What a node says it has applied: it is told a later generation where that is later than its own. Memory only. */
  generationApplied(mac: Mac, generation: bigint): void;
}

export interface NodeBookOptions {
  cache: Cache;
  transact: Transact;
  transactOnReserve: Transact;
  now: () => number;
  random: (bytes: number) => Buffer;
  addEvent: (event: NewEvent) => void;
  subscribe: (listener: (change: Change) => void) => void;
  sessions: SessionIndex;
  unstored: UnstoredOrders;
  tables: Pick<LocalTables, 'events' | 'forgetSample' | 'latestSample'>;
}

export function nodeBook(options: NodeBookOptions): NodeBook {
  const { cache, transact, transactOnReserve, sessions, unstored } = options;
  const places = new Places();
  const record = new HeartbeatRecord(options);
  return {
    all: () => [...cache.all('nodes').values()],
    get: (mac) => cache.get('nodes', mac),
    ...admission(options, { places, record }),
    ...presence(options, { places, record }),
    session: (id) => sessions.byId(id),
    sessionOf: (mac) => sessions.of(mac),
    patch: (mac, { by = 'operator', ...patch }) => {
      const isFence = patch.fenced === true && Object.keys(patch).length === 1;
      return (isFence ? transactOnReserve : transact)(
        (transaction) => decidePatch(transaction, { mac, patch, by }),
        by,
      );
    },
    remove: async (mac, by) => {
      const answer = await transactOnReserve((transaction) => decideRemoveNode(transaction, mac), by);
      if ('removed' in answer) options.tables.forgetSample(mac);
      return answer;
    },
    saveFacts: (mac, facts) =>
      transact((transaction) => {
        const node = transaction.get('nodes', mac);
        if (node !== undefined) transaction.put('nodes', mac, { ...node, facts });
      }),

    desired: (mac) => desired(cache, mac),
    permitted: (mac) =>
      unstored.standingFor(everything) === undefined
        ? permitted(cache, mac).filter(({ customer }) => unstored.standingFor(customer) === undefined)
        : [],
    generation: (mac) => cache.generation(mac),
    generationApplied: (mac, generation) => cache.outrun(mac, generation),
  };
}

interface Heard {
  places: Places;
  record: HeartbeatRecord;
}

type Admission = Pick<NodeBook, 'bootStage' | 'issueJoinToken' | 'placeHolder' | 'join'>;

/** From the first packet to the session: who asks for a board's place, and who gets it. */
function admission(options: NodeBookOptions, { places, record }: Heard): Admission {
  const { cache, transact, now, random, sessions } = options;
  /** The node whose standing session may be alive. */
  const holder = (mac: Mac) =>
    sessions.of(mac) !== undefined && places.isHeld(mac) ? cache.get('nodes', mac) : undefined;
  const newcomers = new Newcomers(now);
  const admitted = (mac: Mac) => cache.get('nodes', mac) !== undefined || newcomers.admit();
  return {
    bootStage: async (stage) => {
      if (beginsBoot(stage) && holder(stage.mac) !== undefined)
        return places.contested(stage.mac, `a machine asks for an address as ${stage.firmware}, to boot`);
      if (admitted(stage.mac)) await transact((transaction) => decideBootStage(transaction, { ...stage, now: now() }));
    },
    issueJoinToken: async (mac, ip) => {
      if (!admitted(mac)) return { refused: 'too many new boards at once: try again in some seconds' };
      const token = random(32).toString('hex');
      const answer = await transact((transaction) =>
        decideJoinToken(transaction, { mac, token, ip, now: now(), isHeld: places.isHeld(mac) }),
      );
      if ('held' in answer) places.contested(mac, `${ip ?? 'a machine'} asks for a boot script`);
      return answer;
    },
    placeHolder: (mac) => {
      const node = holder(mac);
      return node === undefined ? undefined : heldPlace(node).refused;
    },
    join: async (request, ip) => {
      const draw = { sessionId: random(16).toString('hex'), key: random(32).toString('hex') };
      let before: NodeDocument | undefined;
      const answer = await transact((transaction) => {
        before = transaction.get('nodes', request.mac);
        const decided = decideJoin(transaction, { request, ip, now: now(), draw, isHeld: places.isHeld(request.mac) });
        // Within the decision: who asks in the same transaction finds the place held.
        if ('session' in decided) places.joined(request.mac);
        return decided;
      });
      if ('held' in answer) places.contested(request.mac, `${ip} wants to join with boot ${request.bootId}`);
      if ('session' in answer && isRestart(before, request.bootId)) {
        // A help to whoever reads the events: a table that cannot be read has said so itself.
        tellRestart(options, { before, heardAt: record.wallClockAt(request.mac) }).catch(() => undefined);
      }
      return answer;
    },
  };
}

async function tellRestart(
  { tables, addEvent }: NodeBookOptions,
  { before, heardAt }: { before: NodeDocument; heardAt: number | undefined },
): Promise<void> {
  const { mac } = before;
  const uptimeSeconds = tables.latestSample(mac)?.uptimeSeconds;
  const events = await tables.events({ limit: restartEventsLimit, subject: mac });
  addEvent({ kind: 'node', subject: mac, message: restartText({ before, heardAt, uptimeSeconds, events }) });
}

type Presence = Pick<NodeBook, 'heartbeat' | 'lastHeartbeatAt' | 'lastHeartbeatWallClock' | 'sweep' | 'beaconSeen'>;

/** Who is heard, and who no longer is. */
function presence({ cache, now, addEvent, subscribe }: NodeBookOptions, { places, record }: Heard): Presence {
  const strangers = new Strangers(now);
  /** Of all nodes, made when a beacon asks for it. */
  let addresses: Set<string> | undefined;
  subscribe(({ kind }) => {
    if (kind === 'node') addresses = undefined;
  });
  return {
    heartbeat: (mac, { at, isReplay = false }) => {
      record.heard(mac, at);
      if (isReplay) return;
      const rival = places.heard(mac);
      const node = rival === undefined ? undefined : cache.get('nodes', mac);
      if (node !== undefined) addEvent({ kind: 'node', subject: mac, message: twoMachines(node, rival) });
    },
    lastHeartbeatAt: (mac) => record.at(mac),
    lastHeartbeatWallClock: (mac) => record.wallClockAt(mac),
    sweep: (at) => {
      places.sweep(at);
      places.forget((mac) => cache.get('nodes', mac) !== undefined);
      return record.sweep(at);
    },
    beaconSeen: ({ uuid, ip, mac }) => {
      addresses ??= new Set(Array.from(cache.all('nodes').values(), (node) => node.ip ?? ''));
      const known = (ip !== undefined && addresses.has(ip)) || cache.get('nodes', mac ?? '') !== undefined;
      const sender = mac ?? ip;
      if (!known && sender !== undefined && strangers.isNew(sender))
        addEvent({ kind: 'node', subject: sender, message: `beacon of an unknown sender, UUID ${uuid}` });
    },
  };
}

function twoMachines({ name, ip, bootId }: NodeDocument, rival: string | undefined): string {
  return (
    `two machines use this MAC: ${name} is alive at ${ip} (boot ${bootId}) and keeps its place, and ` +
    `${rival}; it was given nothing. Find the other one by its switch port and unplug it`
  );
}
