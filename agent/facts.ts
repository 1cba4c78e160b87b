// What the node is, found out once a boot by `telemetry.ts` in a process of its own. A join does not wait for it.
import { execFile } from 'node:child_process';
import { cpus, release, totalmem } from 'node:os';
import { fileURLToPath } from 'node:url';
import { Value } from 'typebox/value';
import { NodeFacts } from '../protocol/api/nodes.ts';

/** An emulated board needs some 5 s to start Node.js and look around, on a busy machine several times that. */
const deadlineMs = 60_000;
const outputLimitBytes = 256 * 1024;

/** What Node.js itself knows, at once: good enough to join with. */
export function firstFacts(): NodeFacts {
  const cores = cpus();
  return {
    model: 'unknown',
    cpu: cores[0]?.model.slice(0, 200) ?? 'unknown',
    cores: cores.length,
    memoryBytes: totalmem(),
    kernel: release(),
    interfaces: [],
  };
}

/** Facts that `firstFacts` gave name no interface, and a node that joined has one. */
export function areComplete(facts: NodeFacts): boolean {
  return facts.interfaces.length > 0;
}

/** Rejects where the process fails or says something else. */
export async function findFacts(): Promise<NodeFacts> {
  // The bundle's neighbour is a bundle, the source's neighbour is source.
  const entry = import.meta.url.endsWith('.ts') ? './telemetry.ts' : './telemetry.mjs';
  const found: unknown = JSON.parse(await output(process.execPath, [fileURLToPath(new URL(entry, import.meta.url))]));
  if (!Value.Check(NodeFacts, found)) throw new Error('telemetry gave another form than NodeFacts');
  return found;
}

/** Standard output of a program; rejects when it fails, says too much or takes too long. */
export function output(program: string, args: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    execFile(
      program,
      args,
      {
        timeout: deadlineMs,
        killSignal: 'SIGKILL',
        maxBuffer: outputLimitBytes,
        env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin' },
      },
      (error, stdout) => (error === null ? resolve(stdout) : reject(error)),
    );
  });
}
