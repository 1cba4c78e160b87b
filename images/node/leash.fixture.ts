// Leash and hand on this machine as PID 1 of a node starts them: before everything else, as far as this machine lets root do
// it. Without that, a machine that is busy with other tests starves what on a board nothing can starve.
import { spawn, spawnSync, type ChildProcess, type StdioOptions } from 'node:child_process';
import { fileURLToPath } from 'node:url';

export function spawnLeash(stdio: StdioOptions): { leash: ChildProcess; hand: ChildProcess } {
  const isAllowed = spawnSync('chrt', ['-f', '10', 'true']).status === 0;
  return {
    hand: run([...(isAllowed ? ['nice', '-n', '-20'] : []), ...shell('leash-hand.sh')], stdio),
    leash: run([...(isAllowed ? ['chrt', '-f', '10'] : []), ...shell('leash.sh')], stdio),
  };
}

const shell = (script: string): string[] => ['busybox', 'sh', fileURLToPath(new URL(script, import.meta.url))];

function run([program = '', ...args]: readonly string[], stdio: StdioOptions): ChildProcess {
  return spawn(program, args, { stdio });
}
