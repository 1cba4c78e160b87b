// A root shell on a board that stays open: a fault must happen now, and a new SSH connection takes an emulated board a second.
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import type { RackNetwork } from '../qemu/rack-network.ts';
import { endProcess, hasEnded, startTied } from '../qemu/tied-process.ts';

const connectTimeoutMs = 60_000;

export class BoardShell implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #waiting = new Map<number, (output: { text: string; code: number }) => void>();
  #lines: string[] = [];
  #commands = 0;
  #lastWords = '';

  private constructor(child: ChildProcess) {
    this.#child = child;
  }

  /** `keyFile` is the controller's private key. Rejects when the board does not answer in a minute. */
  static async open({
    network,
    ip,
    keyFile,
  }: {
    network: RackNetwork;
    ip: string;
    keyFile: string;
  }): Promise<BoardShell> {
    const deadline = performance.now() + connectTimeoutMs;
    for (;;) {
      // The network is ours alone, and a board makes itself a new host key at each boot.
      const options = ['BatchMode=yes', 'StrictHostKeyChecking=no', 'UserKnownHostsFile=/dev/null', 'LogLevel=ERROR'];
      const ssh = ['ssh', '-T', '-i', keyFile, ...options.flatMap((option) => ['-o', option]), `root@${ip}`, 'sh'];
      const child = await startTied(network.inside(ssh), { stdio: ['pipe', 'pipe', 'pipe'] });
      const shell = new BoardShell(child);
      shell.#listen();
      try {
        await shell.run('true', { timeoutMs: 20_000 });
        return shell;
      } catch (cause) {
        await shell[Symbol.asyncDispose]();
        if (performance.now() > deadline) throw new Error(`cannot reach ${ip} by SSH: ${shell.#lastWords}`, { cause });
      }
    }
  }

  get isOpen(): boolean {
    return !hasEnded(this.#child);
  }

  /** What the command printed on standard output. Rejects where it ends with another code than 0. */
  async run(command: string, { timeoutMs = 30_000 }: { timeoutMs?: number } = {}): Promise<string> {
    const number = ++this.#commands;
    const { promise, resolve, reject } = Promise.withResolvers<{ text: string; code: number }>();
    this.#waiting.set(number, resolve);
    const timer = setTimeout(() => reject(new Error(`no answer in ${timeoutMs / 1000} s to: ${command}`)), timeoutMs);
    const ended = (): void => reject(new Error(`the shell ended: ${this.#lastWords}`));
    this.#child.once('close', ended);
    this.send(`{ ${command}\n}; echo "done-${number} $?"`);
    try {
      const { text, code } = await promise;
      if (code !== 0) throw new Error(`${command}: ended with ${code}: ${text} ${this.#lastWords}`);
      return text;
    } finally {
      clearTimeout(timer);
      this.#child.off('close', ended);
      this.#waiting.delete(number);
    }
  }

  /** Types a line and waits for nothing. */
  send(line: string): void {
    this.#child.stdin?.write(`${line}\n`);
  }

  #listen(): void {
    this.#child.stdin?.on('error', () => undefined); // its end is told by `close`
    this.#child.stderr?.on(
      'data',
      (chunk: Buffer) => (this.#lastWords = (this.#lastWords + chunk.toString()).slice(-500)),
    );
    if (this.#child.stdout === null) return;
    createInterface({ input: this.#child.stdout }).on('line', (line) => {
      const [, number, code] = /^done-(\d+) (\d+)$/.exec(line) ?? [];
      if (number === undefined) {
        if (this.#lines.push(line) > 1_000) this.#lines.shift();
        return;
      }
      const text = this.#lines.join('\n');
      this.#lines = [];
      this.#waiting.get(Number(number))?.({ text, code: Number(code) });
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = once(this.#child, 'close');
    const isOpen = this.isOpen;
    await endProcess(this.#child, 'SIGKILL');
    if (isOpen) await closed;
  }
}
