// Fault 15: permits taken from the wire and put back onto it, by `wire.pl`: again, late, in another order, changed.
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { endProcess, startTied } from '../../qemu/tied-process.ts';
import type { HostNode } from './node.ts';
import type { Rig } from './rig.ts';

const program = fileURLToPath(new URL('wire.pl', import.meta.url));
const keptFrames = 2_000;
/** Ethernet, IPv4 and UDP come before the permit. */
const headerBytes = 42;
const checksumAt = 40;

export interface Wire extends AsyncDisposable {
  /** Permits for this node so far, whole frames, oldest first. */
  permitsFor(node: HostNode): Buffer[];
  /** Onto the node's cable, as if the controller had sent it. */
  inject(node: HostNode, frame: Buffer): void;
}

export async function tapWire(rig: Rig): Promise<Wire> {
  const child = await startTied(rig.network.inside(['perl', program, 'br0', ...rig.nodes.map(({ cable }) => cable)]), {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const frames: Buffer[] = [];
  const ready = Promise.withResolvers<void>();
  void once(child, 'exit').then(() => ready.reject(new Error('the tap of the wire ended')));
  if (child.stdout !== null)
    createInterface({ input: child.stdout }).on('line', (line) => {
      if (line === 'ready') ready.resolve();
      else if (frames.push(Buffer.from(line, 'hex')) > keptFrames) frames.shift();
    });
  await ready.promise;
  return {
    permitsFor: ({ mac }) => frames.filter((frame) => frame.subarray(0, 6).toString('hex') === mac.replaceAll(':', '')),
    inject(node, frame) {
      child.stdin?.write(`${node.cable} ${frame.toString('hex')}\n`);
    },
    [Symbol.asyncDispose]: () => endProcess(child, 'SIGKILL'),
  };
}

/** One bit of the permit changed, and no checksum that would tell. */
export function forged(frame: Buffer, random: () => number): Buffer {
  const copy = Buffer.from(frame);
  const at = headerBytes + Math.floor(random() * (copy.length - headerBytes));
  copy[at] = (copy[at] ?? 0) ^ (1 << Math.floor(random() * 8));
  copy.writeUInt16BE(0, checksumAt);
  return copy;
}

export function shuffled<T>(values: readonly T[], random: () => number): T[] {
  return values
    .map((value) => ({ value, at: random() }))
    .toSorted((a, b) => a.at - b.at)
    .map(({ value }) => value);
}
