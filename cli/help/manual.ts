// The man page, from the declarations of the commands, in the macros of man(7).
import { globalOptions, usageOf, type Command, type Option } from '../command.ts';
import { exitCodes, optionUsage } from './help.ts';

export function manualPage(commands: readonly Command[], version: string): string {
  return `.TH MUSTER 1 "" "Muster ${text(version)}" "Muster"
.SH NAME
muster \\- watch and steer a rack
.SH SYNOPSIS
.B muster
.I COMMAND
.RI [ ARGUMENTS ]
.RI [ OPTIONS ]
.SH DESCRIPTION
The operators' command line of Muster, a rack controller: it asks the controller over HTTP, and keeps nothing itself.
Sizes are like 64M or 1G (powers of 1024), durations like 90s or 5m.
.SH COMMANDS
${commands.map(section).join('')}.SS muster up \\-\\-interface NAME
Serve a rack: the controller itself. See
.BR "muster up \\-\\-help" .
.SH OPTIONS
Every command takes these.
${options(globalOptions)}.SH EXIT STATUS
${exitCodes.map(([code, meaning]) => `.TP\n.B ${code}\n${text(meaning)}\n`).join('')}.PP
With
.B \\-\\-json
an error is one line of JSON on standard error: what was wrong
.RB ( error ),
a word for programs
.RB ( code ),
and the status of the HTTP answer where there was one
.RB ( status ).
.SH ENVIRONMENT
${environment.map(([name, meaning]) => `.TP\n.B ${name}\n${text(meaning)}\n`).join('')}`;
}

const environment: readonly (readonly [name: string, meaning: string])[] = [
  ['MUSTER_URL', 'The controller, as --url.'],
  ['MUSTER_TOKEN', "An operator's token, as --token."],
  ['MUSTER_STATE', "The controller's state directory, as --state-dir."],
  ['NO_COLOR', 'When it is set, nothing is coloured.'],
];

function section(command: Command): string {
  const details = (command.details ?? '').split('\n').filter((line) => line !== '');
  const paragraphs = details.length === 0 ? '' : `.PP\n${details.map((line) => `${text(line)}\n`).join('.br\n')}`;
  return `.SS ${text(usageOf(command))}\n${text(capital(command.summary))}.\n${paragraphs}${options(command.options ?? {})}`;
}

function options(declared: Record<string, Option>): string {
  return Object.entries(declared)
    .map(([name, option]) => `.TP\n.B ${text(optionUsage(name, option))}\n${text(capital(option.help))}.\n`)
    .join('');
}

function capital(sentence: string): string {
  return sentence.charAt(0).toUpperCase() + sentence.slice(1);
}

/** Nothing in it is a macro, an escape, or a hyphen that a terminal would not copy as one. */
function text(plain: string): string {
  return plain
    .replaceAll('\\', '\\e')
    .replaceAll('-', '\\-')
    .replaceAll('\u2019', '\\(cq')
    .replace(/^([.'])/, '\\&$1');
}
