// For the tests of drills: a controller's rooms around a real store and a real socket, and boards that are peers on
// loopback. Time is virtual: it passes with each look at the controller, and otherwise where a test says so.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';
import { sampleArchives } from '../../images/customer/samples.ts';
import { openInventory, type Inventory } from '../../inventory/inventory.ts';
import { joinBoard, macOf, testImage } from '../../inventory/rack.fixture.ts';
import type { InstanceReport } from '../../protocol/api/agent.ts';
import { MalformedError } from '../../protocol/bytes.ts';
import type { Mac } from '../../protocol/mac.ts';
import { testHeartbeat } from '../../protocol/heartbeat.fixture.ts';
import { decodePermit, encodeHeartbeat, type Receipt } from '../../protocol/roll-call.ts';
import { startScheduler } from '../../scheduler/loop.ts';
import { drillMetrics } from '../api/metrics/controller-metrics.ts';
import { registerDrillApi } from '../api/drill-api.ts';
import { canaryImage } from './canary.ts';
import { startDrills, type DrillRunner } from './drill.ts';
import { renderMetrics } from '../api/metrics/metrics.ts';
import { openOperatorApi, type OperatorApi } from '../api/operator-api.fixture.ts';
import { startRollCall, type LocalRollCall } from '../kill/roll-call/roll-call.ts';

const beatMs = 25;
const lookMs = 10;
const boundMs = 60_000;

interface Running extends AsyncDisposable {
  inventory: Inventory;
  rollCall: LocalRollCall;
  drills: DrillRunner;
  port: number;
  ask: OperatorApi['ask'];
}

/** What a board does with a permit: runs what it should, and says what it stopped. */
export class Peer {
  readonly mac: Mac;
  /** As it reports its instances. */
  state: InstanceReport['state'] = 'running';
  reason = '';
  /** Whether it sends receipts; without, it never acknowledges. */
  acknowledges = true;
  readonly #rig: Rig;
  readonly #socket: Socket;
  readonly #session: Buffer;
  readonly #key: Buffer;
  #receipts: Receipt[] = [];
  #sequence = 0n;
  #permitSequence = 0n;
  readonly #timer: NodeJS.Timeout;

  constructor(rig: Rig, { mac, socket, session, key }: { mac: Mac; socket: Socket; session: Buffer; key: Buffer }) {
    this.mac = mac;
    this.#rig = rig;
    this.#socket = socket;
    this.#session = session;
    this.#key = key;
    socket.on('message', (bytes) => this.#obey(bytes));
    this.#timer = setInterval(() => this.#beat(), beatMs);
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#socket.close();
  }

  #beat(): void {
    const { running } = this.#rig;
    if (running === undefined) return;
    const heartbeat = testHeartbeat({
      session: this.#session,
      sequence: ++this.#sequence,
      nonce: randomBytes(16),
      permitSequence: this.#permitSequence,
      receipts: this.acknowledges ? this.#receipts : [],
    });
    this.#socket.send(encodeHeartbeat(heartbeat, this.#key), running.port, '127.0.0.1');
    const { inventory } = running;
    const reports = inventory.nodes
      .desired(this.mac)
      .instances.map(({ id }) => ({ id, state: this.state, reason: this.reason, restarts: 0 }));
    // A controller that ends meanwhile has no ears.
    inventory.instances.report(this.mac, reports).catch(() => undefined);
  }

  #obey(bytes: Buffer): void {
    try {
      const permit = decodePermit(bytes, this.#key);
      this.#permitSequence = permit.sequence;
      this.#receipts = permit.orders.map(({ order }) => ({ order, stoppedAfterMs: 3, processes: 2 }));
    } catch (error) {
      if (!(error instanceof MalformedError)) throw error;
    }
  }
}

export class Rig implements AsyncDisposable {
  readonly directory: string;
  readonly peers: Peer[] = [];
  running: Running | undefined;
  /** Steps that failed; they fail the test where it did not ask for them. */
  failures: unknown[] | undefined;
  #clock = 1_000;

  private constructor(directory: string) {
    this.directory = directory;
  }

  /** With so many boards that are ready, and the canary's image there unless it is to come from `sample`. */
  static async open(boards: number, { sample = false } = {}): Promise<Rig> {
    const rig = new Rig(await mkdtemp(join(tmpdir(), 'drill-')));
    await rig.start();
    if (sample) {
      const parts = { busybox: Buffer.from('stands in for the program'), architecture: 'arm64' };
      await writeFile(rig.samplePath, sampleArchives(parts).worker);
    } else await rig.inventory.images.save(testImage(canaryImage));
    await rig.inventory.images.save(testImage('web'));
    for (let number = 1; number <= boards; number++) await rig.#join(macOf(number));
    await rig.until(() => rig.inventory.nodes.all().every(({ state }) => state === 'ready'));
    return rig;
  }

  get samplePath(): string {
    return join(this.directory, 'worker.tar');
  }
  get inventory(): Inventory {
    return this.#present().inventory;
  }
  get ask(): OperatorApi['ask'] {
    return this.#present().ask;
  }
  get clock(): number {
    return this.#clock;
  }

  #present(): Running {
    if (this.running === undefined) throw new Error('the controller does not run');
    return this.running;
  }

  /** Looks until it is so; virtual time passes slowly meanwhile. */
  async until(holds: () => boolean): Promise<void> {
    const giveUpAt = performance.now() + boundMs;
    while (!holds()) {
      if (performance.now() > giveUpAt) throw new Error(`it did not come to be: ${holds.toString()}`);
      this.#clock += lookMs;
      await this.#present().rollCall.pursue();
      await this.look();
      await sleep(lookMs);
    }
  }

  /** One step of the drills. */
  async look(): Promise<void> {
    try {
      await this.#present().drills.step();
    } catch (error) {
      if (this.failures === undefined) throw error;
      this.failures.push(error);
    }
  }

  /** Virtual time jumps, as in a pause of the whole controller. */
  leap(ms: number): void {
    this.#clock += ms;
  }

  async start(): Promise<void> {
    await using stack = new AsyncDisposableStack();
    const now = () => this.#clock;
    const wallClock = () => 1_800_000_000_000 + this.#clock;
    const onFailure = (error: unknown) => assert.fail(String(error));
    const inventory = stack.use(
      await openInventory({ directory: join(this.directory, 'state'), now: wallClock, random: randomBytes }),
    );
    const socket = createSocket('udp4');
    stack.defer(() => void socket.close());
    socket.bind(0, '127.0.0.1');
    await once(socket, 'listening');
    const rollCall = startRollCall({ socket, inventory, now, wallClock, nextTurn, onFailure });
    stack.use(startScheduler({ inventory, onFailure, now: wallClock }));
    const directory = join(this.directory, 'images');
    const metrics = () => renderMetrics(drillMetrics(inventory));
    const api = stack.use(await openOperatorApi({ inventory, rollCall, directory, metrics, wallClock }));
    const { samplePath } = this;
    const drills = stack.use(
      startDrills({ inventory, rollCall, images: api.images, samplePath, random: randomBytes, now, wallClock }),
    );
    registerDrillApi(api.app, { inventory, drills });
    await api.app.ready();
    const owned = stack.move();
    this.running = {
      inventory,
      rollCall,
      drills,
      port: socket.address().port,
      ask: api.ask,
      [Symbol.asyncDispose]: () => owned.disposeAsync(),
    };
  }

  async stop(): Promise<void> {
    const { running } = this;
    this.running = undefined;
    await running?.[Symbol.asyncDispose]();
  }

  async #join(mac: Mac): Promise<void> {
    const credentials = await joinBoard(this.inventory, { mac });
    const socket = createSocket('udp4');
    socket.bind(0, '127.0.0.1');
    await once(socket, 'listening');
    this.peers.push(new Peer(this, { mac, socket, ...credentials }));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const peer of this.peers) peer.stop();
    await this.stop();
    await rm(this.directory, { recursive: true });
  }
}
