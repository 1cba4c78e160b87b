// The OCI bundle of one instance, and what else of it is on the node: `<stateDir>/instances/<id>`, which outlives the agent.
//
//   instance.json            what an agent needs to adopt it
//   config.json, root        what crun runs: an overlay over the image
//   crun.pid, crun.log       what crun says
//   stdout, stderr           named pipes that the container prints to (`output/output-pipe.ts`)
//   disk                     a tmpfs of its own with all that the container can make grow: the overlay's `upper` and `work`,
//                            `names`, its /etc/hosts and the like, and `input`. What fills it harms neither a neighbour
//                            nor the agent
import {
  chmodSync,
  chownSync,
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
import type { ContainerConfiguration } from '../../../protocol/api/instances.ts';
import { defaultStopGraceMs, stopSignalNumber } from '../../../protocol/container/stop-signal.ts';
import type { DesiredCustomer, DesiredInstance } from '../../../protocol/api/agent.ts';
import { type ImageLease, mountOptions } from '../cache/image-cache.ts';
import type { Attachment } from '../network.ts';
import { nameFiles, type NameFile } from './oci-config.ts';
import { outputStreams, type OutputStream } from '../output/output-pipe.ts';
import { runTool } from '../tool.ts';

export interface StopRequest {
  signal: number;
  graceMs: number;
}

export function stopRequest({
  stopSignal,
  stopGraceMs,
}: Pick<ContainerConfiguration, 'stopSignal' | 'stopGraceMs'>): StopRequest {
  return { signal: stopSignalNumber(stopSignal) ?? 15, graceMs: stopGraceMs ?? defaultStopGraceMs };
}

/** What `instance.json` holds. */
export interface InstanceRecord {
  instance: DesiredInstance;
  customer: DesiredCustomer;
  attachment: Attachment;
  starts: number;
  /** How it is asked to end. */
  stop: StopRequest;
}

const writableBytes = 16 * 2 ** 20;
const mountTimeoutMs = 10_000;

export class Bundle {
  readonly id: string;
  readonly directory: string;
  readonly root: string;
  /** With a file for each of `nameFiles`. */
  readonly names: string;
  readonly pidFile: string;
  readonly crunLogFile: string;
  readonly #disk: string;
  readonly #input: string;
  readonly #recordFile: string;

  constructor(stateDir: string, id: string) {
    this.id = id;
    this.directory = join(stateDir, 'instances', id);
    this.root = join(this.directory, 'root');
    this.pidFile = join(this.directory, 'crun.pid');
    this.crunLogFile = join(this.directory, 'crun.log');
    this.#disk = join(this.directory, 'disk');
    this.names = join(this.#disk, 'names');
    this.#input = join(this.#disk, 'input');
    this.#recordFile = join(this.directory, 'instance.json');
  }

  exists(): boolean {
    return existsSync(this.directory);
  }

  /** A fresh root for each start: nothing that a run wrote outlives it. */
  async makeRoot(image: ImageLease, { uidBase, address }: { uidBase: number; address: string }): Promise<void> {
    for (const directory of [this.directory, this.#disk]) mkdirSync(directory, { recursive: true, mode: 0o711 });
    await Promise.all([this.#mountDisk(), this.#makeOutput()]);
    const upper = join(this.#disk, 'upper');
    const work = join(this.#disk, 'work');
    if (mountOptions(this.root) !== undefined) await unmount([this.root]);
    for (const path of [upper, work]) {
      await rm(path, { recursive: true, force: true });
      mkdirSync(path);
    }
    mkdirSync(this.root, { recursive: true });
    const { mode } = statSync(image.path);
    chmodSync(upper, mode & 0o7777);
    chownSync(upper, uidBase, uidBase);
    this.#writeNames({ uidBase, address });
    writeFileSync(this.#input, '', { mode: 0o600 });
    for (const file of [this.pidFile, this.crunLogFile]) rmSync(file, { force: true });
    const layers = `lowerdir=${image.path},upperdir=${upper},workdir=${work},nodev,nosuid`;
    await runTool(['mount', '-t', 'overlay', '-o', layers, 'overlay', this.root], { timeoutMs: mountTimeoutMs });
  }

  async #mountDisk(): Promise<void> {
    if (mountOptions(this.#disk) !== undefined) return;
    const cap = `size=${writableBytes},nr_inodes=8192,mode=711,nodev,nosuid`;
    await runTool(['mount', '-t', 'tmpfs', '-o', cap, 'tmpfs', this.#disk], { timeoutMs: mountTimeoutMs });
  }

  /** Its root may change them, as elsewhere. */
  #writeNames({ uidBase, address }: { uidBase: number; address: string }): void {
    const texts: Record<NameFile, string> = {
      hostname: `${this.id}\n`,
      // Whoever asks for its own name gets the address that its port is reached by.
      hosts: `127.0.0.1 localhost\n${address} ${this.id}\n`,
      'resolv.conf': '# This rack has no name server: names are those of /etc/hosts.\n',
    };
    mkdirSync(this.names, { recursive: true, mode: 0o711 });
    for (const name of nameFiles) {
      const file = join(this.names, name);
      writeFileSync(file, texts[name], { mode: 0o644 });
      chownSync(file, uidBase, uidBase);
    }
  }

  writeConfig(config: unknown): void {
    writeFileSync(join(this.directory, 'config.json'), JSON.stringify(config), { mode: 0o600 });
  }

  /** How its first process is run, in the form of the OCI runtime specification. */
  process(): object {
    // Written by this program alone, before the container runs.
    const config = JSON.parse(readFileSync(join(this.directory, 'config.json'), 'utf8')) as { process: object };
    return config.process;
  }

  saveRecord(record: InstanceRecord): void {
    writeFileSync(`${this.#recordFile}.new`, JSON.stringify(record), { mode: 0o600 });
    renameSync(`${this.#recordFile}.new`, this.#recordFile);
  }

  /** What the agent before this one knew of it; undefined where it had not come as far as starting it. */
  record(): InstanceRecord | undefined {
    if (!existsSync(this.#recordFile)) return undefined;
    // Written by this program alone, renamed into place before the container runs.
    return JSON.parse(readFileSync(this.#recordFile, 'utf8')) as InstanceRecord;
  }

  /** Where the container prints to. */
  outputFile(stream: OutputStream): string {
    return join(this.directory, stream);
  }

  /**
   * What it reads as its standard input: nothing. Not the board's /dev/null: crun gives its container all three streams, and
   * whoever owns /dev/null can take it from everybody (seen with crun 1.8). The caller closes it.
   */
  openInput(): number {
    return openSync(this.#input, 'r');
  }

  /** Any of its users may write: an image that drops privileges opens /dev/stdout after that, too. */
  async #makeOutput(): Promise<void> {
    const missing = outputStreams.map((stream) => this.outputFile(stream)).filter((file) => !existsSync(file));
    if (missing.length > 0) await runTool(['mkfifo', '-m', '622', ...missing], { timeoutMs: mountTimeoutMs });
  }

  /** Mounts and files; a process must not be there any more. */
  async remove(): Promise<void> {
    await unmount([this.root, this.#disk].filter((path) => mountOptions(path) !== undefined));
    rmSync(this.directory, { recursive: true, force: true });
  }
}

async function unmount(paths: string[]): Promise<void> {
  if (paths.length === 0) return;
  try {
    await runTool(['umount', ...paths], { timeoutMs: mountTimeoutMs });
  } catch {
    // Another container that starts in this moment holds a copy of our mounts until it has pivoted: let go of ours.
    const left = paths.filter((path) => mountOptions(path) !== undefined);
    if (left.length > 0) await runTool(['umount', '--lazy', ...left], { timeoutMs: mountTimeoutMs });
  }
}
