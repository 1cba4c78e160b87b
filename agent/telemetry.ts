// Entry point of a short-lived process: finds out what this machine is with `systeminformation`, prints it as JSON, ends.
//
// A process of its own because the library runs other programs, some of them synchronously (13 to 18 ms each), which the
// thread that obeys permits must never do; and a short one because it would hold 17 MB for facts that a boot never changes.
import { readFileSync } from 'node:fs';
import { setPriority } from 'node:os';
import si from 'systeminformation';
import type { NodeFacts } from '../protocol/api/nodes.ts';

setPriority(10);
const [system, cpu, memory, os, found] = await Promise.all([
  si.system(),
  si.cpu(),
  si.mem(),
  si.osInfo(),
  si.networkInterfaces(),
]);
const facts: NodeFacts = {
  model: (named(system.manufacturer, system.model) || deviceTreeModel() || 'unknown').slice(0, 200),
  cpu: (named(cpu.manufacturer, cpu.brand) || 'unknown').slice(0, 200),
  cores: cpu.cores,
  memoryBytes: memory.total,
  kernel: os.kernel.slice(0, 200),
  interfaces: (Array.isArray(found) ? found : [found])
    .filter(({ internal, mac }) => !internal && mac !== '')
    .slice(0, 32)
    .map(({ iface, mac, ip4, speed }) => ({
      name: iface.slice(0, 32),
      mac: mac.toLowerCase().slice(0, 32),
      ip: ip4.slice(0, 64),
      speedMbps: typeof speed === 'number' && speed > 0 ? speed : null,
    })),
};
// Awaited by the end of the process: a pipe takes so little at once.
process.stdout.write(JSON.stringify(facts));

function named(...words: string[]): string {
  return words
    .map((word) => word.trim())
    .filter((word) => word !== '' && !/^(unknown|not specified|n\/a|to be filled)/i.test(word))
    .join(' ');
}

/** Boards without DMI say in the device tree what they are; text ends with a zero byte there. */
function deviceTreeModel(): string {
  try {
    return readFileSync('/sys/firmware/devicetree/base/model', 'utf8').replaceAll('\0', '').trim();
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return '';
    throw error;
  }
}
