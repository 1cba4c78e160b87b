// The operator's last resort on a board that boots but does not behave: SSH with the controller's own key.
//
// The sessions are in a process of their own (node-shell-process.ts): key exchanges and decryption cost processor time and
// memory, a hostile board decides how much, and here they would be taken from the permits of all others. The process is
// started when it is first needed, and ended when nobody has needed it for a while. One that breaks or hangs costs the
// sessions in it, and the next session starts another.
import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { errorChain } from '../../protocol/error-chain.ts';
import type { Mac } from '../../protocol/mac.ts';
import { RefusedError } from '../api/serving/http.ts';
import type { SessionAnswer, SessionRequest, ShellAnswer } from './node-shell-process.ts';

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

export interface ShellLimits {
  connectMs: number;
  answerMs: number;
  /** All that the board may send, with everything that SSH adds. */
  answerBytes: number;
}

export interface ShellTarget {
  mac: Mac;
  ip: string;
  /** The one that it gave when it joined; null where it gave none. */
  hostKey: string | null;
}

export interface NodeShell {
  /** It may be needed soon: its process takes a busy machine a second to start. Never waits. */
  prepare(): void;
  /**
   * Runs one command; refuses a host whose key is not the one that it gave when it joined. Without limits it is an
   * operator's question, of which only some are answered at once.
   */
  run(node: ShellTarget, request: { command: string; limits?: ShellLimits }): Promise<ShellAnswer>;
}

/** The processes of a board with 32,768 of them, in full. */
const questionLimits: ShellLimits = { connectMs: 5_000, answerMs: 10_000, answerBytes: 4 * 2 ** 20 };
const questionsAtOnce = 8;

export function createNodeShell(privateKey: string, { port = 22 }: { port?: number } = {}): NodeShell {
  let sessions: SessionProcess | undefined;
  let questionsUnderWay = 0;

  function prepared(): SessionProcess {
    if (sessions === undefined || sessions.ended) sessions = startSessionProcess(privateKey);
    return sessions;
  }

  async function ask(
    { mac, ip, hostKey }: ShellTarget & { hostKey: string },
    { command, limits }: { command: string; limits: ShellLimits },
  ) {
    try {
      return await prepared().ask({ host: ip, port, hostKey, command, ...limits });
    } catch (cause) {
      throw new RefusedError(502, `cannot reach ${mac} at ${ip} by SSH: ${errorChain(cause)}`);
    }
  }

  return {
    prepare: () => void prepared(),
    run: async ({ mac, ip, hostKey }, { command, limits }) => {
      if (hostKey === null)
        throw new RefusedError(409, `cannot reach ${mac} by SSH: it gave no host key when it joined`);
      const node = { mac, ip, hostKey };
      if (limits !== undefined) return ask(node, { command, limits });
      if (questionsUnderWay >= questionsAtOnce)
        throw new RefusedError(
          429,
          `cannot ask ${mac} by SSH: ${questionsUnderWay} questions are under way, try again`,
        );
      questionsUnderWay += 1;
      return ask(node, { command, limits: questionLimits }).finally(() => (questionsUnderWay -= 1));
    },
  };
}

/** Beyond the limits of a session, which the process keeps itself: then it hangs. */
const hangMs = 5_000;
const idleMs = 60_000;

interface SessionProcess {
  readonly ended: boolean;
  ask(request: Omit<SessionRequest, 'id'>): Promise<ShellAnswer>;
}

function startSessionProcess(privateKey: string): SessionProcess {
  const child = fork(fileURLToPath(new URL('./node-shell-process.ts', import.meta.url)), [], {
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  });
  const waiting = new Map<number, { resolve: (answer: ShellAnswer) => void; reject: (error: Error) => void }>();
  let ended = false;
  let lastId = 0;
  let idle: NodeJS.Timeout | undefined;

  function end(why: string): void {
    if (ended) return;
    ended = true;
    clearTimeout(idle);
    child.kill('SIGKILL');
    for (const { reject } of waiting.values()) reject(new Error(why));
    waiting.clear();
  }
  function send(message: string | SessionRequest): void {
    child.send(message, (error) => {
      if (error !== null) end(`the process of SSH sessions cannot be told: ${error.message}`);
    });
  }
  child.on('error', (error) => end(`the process of SSH sessions cannot be started: ${error.message}`));
  child.on('exit', (code, signal) => end(`the process of SSH sessions ended with ${signal ?? code}`));
  child.on('message', (said: SessionAnswer) => {
    if ('answer' in said) waiting.get(said.id)?.resolve(said.answer);
    else waiting.get(said.id)?.reject(new Error(said.failed));
  });
  // What waits for an answer keeps this process alive by its own time limit. After the listeners, which undo it.
  child.unref();
  child.channel?.unref();
  send(privateKey);
  idle = setTimeout(() => end('nobody needs it'), idleMs).unref();

  return {
    get ended() {
      return ended;
    },
    ask: async (request) => {
      clearTimeout(idle);
      const id = ++lastId;
      const { promise, resolve, reject } = Promise.withResolvers<ShellAnswer>();
      waiting.set(id, { resolve, reject });
      const mostMs = request.connectMs + request.answerMs + hangMs;
      const timer = setTimeout(() => end(`the process of SSH sessions hung for ${mostMs} ms`), mostMs);
      send({ id, ...request });
      try {
        return await promise;
      } finally {
        clearTimeout(timer);
        waiting.delete(id);
        if (waiting.size === 0 && !ended) idle = setTimeout(() => end('nobody needs it'), idleMs).unref();
      }
    },
  };
}
