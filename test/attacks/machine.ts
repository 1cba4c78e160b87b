// Another machine on the rack's segment: a network of its own with a cable into the rack's bridge, under any MAC address.
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import type { RackNetwork } from '../qemu/rack-network.ts';
import { endProcess, runTied, startTied, type Output } from '../qemu/tied-process.ts';

export class Machine implements AsyncDisposable {
  readonly #holder: ChildProcess;

  private constructor(holder: ChildProcess) {
    this.#holder = holder;
  }

  /** Plugs it in, as `cable` in the bridge. Its interface is `eth0`, up and without an address. */
  static async plugIn(network: RackNetwork, { cable, mac }: { cable: string; mac: string }): Promise<Machine> {
    const keep = 'ip link set lo up && echo up && exec cat';
    const holder = await startTied(network.inside(['unshare', '--net', 'sh', '-c', keep]), {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    const machine = new Machine(holder);
    if (holder.stdout !== null) await once(holder.stdout, 'data');
    const lay = [
      `link add ${cable} type veth peer name eth0 address ${mac} netns ${holder.pid}`,
      `link set ${cable} master br0 up`,
    ];
    const { code, stderr } = await network.exec(['ip', '-batch', '-'], { input: `${lay.join('\n')}\n` });
    if (code !== 0) throw new Error(`cannot plug in ${cable}: ${stderr.trim()}`);
    await machine.run('ip', 'link', 'set', 'eth0', 'up');
    return machine;
  }

  exec(argv: readonly string[], options: { timeoutMs?: number } = {}): Promise<Output> {
    return runTied(this.inside(argv), options);
  }

  inside(argv: readonly string[]): string[] {
    return ['nsenter', '--target', String(this.#holder.pid), '--net', `--wdns=${process.cwd()}`, '--', ...argv];
  }

  /** Throws what the program said when it ends with an error. */
  async run(...argv: string[]): Promise<string> {
    const { code, stdout, stderr } = await this.exec(argv, { timeoutMs: 30_000 });
    if (code !== 0) throw new Error(`${argv.join(' ')} ended with ${code}: ${stderr.trim()}`);
    return stdout;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await endProcess(this.#holder, 'SIGKILL');
  }
}
