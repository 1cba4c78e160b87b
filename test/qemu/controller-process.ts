// The real controller, as its own process in the rack's network: started, killed, started again.
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Type, type Static, type TSchema } from 'typebox';
import { Check } from 'typebox/value';
import { withDeviceSockets } from '../../boot/device-sockets.ts';
import { controllerCommand, controllerSockets } from '../../controller/configuration.ts';
import { Node } from '../../protocol/api/nodes.ts';
import { rackAddress, type RackNetwork } from './rack-network.ts';
import { endProcess, hasEnded, startTied } from './tied-process.ts';

const program = fileURLToPath(new URL('../../controller/main.ts', import.meta.url));

/** A second where it is alone; beside boards in QEMU and other tests it has a tenth of a core. */
const startLimitMs = 60_000;
const restartTries = 5;
const restartPauseMs = 200;

export type ControllerOptions = {
  network: RackNetwork;
  /** Its address in that network; the rack's when left out. */
  address?: string;
  stateDir: string;
  cacheDir: string;
  logPath: string;
  /** More flags of `muster up`. */
  flags: readonly string[];
  /** More of its environment, read at each start. */
  environment?: ReadonlyMap<string, string>;
  /** How many files it may have open; as many as we, where left out. */
  openFiles?: number | undefined;
};

export class ControllerProcess implements AsyncDisposable {
  readonly #options: ControllerOptions;
  #process: ChildProcess | undefined;
  /** From the start of the process until it said that it serves, ms; 0 until then. */
  startedInMs = 0;

  constructor(options: ControllerOptions) {
    this.#options = options;
  }

  get url(): string {
    return `http://127.0.0.1:${this.#options.network.operatorPort}`;
  }

  get pid(): number {
    return this.#process?.pid ?? 0;
  }

  get isRunning(): boolean {
    return this.#process !== undefined && !hasEnded(this.#process);
  }

  token(): Promise<string> {
    return readFile(join(this.#options.stateDir, 'operator-token'), 'utf8').then((text) => text.trim());
  }

  /** Resolves when it serves. Throws what it said when it ends instead. */
  async start(): Promise<void> {
    const { network, stateDir, cacheDir, logPath, flags, openFiles, address = rackAddress } = this.#options;
    const { environment = new Map<string, string>() } = this.#options;
    const log = createWriteStream(logPath, { flags: 'a' });
    const startedAt = performance.now();
    this.startedInMs = 0;
    const command = [
      'env',
      ...Array.from(environment, ([name, value]) => `${name}=${value}`),
      ...(openFiles === undefined ? [] : ['prlimit', `--nofile=${openFiles}:${openFiles}`]),
      ...controllerCommand({
        node: process.execPath,
        flags: ['--disable-warning=ExperimentalWarning'],
        compileCache: join(tmpdir(), 'node-compile-cache'),
        args: [
          program,
          ...`up --interface br0 --address ${address}/24 --range 10.77.0.50-10.77.0.250 --operator-fd 3`.split(' '),
          '--state-dir',
          stateDir,
          '--cache',
          cacheDir,
          ...flags,
        ],
      }),
    ];
    // Node closes what it inherited when it becomes another program, so the device sockets are opened before it starts.
    const launched = withDeviceSockets({ interface: 'br0', sockets: controllerSockets(address), command });
    const child = await startTied(network.insideWithOperatorSocket(launched), { stdio: ['ignore', 'pipe', 'pipe'] });
    this.#process = child;
    let lastWords = '';
    child.stderr?.on('data', (chunk: Buffer) => (lastWords = (lastWords + chunk.toString()).slice(-2_000)));
    child.stderr?.pipe(log);
    const timer = setTimeout(() => child.kill('SIGKILL'), startLimitMs);
    try {
      if (child.stdout !== null) {
        for await (const line of createInterface({ input: child.stdout })) {
          log.write(`${line}\n`);
          if (!line.includes('"ready":true')) continue;
          this.startedInMs = performance.now() - startedAt;
          child.stdout.resume();
          return;
        }
      }
    } finally {
      clearTimeout(timer);
    }
    if (!hasEnded(child)) await once(child, 'exit');
    throw new Error(
      `the controller did not start: ${lastWords.trim() || `it said nothing in ${startLimitMs / 1000} s`}`,
    );
  }

  /** Resolves when the process that runs now has ended, whoever ended it. */
  async ended(): Promise<void> {
    if (this.#process !== undefined && !hasEnded(this.#process)) await once(this.#process, 'exit');
  }

  /**
   * As a service manager does: starts it again whenever it ends, until the signal. Rejects when it does not come up any more.
   * `restarted` is told how it ended and how long it was away, ms.
   */
  async supervise({
    signal,
    restarted,
  }: {
    signal: AbortSignal;
    restarted: (how: string, awayMs: number) => void;
  }): Promise<void> {
    const stopped = once(signal, 'abort');
    while (!signal.aborted) {
      await Promise.race([this.ended(), stopped]);
      if (signal.aborted) return;
      const endedAt = performance.now();
      const how = this.#process?.signalCode ?? `exit code ${this.#process?.exitCode}`;
      for (let tries = 1; ; tries++) {
        try {
          await this.start();
          break;
        } catch (error) {
          if (tries === restartTries || signal.aborted) throw error;
          await delay(restartPauseMs * tries);
        }
      }
      restarted(how, performance.now() - endedAt);
    }
  }

  /** As a power cut would: nothing is flushed or said. */
  async kill9(): Promise<void> {
    if (this.#process !== undefined) await endProcess(this.#process, 'SIGKILL');
  }

  /** As an operator's Ctrl-C would. */
  async stop(): Promise<void> {
    if (this.#process !== undefined) await endProcess(this.#process, 'SIGTERM');
  }

  /** Stops it if it runs, and starts it on the same state. */
  async restart(): Promise<void> {
    await this.stop();
    await this.start();
  }

  /** Asks the operators' API with their token: `POST /v1/lift`. Throws its refusal. */
  api(request: string, body?: unknown): Promise<unknown> {
    return this.ask({ request, body });
  }

  /** As `api`; throws as well when the signal gives it up. */
  async ask({ request, body, signal }: { request: string; body?: unknown; signal?: AbortSignal }): Promise<unknown> {
    const [method = '', path = ''] = request.split(' ');
    const response = await fetch(`${this.url}${path}`, {
      method,
      headers: {
        authorization: `Bearer ${await this.token()}`,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      signal: AbortSignal.any([AbortSignal.timeout(30_000), ...(signal === undefined ? [] : [signal])]),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`${request}: ${response.status} ${text}`);
    return text === '' ? undefined : JSON.parse(text);
  }

  /** As `api` with GET, checked against the schema of the answer. */
  async get<T extends TSchema>(path: string, schema: T): Promise<Static<T>> {
    const answer = await this.api(`GET ${path}`);
    if (!Check(schema, answer)) throw new Error(`GET ${path}: ${JSON.stringify(answer)} does not fit its schema`);
    return answer;
  }

  async nodes(): Promise<Node[]> {
    return (await this.get('/v1/nodes', Type.Object({ nodes: Type.Array(Node) }))).nodes;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }
}
