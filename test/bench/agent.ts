// The agent's process on a board: its memory as it reports it itself, idle and with ten containers, and its processor time
// by counted instructions, which the host does not touch.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Sample } from '../../protocol/api/samples.ts';
import { virtualRack, type RackNode, type VirtualRack } from '../qemu/rack.ts';
import { deployWeb, importWeb } from './customer-load.ts';
import { figureOf, type BenchOptions, type Figure } from './figure.ts';

/** What Node.js needs at its start is given back by then. */
const settleSeconds = 30;
const aimMb = 64;
const sampleWithinMs = 30_000;

export async function measureAgent({ runs, print }: BenchOptions): Promise<Figure[]> {
  await using rack = await virtualRack({ name: 'bench-agent', uefi: 1, memoryMb: 2048 });
  const board = rack.node(1);
  print('waiting for the board');
  await board.ready({ timeoutMs: 300_000 });
  const figure = async (name: string) => {
    print(`${name}: waiting ${settleSeconds} s`);
    const { uptimeSeconds } = await nextSample(board, 0);
    const samples: number[] = [];
    let from = uptimeSeconds + settleSeconds;
    while (samples.length < runs) {
      const sample = await nextSample(board, from);
      samples.push(sample.agentRssBytes / 1e6);
      from = sample.uptimeSeconds + 1;
    }
    const how = `resident memory in the agent’s own samples, from ${settleSeconds} s on, a sample each 2 s`;
    return figureOf({ name, unit: 'MB', samples, aim: aimMb, how });
  };
  const idle = await figure('agent RSS, idle');
  await importWeb(rack);
  await deployWeb(rack, { customer: 'bench', replicas: 10 });
  return [idle, await figure('agent RSS, 10 containers')];
}

const cpuWindowSeconds = 30;
/** The kernel's clock for /proc/<pid>/stat, ticks a second. */
const ticksPerSecond = 100;

export async function measureAgentCpu({ runs, print }: BenchOptions): Promise<Figure[]> {
  await using stack = new AsyncDisposableStack();
  const stateDir = await mkdtemp(join(tmpdir(), 'bench-agent-'));
  stack.defer(() => rm(stateDir, { recursive: true, force: true }));
  const rack = stack.use(
    await virtualRack({ name: 'bench-agent-icount', uboot: 1, memoryMb: 2048, icount: true, stateDir }),
  );
  print('waiting for the board');
  await rack.node(1).ready({ timeoutMs: 900_000 });
  const ip = (await rack.node(1).seen())?.ip ?? '';
  const samples: number[] = [];
  let before = await agentTime(rack, { stateDir, ip });
  // What Node.js needs at its start is over by then.
  for (let run = 0; run <= runs; run++) {
    let after = before;
    while (after.uptimeSeconds - before.uptimeSeconds < cpuWindowSeconds) {
      await delay(5_000);
      after = await agentTime(rack, { stateDir, ip });
    }
    const percent = (100 * (after.cpuSeconds - before.cpuSeconds)) / (after.uptimeSeconds - before.uptimeSeconds);
    print(`${run === 0 ? 'settling' : `${run}/${runs}`}: ${percent.toFixed(2)} % of the board's core`);
    if (run > 0) samples.push(percent);
    before = after;
  }
  return [
    figureOf({
      name: 'agent CPU, idle, icount',
      unit: '%',
      samples,
      aim: 2,
      how: `processor time of the agent's process, all its threads, over ${cpuWindowSeconds} s of the board's own time, at 500 million instructions a second on one core`,
    }),
  ];
}

/** Of all Node.js processes of the board: the agent, and what it may have started. */
async function agentTime(
  rack: VirtualRack,
  { stateDir, ip }: { stateDir: string; ip: string },
): Promise<{ cpuSeconds: number; uptimeSeconds: number }> {
  const options = '-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR -o ConnectTimeout=60';
  const { code, stdout, stderr } = await rack.exec(
    `ssh -i ${stateDir}/ssh-key ${options} root@${ip} 'cat /proc/uptime; cat /proc/[0-9]*/stat'`,
    { timeoutMs: 120_000 },
  );
  const [uptime = '', ...stats] = stdout.split('\n');
  const ticks = stats
    .filter((line) => /\((node|MainThread|agent)\)/.test(line))
    .map((line) =>
      line
        .replace(/^.*\) /, '')
        .split(' ')
        .slice(11, 15)
        .map(Number),
    );
  // The last two are of children that have ended: they were the agent's as well.
  const sum = ticks.flat().reduce((all, each) => all + each, 0);
  if (sum === 0) throw new Error(`cannot see the agent's process time on ${ip} (${code}): ${stderr.trim()} ${stdout}`);
  return { cpuSeconds: sum / ticksPerSecond, uptimeSeconds: Number.parseFloat(uptime) };
}

/** The first sample that the board took after being up that long. */
async function nextSample(board: RackNode, fromUptimeSeconds: number): Promise<Sample> {
  const deadline = performance.now() + sampleWithinMs + settleSeconds * 1000;
  while (performance.now() < deadline) {
    const sample = (await board.seen())?.sample;
    if (sample != null && sample.uptimeSeconds >= fromUptimeSeconds) return sample;
    await delay(250);
  }
  throw new Error(`no sample of ${board.mac} from ${fromUptimeSeconds} s of its uptime on`);
}
