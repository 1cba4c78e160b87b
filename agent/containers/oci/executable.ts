// Why the kernel would not execute what a container is started with: it says one word for many causes ("No such file or
// directory" for a script whose interpreter is missing), so the image's own files are asked.
import { statSync } from 'node:fs';
import { isAbsolute, join } from 'node:path';
import { findInImage, readInImage } from './image-file.ts';

export interface Execution {
  /** The program as it is named: `nginx`, `./run`, `/usr/bin/web`. */
  program: string;
  env: readonly string[];
  workingDir: string;
  /** The board's, as Node names it. */
  machine: NodeJS.Architecture;
}

const headBytes = 4_096;
/** Of PATH: an image may name thousands. */
const directoriesLimit = 32;
const usualPath = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** By their number in the header of an ELF file (gABI, `e_machine`). */
const machines: Record<number, string> = {
  3: 'x86',
  20: 'ppc',
  21: 'ppc64',
  22: 's390x',
  40: 'arm',
  62: 'x64',
  183: 'arm64',
  243: 'riscv64',
  258: 'loong64',
};

/** In words that follow "cannot start: "; undefined where nothing is wrong with the image's files. */
export function whyNotExecuted(root: string, execution: Execution): string | undefined {
  const { program, env, workingDir, machine } = execution;
  const path = env.findLast((each) => each.startsWith('PATH='))?.slice(5) ?? usualPath;
  const candidates = program.includes('/')
    ? [isAbsolute(program) ? program : join('/', workingDir, program)]
    : path.split(':', directoriesLimit).map((directory) => join('/', directory, program));
  const found = candidates.find((candidate) => findInImage(root, candidate) !== undefined);
  if (found === undefined)
    return program.includes('/')
      ? `${JSON.stringify(program)} is no file of the image`
      : `${JSON.stringify(program)} is not in the image's PATH (${path.slice(0, 200)})`;
  return unfit(root, { file: found, machine, depth: 0 });
}

function unfit(
  root: string,
  { file, machine, depth }: { file: string; machine: NodeJS.Architecture; depth: number },
): string | undefined {
  const mode = statSync(findInImage(root, file) ?? root).mode & 0o777;
  if ((mode & 0o111) === 0)
    return `${file} is not executable: its mode is ${mode.toString(8)}, want ${(mode | 0o111).toString(8)}`;
  const head = readInImage(root, { path: file, limitBytes: headBytes }) ?? Buffer.alloc(0);
  const interpreter = head.toString('latin1', 0, 2) === '#!' ? scriptInterpreter(head) : elfInterpreter(head);
  if (interpreter === undefined)
    return `exec format error: ${file} is no program for Linux, and no script that begins with #!`;
  if (interpreter.machine !== undefined && interpreter.machine !== machine)
    return `exec format error: ${file} is a program for ${interpreter.machine}, this board is ${machine}`;
  const { needs } = interpreter;
  if (needs === '') return undefined;
  if (findInImage(root, needs) !== undefined)
    return depth < 3 ? unfit(root, { file: needs, machine, depth: depth + 1 }) : undefined;
  if (needs.endsWith('\r'))
    return `the first line of ${file} ends with CR LF, so the interpreter would be ${JSON.stringify(needs)}: save it with LF line ends`;
  return `${file} needs ${JSON.stringify(needs)}, which is no file of the image`;
}

/** What a file is made for, and what it needs to run: '' for nothing. */
interface Interpreter {
  machine?: string;
  needs: string;
}

/** Of `#!/usr/bin/env sh`: what the kernel looks for, carriage return and all. */
function scriptInterpreter(head: Buffer): Interpreter | undefined {
  const [line = ''] = head.toString('latin1', 2, 256).split('\n');
  const [needs = ''] = line.replace(/^[ \t]+/, '').split(/[ \t]/);
  return needs === '' ? undefined : { needs };
}

/** Its machine, and its loader where it has one: program header PT_INTERP. */
function elfInterpreter(head: Buffer): Interpreter | undefined {
  if (head.length < 64 || head.toString('latin1', 0, 4) !== '\u007fELF' || head[5] !== 1) return undefined;
  const number = head.readUInt16LE(18);
  const machine = machines[number] ?? `machine ${number}`;
  const none = { machine, needs: '' };
  // 32 bits have another form; no board takes them.
  if (head[4] !== 2) return none;
  const at = Number(head.readBigUInt64LE(32));
  const size = head.readUInt16LE(54);
  for (let n = 0; n < head.readUInt16LE(56); n++) {
    const entry = at + n * size;
    if (size < 56 || entry + 56 > head.length) break;
    if (head.readUInt32LE(entry) !== 3) continue;
    const from = Number(head.readBigUInt64LE(entry + 8));
    const to = from + Number(head.readBigUInt64LE(entry + 32));
    return to > head.length ? none : { machine, needs: head.toString('latin1', from, to).replace(/\0.*$/s, '') };
  }
  return none;
}
