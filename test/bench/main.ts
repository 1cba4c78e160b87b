// `npm run bench`: measures what the project promises, on real parts, and prints one table.
//
//   npm run bench                        everything (about half an hour on two cores)
//   npm run bench -- boot kill           only these
//   npm run bench -- sizes --json        for a program
//   npm run bench -- boot --runs 10      each thing ten times
//
// Figures of boards are of QEMU without KVM: a busy machine makes them worse, so the load is printed with them. An aim
// that was missed is shown and is no failure of the run; a bench that could not measure is.
import { mkdtempSync, rmSync } from 'node:fs';
import { cpus, loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { errorChain } from '../../protocol/error-chain.ts';
import { measureAgent, measureAgentCpu } from './agent.ts';
import { measureBoot } from './boot.ts';
import { measureContainer } from './container.ts';
import { measureController } from './controller.ts';
import { renderFigures, type Bench, type Figure } from './figure.ts';
import { measureIcountKill, measureBoardKill } from './kill-board.ts';
import { measureDhcp } from './boot-server/dhcp.ts';
import { measureKill } from './kill.ts';
import { measurePermits } from './permits.ts';
import { measureSizes } from './sizes.ts';
import { measureTftp } from './boot-server/tftp.ts';

const benches: Record<string, { bench: Bench; what: string }> = {
  sizes: { bench: measureSizes, what: 'the files that a board fetches' },
  controller: { bench: measureController, what: 'start-up and memory of the controller, 0 and 684 nodes' },
  kill: {
    bench: measureKill,
    what: '684 and more simulated agents: what they cost the controller, receipts of a kill order, Serf beside it',
  },
  permits: { bench: measurePermits, what: 'how long a permit takes, also while the controller is busy' },
  tftp: { bench: measureTftp, what: '50 transfers at once, beside tftpd-hpa' },
  dhcp: { bench: measureDhcp, what: 'exchanges a second, and what each costs, with and without a flood' },
  boot: { bench: measureBoot, what: 'power-on to ready, each firmware path' },
  agent: { bench: measureAgent, what: 'memory of the agent on a board' },
  'agent-icount': { bench: measureAgentCpu, what: 'processor time of the agent on a board, in virtual time' },
  container: { bench: measureContainer, what: 'start of a container on a board' },
  'kill-board': { bench: measureBoardKill, what: 'kill order to last process gone on a board, 1 and 10 instances' },
  'kill-icount': { bench: measureIcountKill, what: 'the same in virtual time, which the host does not touch' },
};

const help = `npm run bench -- [NAMES…] [--runs N] [--json]

${Object.entries(benches)
  .map(([name, { what }]) => `  ${name.padEnd(13)}${what}`)
  .join('\n')}
  --runs N     how often each thing is measured (default 5)
`;

const runLimit = 1_000;

async function main(argv: string[]): Promise<number> {
  const { values, positionals } = parseArgs({
    args: argv,
    allowPositionals: true,
    options: { runs: { type: 'string', default: '5' }, json: { type: 'boolean' }, help: { type: 'boolean' } },
  });
  const runs = Number(values.runs);
  const unknown = positionals.filter((name) => !Object.hasOwn(benches, name));
  if (values.help === true || unknown.length > 0 || !Number.isInteger(runs) || runs < 1 || runs > runLimit) {
    if (unknown.length > 0) process.stderr.write(`there is no bench ${unknown.join(', ')}\n\n`);
    process.stderr.write(help);
    return values.help === true ? 0 : 2;
  }
  const chosen = Object.entries(benches).filter(([name]) => positionals.length === 0 || positionals.includes(name));

  const startedAt = performance.now();
  const print = (text: string) => {
    const seconds = ((performance.now() - startedAt) / 1000).toFixed(1).padStart(6);
    process.stderr.write(`${seconds} s  ${text}\n`);
  };
  const figures: Figure[] = [];
  const failures: string[] = [];
  const loadBefore = loadText();
  for (const [name, { bench, what }] of chosen) {
    print(`${name}: ${what} (load ${loadText()})`);
    try {
      figures.push(...(await bench({ runs, print: (text) => print(`${name}: ${text}`) })));
    } catch (error) {
      failures.push(`${name} could not be measured: ${errorChain(error)}`);
      print(failures.at(-1) ?? '');
    }
  }
  if (values.json === true) process.stdout.write(`${JSON.stringify({ figures, failures }, null, 2)}\n`);
  else {
    const machine = `${cpus().length} × ${cpus()[0]?.model ?? 'unknown CPU'}, Node ${process.version}`;
    process.stdout.write(`\n${machine}, load ${loadBefore} before, ${loadText()} after\n\n${renderFigures(figures)}`);
    for (const failure of failures) process.stdout.write(`\n${failure}\n`);
  }
  return failures.length === 0 ? 0 : 1;
}

function loadText(): string {
  return (loadavg()[0] ?? 0).toFixed(1);
}

// Everything temporary is below one directory that goes with us, also after a Ctrl-C; boards and controllers are tied
// to this process by the kernel.
const scratch = mkdtempSync(join(tmpdir(), 'muster-bench-'));
process.env['TMPDIR'] = scratch;
process.on('exit', () => rmSync(scratch, { recursive: true, force: true }));
for (const [signal, code] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
  ['SIGHUP', 129],
] as const)
  process.once(signal, () => process.exit(code));

process.exitCode = await main(process.argv.slice(2));
