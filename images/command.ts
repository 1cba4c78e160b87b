import { execFile } from 'node:child_process';

export interface CommandOptions {
  cwd?: string | undefined;
  env?: Record<string, string> | undefined;
  signal?: AbortSignal | undefined;
}

// depmod and friends live in sbin, which a user's PATH may lack; messages are parsed, so they must be English.
const environment = { PATH: `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin:/usr/bin:/bin`, LC_ALL: 'C.UTF-8' };

/**
 * Runs a program without a shell and gives its standard output.
 * Throws with the exit code and the end of what it said when it fails, and by name when it is not installed.
 */
// oxlint-disable-next-line max-params -- those of execFile
export function run(command: string, args: readonly string[], options: CommandOptions = {}): Promise<string> {
  return new Promise((resolve, reject) => {
    const { cwd, env, signal } = options;
    execFile(
      command,
      args,
      { cwd, signal, env: { ...process.env, ...environment, ...env }, maxBuffer: 64 * 1024 * 1024 },
      // oxlint-disable-next-line max-params -- Node's signature
      (error, stdout, stderr) => {
        if (error === null) return resolve(stdout);
        if (signal?.aborted === true) return reject(error);
        if (error.code === 'ENOENT') {
          return reject(new Error(`cannot run ${command}: it is not installed`, { cause: error }));
        }
        const said = (stderr.trim() || stdout.trim()).slice(-2000);
        const shown = args
          .filter((arg) => !arg.startsWith('-o'))
          .join(' ')
          .slice(0, 200);
        reject(new Error(`cannot ${command} ${shown}: exit ${String(error.code)}: ${said}`));
      },
    );
  });
}
