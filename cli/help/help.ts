// The help texts, from the declarations of the commands alone.
import { globalOptions, usageOf, type Command, type Option } from '../command.ts';

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

/** `columns`: how wide lines may be. */
interface Paper {
  columns?: number | undefined;
}

/** All commands that begin with the same word, or more. */
interface Known {
  commands: readonly Command[];
}

/** The help of one command, and the names of those that begin with its words. */
export function commandHelp(command: Command, { commands, ...paper }: Paper & Known): string {
  const { options = {} } = command;
  const below = commands.filter(
    ({ words }) => words.length > command.words.length && command.words.every((word, at) => words[at] === word),
  );
  const parts = [`${usageOf(command)}\n\n${command.summary}`];
  if (command.details !== undefined) parts.push(command.details);
  if (Object.keys(options).length > 0) parts.push(`Options:\n${optionLines(options, paper)}`);
  if (below.length > 0) parts.push(`See also:\n${commandLines(below, paper)}`);
  parts.push(`Everywhere:\n${optionLines(globalOptions, paper)}`);
  return `${parts.join('\n\n')}\n`;
}

/** The help of a word that is no command by itself: `muster image --help`. */
export function groupHelp(group: string, { commands, ...paper }: Paper & Known): string {
  return `muster ${group}: one of

${commandLines(
  commands.filter(({ words }) => words[0] === group),
  paper,
)}

muster ${group} COMMAND --help says more about each.
`;
}

/** The help of all of them. */
export function overview(parts: readonly { title: string; commands: readonly Command[] }[], paper: Paper = {}): string {
  const all = parts.map(({ title, commands }, at) => ({
    title,
    lines: usages(commands, at === parts.length - 1 ? others : []),
  }));
  const left = Math.max(...all.flatMap(({ lines }) => lines.map(([usage]) => usage.length)));
  return `muster: watch and steer a rack

${all.map(({ title, lines }) => `${title}\n${twoColumns(lines, { ...paper, left })}`).join('\n\n')}

Everywhere
${optionLines(globalOptions, paper)}

Sizes are like 64M or 1G (powers of 1024), durations like 90s or 5m.
muster COMMAND --help says more about each.

Exit codes
${exitCodes.map(([code, meaning]) => `  ${String(code).padStart(3)}  ${meaning}`).join('\n')}
`;
}

type Line = readonly [left: string, right: string];

function usages(commands: readonly Command[], more: readonly Line[] = []): Line[] {
  return [...commands.map((command): Line => [usageOf(command).slice('muster '.length), command.summary]), ...more];
}

function commandLines(commands: readonly Command[], paper: Paper): string {
  return twoColumns(usages(commands), paper);
}

/** What stands right goes on in lines of its own where the paper is narrow, as long as that leaves room for words. */
function twoColumns(lines: readonly Line[], { columns = Infinity, left }: Paper & { left?: number }): string {
  const width = left ?? Math.max(0, ...lines.map(([each]) => each.length));
  const room = Math.max(24, columns - width - 4);
  return lines
    .map(([each, right]) => `  ${each.padEnd(width)}  ${wrapped(right, room).join(`\n${' '.repeat(width + 4)}`)}`)
    .join('\n');
}

function wrapped(text: string, room: number): string[] {
  const lines: string[] = [];
  for (const word of text.split(' ')) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + 1 + word.length <= room) lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(word);
  }
  return lines;
}

/** `--image IMAGE`, `-f, --file FILE` */
export function optionUsage(name: string, { value, short }: Option): string {
  return `${short === undefined ? '' : `-${short}, `}--${name}${value === undefined ? '' : ` ${value}`}`;
}

function optionLines(options: Record<string, Option>, paper: Paper): string {
  const lines = Object.entries(options).map(([name, option]): Line => [optionUsage(name, option), option.help]);
  return twoColumns(lines, paper);
}
