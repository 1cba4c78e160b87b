// How large what a board is told may be: one set of numbers for both ends. The desired state lists instances in entries of
// bounded size and names the configuration of each by its digest; a configuration is fetched apart, once for each board
// and digest, as images are. So no environment, however large or however often replicated, is part of the desired state,
// and one that is unusable spoils only the instances that name it.
import { createHash } from 'node:crypto';
import type { ContainerConfiguration } from './api/instances.ts';
import { userLimit } from './container/container-user.ts';
import { stopSignalNumber } from './container/stop-signal.ts';

/** Most on one board, whatever its memory. */
export const instancesPerNodeLimit = 1_000;
/** In one report: those that should be there, and as many that are on their way out. */
export const reportedInstancesLimit = 2 * instancesPerNodeLimit;

/** Of the desired state. Parsing holds up the thread that obeys permits: about 10 ms here, 100 ms on a slow board. */
export const desiredLimitBytes = 1024 * 1024;

/**
 * Of the arguments and, again, of the environment, both as JSON text, which is never less than what execve counts. Linux
 * takes at most 128 KiB in one string and, with a stack of 8 MiB, 2 MiB in all.
 */
const listLimitBytes = 32 * 1024;
const listLimitEntries = 512;
const workingDirLimitBytes = 4 * 1024;
const checksLimitBytes = 8 * 1024;
/** Of everything else, with its names. */
const restLimitBytes = 4 * 1024;

/** Of one configuration. */
export const configurationLimitBytes = 2 * listLimitBytes + workingDirLimitBytes + checksLimitBytes + restLimitBytes;

/** The one form in which it is sent, stored and hashed. */
export function configurationText(configuration: ContainerConfiguration): string {
  const { args, env, workingDir, user, capabilities, stopSignal, stopGraceMs, checks } = configuration;
  // What is not there is left out.
  return JSON.stringify({ args, env, workingDir, user, capabilities, stopSignal, stopGraceMs, checks });
}

export function configurationDigest(configuration: ContainerConfiguration): string {
  return createHash('sha256').update(configurationText(configuration)).digest('hex');
}

/** Why no board may be asked to run it, in words that follow "cannot …: "; undefined where one may. */
export function configurationProblem(configuration: ContainerConfiguration): string | undefined {
  const { args, env, workingDir, user = '', stopSignal, checks = {} } = configuration;
  if (jsonBytes(checks) > checksLimitBytes)
    return `its checks are ${jsonBytes(checks)} bytes, want at most ${checksLimitBytes}: put long commands into a file of the image`;
  const directoryBytes = jsonBytes(workingDir);
  if (directoryBytes > workingDirLimitBytes)
    return `its working directory is a name of ${directoryBytes} bytes, want at most ${workingDirLimitBytes}`;
  return (
    listProblem(env, { what: 'environment', nameOf: (entry) => entry.slice(0, Math.max(0, entry.indexOf('='))) }) ??
    listProblem(args, { what: 'command', nameOf: (entry) => entry }) ??
    (workingDir.includes('\0') ? 'its working directory holds a zero byte' : undefined) ??
    (user.length > userLimit || user.includes('\0')
      ? `its user is ${JSON.stringify(user.slice(0, 40))}, want user or user:group in at most ${userLimit} characters`
      : undefined) ??
    (stopSignalNumber(stopSignal) === undefined
      ? `its stop signal is ${JSON.stringify(stopSignal?.slice(0, 40))}, want one like SIGTERM, SIGINT or SIGRTMIN+3`
      : undefined)
  );
}

function listProblem(
  entries: readonly string[],
  { what, nameOf }: { what: string; nameOf: (entry: string) => string },
): string | undefined {
  if (entries.length > listLimitEntries)
    return `its ${what} has ${entries.length} entries, want at most ${listLimitEntries}`;
  const sizeBytes = jsonBytes(entries);
  if (sizeBytes > listLimitBytes) {
    const largest = entries.reduce((most, entry) => (entry.length > most.length ? entry : most), '');
    const named = JSON.stringify(nameOf(largest).slice(0, 40));
    return `its ${what} is ${sizeBytes} bytes, want at most ${listLimitBytes}; the largest entry, ${named}, has ${jsonBytes(largest)}: put such data into a file of the image`;
  }
  const broken = entries.find((entry) => entry.includes('\0'));
  return broken === undefined ? undefined : `its ${what} holds a zero byte in ${JSON.stringify(broken.slice(0, 40))}`;
}

function jsonBytes(value: unknown): number {
  return Buffer.byteLength(JSON.stringify(value));
}
