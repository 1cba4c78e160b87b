// The rack's private network: a namespace without a name, held by one process, in it the bridge br0 with our address and
// a tap for each board. Nothing of it shows on the host, several racks run side by side, and when the holder goes (it is
// tied to us), the kernel takes namespace, bridge, taps and mounts away.
import { once } from 'node:events';
import type { ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { endProcess, runTied, startTied, type Output } from './tied-process.ts';

const operatorSocket = fileURLToPath(new URL('operator-socket.pl', import.meta.url));

export const rackAddress = '10.77.0.1';

/** Makes the network; /sys is mounted anew because it shows the interfaces of the namespace it was mounted in. */
function setUp(boards: number): string {
  const taps = Array.from({ length: boards }, (_, i) => `tap${i + 1}`);
  return [
    'set -e',
    'mount -t sysfs -o ro,nosuid,nodev,noexec sysfs /sys',
    'ip link set lo up',
    // With an address of its own: a bridge without one takes its lowest port's, which changes with the ports.
    'ip link add br0 address 02:00:00:00:77:01 type bridge stp_state 0 forward_delay 0',
    `ip address add ${rackAddress}/24 dev br0`,
    // A bridge whose boards are all off has no carrier, and Node does not list interfaces without one.
    'ip link add carrier0 type veth peer name carrier1',
    'ip link set carrier0 master br0 up',
    // Deaf: it would answer ARP for our address too, and what boards then sent there would reach no socket of br0.
    'echo 8 >/proc/sys/net/ipv4/conf/carrier1/arp_ignore',
    'ip link set carrier1 up',
    'ip link set br0 up',
    ...taps.flatMap((tap) => [`ip tuntap add ${tap} mode tap`, `ip link set ${tap} master br0 up`]),
    // The kernel tells a carrier by a work queue, up to a second later: until then br0 sends no broadcast.
    'tries=0',
    'until [ "$(cat /sys/class/net/br0/operstate)" = up ]; do',
    '  tries=$((tries + 1))',
    '  if [ $tries -gt 200 ]; then echo "br0 is still down after 10 s" >&2; exit 1; fi',
    '  sleep 0.05',
    'done',
    'echo ready',
    'exec cat',
  ].join('\n');
}

export class RackNetwork implements AsyncDisposable {
  readonly #holder: ChildProcess;
  /** Where operators reach the controller, on the host's loopback. */
  readonly operatorPort: number;

  private constructor(holder: ChildProcess, operatorPort: number) {
    this.#holder = holder;
    this.operatorPort = operatorPort;
  }

  /** `port` 0 takes a free one. Throws one sentence when the port is in use or the namespace is refused. */
  static async create({ boards, port }: { boards: number; port: number }): Promise<RackNetwork> {
    const unshare = ['unshare', '--net', '--mount', '--propagation', 'slave', '--'];
    const holder = await startTied(
      ['perl', operatorSocket, 'hold', String(port), '--', ...unshare, 'sh', '-c', setUp(boards)],
      { stdio: ['pipe', 'pipe', 'pipe'] },
    );
    let complaint = '';
    holder.stderr?.on('data', (chunk: Buffer) => (complaint = (complaint + chunk.toString()).slice(-2_000)));
    const closed = once(holder, 'close');
    let operatorPort = 0;
    if (holder.stdout !== null) {
      for await (const line of createInterface({ input: holder.stdout })) {
        if (line.startsWith('port ')) operatorPort = Number(line.slice(5));
        if (line === 'ready') return new RackNetwork(holder, operatorPort);
      }
    }
    await closed;
    throw new Error(`cannot make the rack's network: ${complaint.trim() || 'its holder ended without a word'}`);
  }

  /** The process that keeps the namespace: `nsenter --target` it to look around. */
  get holderPid(): number {
    return this.#holder.pid ?? 0;
  }

  /** The command line that runs `argv` in the rack's network, in the same directory as ours. */
  inside(argv: readonly string[]): string[] {
    return [
      'nsenter',
      '--target',
      String(this.holderPid),
      '--net',
      '--mount',
      `--wdns=${process.cwd()}`,
      '--',
      ...argv,
    ];
  }

  /** As `inside`, with the operators' listening socket as file descriptor 3. */
  insideWithOperatorSocket(argv: readonly string[]): string[] {
    return ['perl', operatorSocket, 'take', String(this.holderPid), '--', ...this.inside(argv)];
  }

  exec(argv: readonly string[], options: { input?: string; timeoutMs?: number } = {}): Promise<Output> {
    return runTied(this.inside(argv), options);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await endProcess(this.#holder, 'SIGKILL');
  }
}
