// How long a container takes to start on a board where its image is already.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Type } from 'typebox';
import { Check } from 'typebox/value';
import { virtualRack, type RackNode, type VirtualRack } from '../qemu/rack.ts';
import { allRun, deployWeb, importWeb, instancesOf, muster } from './customer-load.ts';
import { figureOf, type BenchOptions, type Figure } from './figure.ts';

export async function measureContainer({ runs, print }: BenchOptions): Promise<Figure[]> {
  const stateDir = await mkdtemp(join(tmpdir(), 'bench-container-'));
  await using stack = new AsyncDisposableStack();
  stack.defer(() => rm(stateDir, { recursive: true, force: true }));
  const rack = stack.use(await virtualRack({ name: 'bench-container', uefi: 1, memoryMb: 2048, stateDir }));
  print('waiting for the board');
  await rack.allReady({ timeoutMs: 300_000 });
  await importWeb(rack);
  // Brings the image and the customer's bridge, and keeps them there.
  await deployWeb(rack, { customer: 'bench', replicas: 1 });
  const onNodeMs: number[] = [];
  const wholeMs: number[] = [];
  for (let run = 1; run <= runs; run++) {
    const startedAt = performance.now();
    await rack.controller.api(`PUT /v1/workloads/bench/run${run}`, spec);
    const instances = await allRun(rack, { customer: 'bench', count: 2 });
    wholeMs.push(performance.now() - startedAt);
    const id = instances.find(({ workload }) => workload === `run${run}`)?.id ?? '';
    const onNode = await startOnNode(rack, { id, stateDir, board: rack.node(1) });
    onNodeMs.push(onNode);
    print(`${run}/${runs}: ${onNode.toFixed(0)} ms on the node, ${wholeMs.at(-1)?.toFixed(0)} ms in all`);
    await muster(rack, `rm bench/run${run}`);
    while ((await instancesOf(rack, 'bench')).length > 1) await rack.node(1).seen();
  }
  return [
    figureOf({
      name: 'container start on a node',
      unit: 'ms',
      samples: onNodeMs,
      how: 'image there; by the node’s files: its instance directory was made (before root, network and crun) until crun wrote the pid of the running process',
    }),
    figureOf({
      name: 'deploy to running',
      unit: 'ms',
      samples: wholeMs,
      how: 'PUT of the workload sent until GET /v1/instances says running: scheduler, permit, desired state, start, report (gathered for 100 ms)',
    }),
  ];
}

const spec = { image: 'web', replicas: 1, port: 8080, memoryBytes: 32 * 2 ** 20, processes: 32 };
const FileTimes = Type.Object({ madeMs: Type.Number(), runningMs: Type.Number() });

/** Asks the node's file system, by SSH with the controller's key. */
async function startOnNode(
  rack: VirtualRack,
  { id, stateDir, board }: { id: string; stateDir: string; board: RackNode },
): Promise<number> {
  const directory = `/run/muster/instances/${id}`;
  const program = `const { statSync } = require("node:fs");
    const madeMs = statSync("${directory}").birthtimeMs;
    const runningMs = statSync("${directory}/crun.pid").mtimeMs;
    console.log(JSON.stringify({ madeMs, runningMs }))`;
  const options = ['StrictHostKeyChecking=no', 'UserKnownHostsFile=/dev/null', 'LogLevel=ERROR', 'ConnectTimeout=10'];
  const argv = [
    'ssh',
    '-i',
    join(stateDir, 'ssh-key'),
    ...options.flatMap((option) => ['-o', option]),
    `root@${await board.ip()}`,
    'node --input-type=commonjs -',
  ];
  const { code, stdout, stderr } = await rack.network.exec(argv, { input: program, timeoutMs: 60_000 });
  const times: unknown = code === 0 ? JSON.parse(stdout) : undefined;
  if (!Check(FileTimes, times) || times.runningMs < times.madeMs || times.madeMs === 0)
    throw new Error(`cannot read when ${id} started: ${stderr.trim()} ${stdout.trim()}`);
  return times.runningMs - times.madeMs;
}
