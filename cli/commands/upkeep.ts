// What is done on the controller's own machine, with or without a controller: by a program of the controller's, since a
// client of the API has nothing to ask then.
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Call, Command } from '../command.ts';
import { become } from '../process.ts';

const program = fileURLToPath(new URL('../../controller/upkeep/main.ts', import.meta.url));

export const upkeepCommands: Command[] = [
  {
    words: ['doctor'],
    usage: '',
    summary: 'look whether this machine can run a controller, or what is wrong with it',
    details: `Looks at the interface, ports, other DHCP servers, disk, clock, limits, rights and programs of this machine; before the
first start and at any time. Ends with 1 where something is a problem. As root, or some things cannot be seen.`,
    options: {
      interface: { type: 'string', value: 'NAME', help: 'the network interface that the boards are connected to' },
      address: { type: 'string', value: 'CIDR', help: 'our address on it, as for muster up' },
      config: { type: 'string', value: 'FILE', help: 'the configuration file, as for muster up' },
      cache: { type: 'string', value: 'DIR', help: 'the directory of downloads and built images' },
    },
    run: (_context, call) =>
      become(program, ['doctor', ...handedOn(call, ['interface', 'address', 'config', 'cache'])]),
  },
  {
    words: ['restore'],
    usage: 'DIR|FILE',
    summary: 'put back what muster backup made, while no controller runs',
    details: `DIR is the directory that muster backup made, or a copy of it; FILE a tar of that. What is in the state directory
(--state-dir, else /var/lib/muster) is kept beside it. Tells which orders are newer than the backup.`,
    takes: [1, 1],
    run: (_context, call) => become(program, ['restore', resolve(call.positionals[0] ?? ''), ...handedOn(call, [])]),
  },
  {
    words: ['support'],
    usage: '',
    summary: 'gather in one file what somebody needs to help you, without secrets',
    details: `Versions, status, nodes, orders, events, metrics, the end of the log, the configuration, and what muster doctor finds.
Keys, tokens and passwords are taken out; what containers print and are started with is not in it. Run it as root on the
controller's machine, also where no controller runs.`,
    options: {
      file: { type: 'string', value: 'FILE', help: 'what to make (default muster-support-<time>.tar.gz here)' },
      interface: { type: 'string', value: 'NAME', help: 'the network interface that the boards are connected to' },
      config: { type: 'string', value: 'FILE', help: 'the configuration file, as for muster up' },
      cache: { type: 'string', value: 'DIR', help: 'the directory of downloads and built images' },
    },
    run: (context, call) => {
      const stamp = new Date(context.now()).toISOString().slice(0, 19).replaceAll(/[-:]/g, '');
      const file = resolve(call.text('file') ?? `muster-support-${stamp}.tar.gz`);
      const url = ['--url', context.api.url];
      return become(program, ['support', file, ...url, ...handedOn(call, ['interface', 'config', 'cache'])]);
    },
  },
];

function handedOn(call: Call, names: readonly string[]): string[] {
  const given = names.flatMap((name) => flag(name, call.text(name)));
  return [...given, ...flag('state-dir', call.text('state-dir')), ...(call.json ? ['--json'] : [])];
}

function flag(name: string, value: string | undefined): string[] {
  return value === undefined ? [] : [`--${name}`, value];
}
