// The help texts, from the declarations of the commands alone.
import { globalOptions, usageOf, type Command, type Option } from './command.ts';

/** What `run.ts` does without a command of the table. */
export const others: readonly (readonly [usage: string, summary: string])[] = [
  ['up --interface NAME [options]', 'serve a rack: the controller itself (see muster up --help)'],
  ['help [COMMAND]', 'say how it is used'],
];

export const exitCodes: readonly (readonly [code: number, meaning: string])[] = [
  [0, 'done'],
  [1, 'refused, failed, or not within the time that was promised'],
  [2, 'wrong usage: nothing was changed'],
  [3, 'waits for a second operator'],
  [4, 'in force, but not on the controller\u2019s disk yet'],
  [130, 'interrupted'],
];

/** The help of one command, and the names of those that begin with its words. */
export function commandHelp(command: Command, commands: readonly Command[] = []): string {
  const own = optionLines(command.options ?? {});
  const below = commands.filter(
    ({ words }) => words.length > command.words.length && command.words.every((word, at) => words[at] === word),
  );
  const parts = [`${usageOf(command)}\n\n${command.summary}`];
  if (command.details !== undefined) parts.push(command.details);
  if (own.length > 0) parts.push(`Options:\n${own.join('\n')}`);
  if (below.length > 0) parts.push(`See also:\n${commandLines(below)}`);
  parts.push(`Everywhere:\n${optionLines(globalOptions).join('\n')}`);
  return `${parts.join('\n\n')}\n`;
}

/** The help of a word that is no command by itself: `muster image --help`. */
export function groupHelp(group: string, commands: readonly Command[]): string {
  return `muster ${group}: one of

${commandLines(commands.filter(({ words }) => words[0] === group))}

muster ${group} COMMAND --help says more about each.
`;
}

/** The help of all of them. */
export function overview(commands: readonly Command[]): string {
  return `muster: watch and steer a rack

${commandLines(commands, others)}

Everywhere:
${optionLines(globalOptions).join('\n')}

Sizes are like 64M or 1G (powers of 1024), durations like 90s or 5m. muster COMMAND --help says more about each.

Exit codes:
${exitCodes.map(([code, meaning]) => `  ${String(code).padStart(3)}  ${meaning}`).join('\n')}
`;
}

function commandLines(commands: readonly Command[], more: typeof others = []): string {
  const all = [
    ...commands.map((command) => [usageOf(command).slice('muster '.length), command.summary] as const),
    ...more,
  ];
  const width = Math.max(...all.map(([usage]) => usage.length));
  return all.map(([usage, summary]) => `  ${usage.padEnd(width)}  ${summary}`).join('\n');
}

/** `--image IMAGE` */
export function optionUsage(name: string, { value }: Option): string {
  return `--${name}${value === undefined ? '' : ` ${value}`}`;
}

function optionLines(options: Record<string, Option>): string[] {
  const named = Object.entries(options).map(([name, option]) => ({
    left: `  ${optionUsage(name, option)}`,
    help: option.help,
  }));
  const width = Math.max(0, ...named.map(({ left }) => left.length));
  return named.map(({ left, help }) => `${left.padEnd(width)}  ${help}`);
}
