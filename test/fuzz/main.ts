// node test/fuzz/main.ts [--protocol NAME] [COUNT] [SEED]: the nightly form. Prints the seed first, so that a failure can
// be had again; ends with an error when a protocol breaks, or leaves the process larger than it may.
import { parseArgs } from 'node:util';
import { fuzzBeacon } from './beacon.ts';
import { fuzzCmdline } from './cmdline.ts';
import { fuzzDhcp } from './dhcp.ts';
import { fuzzHeartbeat } from './heartbeat.ts';
import { fuzzAgentApi, fuzzBootHttp, fuzzOperatorApi } from './http-servers.ts';
import { fuzzPermit } from './permit.ts';
import { type Random, seededRandom } from './random.ts';
import { fuzzTftp } from './tftp.ts';

const protocols: Record<string, (count: number, random: Random) => number | Promise<number>> = {
  dhcp: fuzzDhcp,
  tftp: fuzzTftp,
  beacon: fuzzBeacon,
  heartbeat: fuzzHeartbeat,
  permit: fuzzPermit,
  cmdline: fuzzCmdline,
  'boot-http': fuzzBootHttp,
  'operator-api': fuzzOperatorApi,
  'agent-api': fuzzAgentApi,
};
/** What a million packets may leave behind once a first tenth has warmed everything up: the heap's own slack, no more. */
const growthLimitBytes = 64 * 2 ** 20;

const { values, positionals } = parseArgs({ allowPositionals: true, options: { protocol: { type: 'string' } } });
const count = Number(positionals[0] ?? 1_000_000);
const seed = Number(positionals[1] ?? Date.now() % 1_000_000_000);
const chosen = Object.entries(protocols).filter(([name]) => values.protocol === undefined || name === values.protocol);
if (!Number.isInteger(count) || count < 1 || !Number.isInteger(seed) || chosen.length === 0)
  throw new Error(
    `usage: node test/fuzz/main.ts [--protocol ${Object.keys(protocols).join('|')}] [COUNT] [SEED], both whole numbers`,
  );

for (const [name, fuzz] of chosen) {
  console.log(`${name}: seed ${seed}, again with node test/fuzz/main.ts --protocol ${name} ${count} ${seed}`);
  await fuzz(Math.ceil(count / 10), seededRandom(seed + 1));
  const before = process.memoryUsage.rss();
  const startedMs = performance.now();
  const answered = await fuzz(count, seededRandom(seed));
  const seconds = (performance.now() - startedMs) / 1000;
  const grown = process.memoryUsage.rss() - before;
  const rate = Math.round(count / seconds);
  console.log(
    `${name}: ${count} in ${seconds.toFixed(1)} s (${rate}/s), ${answered} accepted or answered, ${(grown / 2 ** 20).toFixed(1)} MB more`,
  );
  if (grown > growthLimitBytes)
    throw new Error(`${name}: ${grown} bytes more after ${count}, want at most ${growthLimitBytes}`);
}
