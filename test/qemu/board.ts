// One virtual board: a power switch, a network cable, a serial line. It knows nothing of Muster.
import type { ChildProcess } from 'node:child_process';
import { readdir, readFile } from 'node:fs/promises';
import { Duplex } from 'node:stream';
import { qemuCommand, type Firmware, type MachineOptions } from './firmware.ts';
import { Qmp, type QmpEvent } from './qmp.ts';
import type { RackNetwork } from './rack-network.ts';
import { SerialLog } from './serial-log.ts';
import { endProcess, hasEnded, startTied } from './tied-process.ts';

export type BoardOptions = {
  firmware: Firmware;
  network: RackNetwork;
  environmentImage: string;
  serialPath: string;
  machine: MachineOptions;
};

export class Board implements AsyncDisposable {
  readonly firmware: Firmware;
  readonly mac: string;
  readonly serial: SerialLog;
  /** RESET, WATCHDOG, SHUTDOWN, … since the last power-on. */
  readonly events: QmpEvent[] = [];
  readonly #options: BoardOptions;
  #machine: { process: ChildProcess; qmp: Qmp } | undefined;

  constructor(options: BoardOptions) {
    this.#options = options;
    this.firmware = options.firmware;
    this.mac = options.machine.mac;
    this.serial = new SerialLog(options.serialPath);
  }

  async powerOn(): Promise<void> {
    if (this.isOn) return;
    this.serial.powerOn();
    this.events.length = 0;
    const { network, firmware, environmentImage, machine } = this.#options;
    // Boards give way to the controller and the tests: a starved controller would measure the host, not Muster.
    const command = ['nice', '-n', '5', ...qemuCommand({ firmware, environmentImage, machine })];
    const process = await startTied(network.inside(command), { stdio: ['pipe', 'pipe', 'pipe', 'pipe'] });
    process.stdout?.on('data', (chunk: Buffer) => this.serial.append(chunk));
    process.stderr?.on('data', (chunk: Buffer) => this.serial.append(Buffer.from(`\nqemu: ${chunk.toString()}\n`)));
    process.stdin?.on('error', () => undefined); // typing into a board that has just lost its power
    const channel = process.stdio[3];
    if (!(channel instanceof Duplex)) throw new Error('QEMU was started without its machine protocol');
    const qmp = new Qmp(channel, (event) => this.events.push(event));
    this.#machine = { process, qmp };
    try {
      await qmp.open();
    } catch (cause) {
      throw new Error(`cannot start board ${this.mac}: ${this.serial.tail(5)}`, { cause });
    }
  }

  /** Pulls the plug: no shutdown, nothing is flushed. */
  async powerOff(): Promise<void> {
    if (this.#machine !== undefined) await endProcess(this.#machine.process, 'SIGKILL');
    this.#machine = undefined;
  }

  /** QEMU's process id; 0 while the board is off. */
  get pid(): number {
    return this.#machine?.process.pid ?? 0;
  }

  /**
   * How long the host has kept the board's processor waiting since QEMU started, ms: a board that is given no time is no
   * measure of anything. By the kernel's count for the thread that runs the board, which is the busiest of QEMU's.
   */
  async waitedMs(): Promise<number> {
    const threads = `/proc/${this.pid}/task`;
    let busiest = { ranNs: 0, waitedNs: 0 };
    for (const thread of await readdir(threads).catch(() => [])) {
      const text = await readFile(`${threads}/${thread}/schedstat`, 'utf8').catch(() => ''); // it ended meanwhile
      const [ranNs = 0, waitedNs = 0] = text.split(' ').map(Number);
      if (ranNs > busiest.ranNs) busiest = { ranNs, waitedNs };
    }
    return busiest.waitedNs / 1e6;
  }

  get isOn(): boolean {
    return this.#machine !== undefined && !hasEnded(this.#machine.process);
  }

  /** Pulls the network cable: the board sees its link go down. */
  async unplug(): Promise<void> {
    await this.#qmp().run('set_link', { name: 'card', up: false });
  }

  async plug(): Promise<void> {
    await this.#qmp().run('set_link', { name: 'card', up: true });
  }

  /** Stops every instruction of the board, its watchdog included: it neither runs nor resets. */
  async pause(): Promise<void> {
    await this.#qmp().run('stop');
  }

  async resume(): Promise<void> {
    await this.#qmp().run('cont');
  }

  /** The reset button. */
  async reset(): Promise<void> {
    await this.#qmp().run('system_reset');
  }

  /** Types on the serial console. */
  type(text: string): void {
    this.#machine?.process.stdin?.write(text);
  }

  #qmp(): Qmp {
    if (this.#machine === undefined || !this.isOn) throw new Error(`board ${this.mac} is off, want it powered on`);
    return this.#machine.qmp;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.powerOff();
    await this.serial[Symbol.asyncDispose]();
  }
}
