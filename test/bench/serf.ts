// The anchor for spreading an order: Serf (memberlist's gossip) with its own defaults for a local network, each agent a
// process of its own, in a network namespace of theirs.
import type { ChildProcess } from 'node:child_process';
import { setTimeout as delay } from 'node:timers/promises';
import { endProcess, runTied, startTied } from '../qemu/tied-process.ts';

const joinedWithinMs = 300_000;
const settleMs = 5_000;
const spreadWithinMs = 30_000;
const firstPort = 10_000;
const firstRpcPort = 20_000;

export interface SerfCluster extends AsyncDisposable {
  /** Each agent's time until it had the event, ms, from when the first of them had it; the first itself left out. */
  spread(event: string): Promise<number[]>;
}

export async function serfCluster(count: number): Promise<SerfCluster> {
  const script = `
    ip link set lo up
    i=0
    while [ $i -lt ${count} ]; do
      setpriv --pdeathsig KILL serf agent -node=n$i -bind=127.0.0.1:$((${firstPort} + i)) \\
        -rpc-addr=127.0.0.1:$((${firstRpcPort} + i)) -retry-join=127.0.0.1:${firstPort} -retry-interval=2s -log-level=info &
      i=$((i + 1))
      [ $((i % 20)) -gt 0 ] || sleep 0.5
    done
    wait`;
  const agents = await startTied(['unshare', '--net', '--', 'sh', '-c', script], { stdio: ['ignore', 'pipe', 'pipe'] });
  const arrivals = new Map<string, number[]>();
  for (const stream of [agents.stdout, agents.stderr]) {
    let rest = '';
    stream?.setEncoding('utf8').on('data', (chunk: string) => {
      const atMs = performance.now();
      const lines = (rest + chunk).split('\n');
      rest = lines.pop() ?? '';
      // An agent writes a line and its end one after the other: two agents' lines may have become one.
      for (const line of lines)
        for (const [, event = ''] of line.matchAll(/Received event: user-event: (\S+)/g))
          arrivals.set(event, [...(arrivals.get(event) ?? []), atMs]);
    });
  }
  const cluster = {
    spread: async (event: string) => {
      await serf(agents, ['event', '-coalesce=false', `-rpc-addr=127.0.0.1:${firstRpcPort}`, event]);
      const deadline = performance.now() + spreadWithinMs;
      for (;;) {
        const [first = 0, ...others] = (arrivals.get(event) ?? []).toSorted((a, b) => a - b);
        if (others.length === count - 1) return others.map((atMs) => atMs - first);
        if (performance.now() > deadline)
          throw new Error(`${others.length + 1} of ${count} Serf agents have the event`);
        await delay(50);
      }
    },
    [Symbol.asyncDispose]: () => endProcess(agents, 'SIGKILL'),
  };
  try {
    await allJoined(agents, count);
    // An agent that still exchanges its state with another one takes what is spread meanwhile for old.
    await delay(settleMs);
  } catch (error) {
    await cluster[Symbol.asyncDispose]();
    throw error;
  }
  return cluster;
}

/** Both the first and the last agent know of all. */
async function allJoined(agents: ChildProcess, count: number): Promise<void> {
  const deadline = performance.now() + joinedWithinMs;
  for (const index of [0, count - 1]) {
    for (;;) {
      const output = await serf(agents, [
        'members',
        `-rpc-addr=127.0.0.1:${firstRpcPort + index}`,
        '-status=alive',
      ]).catch(() => '');
      const alive = output.split('\n').filter((line) => line.includes('alive')).length;
      if (alive === count) break;
      if (performance.now() > deadline) throw new Error(`${alive} of ${count} Serf agents found each other`);
      await delay(1_000);
    }
  }
}

async function serf(agents: ChildProcess, words: string[]): Promise<string> {
  const inside = ['nsenter', '--target', String(agents.pid), '--net', '--'];
  const { code, stdout, stderr } = await runTied([...inside, 'serf', ...words]);
  if (code !== 0) throw new Error(`serf ${words.join(' ')}: ${stderr.trim()} ${stdout.trim()}`);
  return stdout;
}
