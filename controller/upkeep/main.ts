// What is done to a controller from beside it, on its machine: `muster doctor`, `restore` and `support` run this.
import { parseArgs } from 'node:util';
import { errorChain } from '../../protocol/error-chain.ts';
import { deviceSocketsVariable, inheritedSockets } from '../../boot/device-sockets.ts';
import { checkConfiguration, type ConfigurationFile, readConfigurationFile } from '../configuration.ts';
import { diagnose, diagnosisText } from './diagnosis.ts';
import { lookAtMachine } from './machine.ts';
import { restore, restoredText } from './restore.ts';
import { askSegment } from './segment.ts';
import { makeSupportFile } from './support.ts';

const options = {
  json: { type: 'boolean' },
  config: { type: 'string' },
  interface: { type: 'string' },
  address: { type: 'string' },
  'state-dir': { type: 'string' },
  cache: { type: 'string' },
  url: { type: 'string' },
} as const;

async function main(): Promise<number> {
  // Whatever is made in the state directory holds keys.
  process.umask(0o077);
  const { values, positionals } = parseArgs({ options, allowPositionals: true });
  const { json = false, config, url = 'http://127.0.0.1:8080', 'state-dir': named, ...given } = values;
  const state = named ?? process.env['MUSTER_STATE'];
  const flags = { ...given, ...(state === undefined ? {} : { state }) };
  const stateDirectory = state ?? '/var/lib/muster';
  const [verb, what = ''] = positionals;
  switch (verb) {
    case 'doctor': {
      const findings = diagnose(await lookAtMachine({ ...configured(config, flags), now: Date.now() }));
      process.stdout.write(json ? `${JSON.stringify({ findings })}\n` : diagnosisText(findings));
      return findings.some(({ verdict }) => verdict === 'problem') ? 1 : 0;
    }
    case 'restore': {
      const done = await restore({ from: what, stateDirectory, now: Date.now() });
      process.stdout.write(json ? `${JSON.stringify(done)}\n` : restoredText(done));
      return 0;
    }
    case 'support': {
      const findings = diagnose(await lookAtMachine({ ...configured(config, flags), now: Date.now() }));
      const lacking = await makeSupportFile({ file: what, url, stateDirectory, config, findings, now: Date.now() });
      process.stdout.write(
        json
          ? `${JSON.stringify({ file: what, lacking })}\n`
          : `${lacking.map((line) => `not in it: ${line}\n`).join('')}${what}: look through it before you send it\n`,
      );
      return 0;
    }
    case 'ask-segment': {
      const fd = inheritedSockets(process.env[deviceSocketsVariable]).get('dhcp');
      if (fd === undefined)
        throw new Error('cannot ask the segment without a socket, want to be started by sockets.pl');
      process.stdout.write(`${JSON.stringify(await askSegment(fd, what))}\n`);
      return 0;
    }
    default:
      throw new Error(`cannot do ${JSON.stringify(verb)}, want doctor, restore or support`);
  }
}

/** A file that cannot be used is a finding, not the end: the flags may be enough to look at the rest. */
function configured(
  path: string | undefined,
  flags: Partial<Record<'interface' | 'address' | 'state' | 'cache', string>>,
): { file: ConfigurationFile; wrong?: string } {
  const given = checkConfiguration({ ...flags }, 'the flags');
  if (path === undefined) return { file: given };
  try {
    return { file: { ...readConfigurationFile(path), ...given } };
  } catch (error) {
    return { file: given, wrong: errorChain(error) };
  }
}

/** As the command line tells its own errors where JSON is asked for. */
function errorLine(error: unknown): string {
  const code = error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : 'failed';
  return JSON.stringify({ error: errorChain(error), code });
}

try {
  process.exitCode = await main();
} catch (error) {
  process.stderr.write(`${process.argv.includes('--json') ? errorLine(error) : `muster: ${errorChain(error)}`}\n`);
  process.exitCode = 1;
}
