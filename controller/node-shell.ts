// The operator's last resort on a board that boots but does not behave: SSH with the controller's own key.
import type { Mac } from '../protocol/mac.ts';
import { RefusedError, chain } from './http.ts';

/** What a board is asked for a diagnosis, and how it is read. Fixed: an operator's words never reach a shell. */
export const questions = {
  uptime: 'cat /proc/uptime',
  kernel: 'dmesg | tail -n 40',
  processes: 'ps',
  /** Processes of each customer, as the kernel counts them: `acme/pids.current:3`. */
  customers: 'cd /sys/fs/cgroup/customers && grep -H . */pids.current',
  leash: 'tail -n 20 /run/leash/log',
  memory: 'head -n 3 /proc/meminfo',
} as const;

export interface NodeShell {
  /** Runs one command; refuses a host whose key is not the one that it gave when it joined. */
  run(
    node: { mac: Mac; ip: string; hostKey: string | null },
    command: string,
    limits?: { connectMs: number; answerMs: number },
  ): Promise<{ stdout: string; stderr: string; code: number }>;
}

/** A board says what it likes: of more than this nobody wants to know. */
const outputLimitBytes = 4 * 2 ** 20;

export function createNodeShell(privateKey: string, { port = 22 }: { port?: number } = {}): NodeShell {
  return {
    run: async ({ mac, ip, hostKey }, command, { connectMs, answerMs } = { connectMs: 5_000, answerMs: 10_000 }) => {
      if (hostKey === null)
        throw new RefusedError(409, `cannot reach ${mac} by SSH: it gave no host key when it joined`);
      const expected = Buffer.from(hostKey.split(' ')[1] ?? '', 'base64');
      // Loaded when it is first needed: a controller that starts is in a hurry.
      const { NodeSSH } = await import('node-ssh');
      const ssh = new NodeSSH();
      try {
        await ssh.connect({
          host: ip,
          port,
          username: 'root',
          privateKey,
          readyTimeout: connectMs,
          hostVerifier: (key: Buffer) => key.equals(expected),
          algorithms: { serverHostKey: ['ssh-ed25519'] },
        });
        // node-ssh listens for errors only while a command runs. A board that is reset later, or while we say goodbye,
        // resets the connection; an error that nobody listens for would end the controller.
        ssh.connection?.on('error', () => undefined);
        let bytes = 0;
        const count = (chunk: Buffer) => {
          bytes += chunk.length;
          if (bytes > outputLimitBytes) ssh.dispose();
        };
        const { stdout, stderr, code } = await withDeadline(
          ssh.execCommand(command, { onStdout: count, onStderr: count }),
          answerMs,
          `${ip} to answer`,
        );
        if (bytes > outputLimitBytes) throw new Error(`it said more than ${outputLimitBytes} bytes`);
        // node-ssh resolves with no code where the connection dropped under the command.
        if (code === null) throw new Error('the connection dropped');
        return { stdout, stderr, code };
      } catch (cause) {
        throw cause instanceof RefusedError
          ? cause
          : new RefusedError(502, `cannot reach ${mac} at ${ip} by SSH: ${chain(cause)}`);
      } finally {
        ssh.dispose();
      }
    },
  };
}

async function withDeadline<T>(work: Promise<T>, ms: number, what: string): Promise<T> {
  const { promise, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new Error(`waited ${ms} ms for ${what}`)), ms);
  return Promise.race([work, promise]).finally(() => clearTimeout(timer));
}
