// One file for whoever is asked for help: what this controller is, how it stands, and what it said lately. Without secrets:
// only what is named here goes in, and every secret that this machine is known to hold is looked for in all of it and taken
// out, wherever it came from. What containers print is not in it, nor what they are started with.
import { execFile } from 'node:child_process';
import { chmod, mkdir, mkdtemp, open, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { promisify } from 'node:util';
import { errorChain } from '../../protocol/error-chain.ts';
import type { Finding } from './diagnosis.ts';

const run = promisify(execFile);

/** What is asked of the controller, and as what it is kept. */
const questions: Readonly<Record<string, string>> = {
  'status.json': '/v1/status',
  'nodes.json': '/v1/nodes',
  'customers.json': '/v1/customers',
  'workloads.json': '/v1/workloads',
  'instances.json': '/v1/instances',
  'orders.json': '/v1/kill',
  'drills.json': '/v1/drills',
  'events.json': '/v1/events?limit=1000',
  'metrics.txt': '/metrics',
};
const answerMs = 20_000;
const answerBytesLimit = 32 << 20;
const logTailBytes = 2 << 20;
const journalLines = 10_000;
const toolMs = 60_000;
/** Shorter ones would be found in ordinary text. */
const leastSecretCharacters = 6;
const removed = '[removed]';

/** Of the configuration: what nobody has to keep to himself. Of `power` see `plainPower`. */
const plainKeys = [
  'rack',
  'interface',
  'address',
  'range',
  'gateway',
  'leaseSeconds',
  'uboot',
  'operator',
  'reservations',
  'twoPersonRule',
  'approvalSeconds',
  'console',
  'state',
  'cache',
];
const secretKey = /community|key|token|password|secret/i;
/** Names a file that holds a secret, or an algorithm. */
const plainKey = /File$|Protocol$/;

export interface SupportOptions {
  /** The tar that is made. */
  file: string;
  url: string;
  /** As it is on disk, if it can be read. */
  stateDirectory: string;
  /** The configuration file. */
  config: string | undefined;
  findings: readonly Finding[];
  now: number;
}

/** Gives what could not be had, a sentence each. */
export async function makeSupportFile(options: SupportOptions): Promise<string[]> {
  const { file, stateDirectory, config } = options;
  const name = basename(file).replace(/\.tar\.gz$/, '');
  const work = await mkdtemp(join(tmpdir(), 'muster-support-'));
  try {
    const token = await textOf(join(stateDirectory, 'operator-token'));
    const configuration = config === undefined ? undefined : await parsedFile(config);
    const secrets = await secretsOf(stateDirectory, configuration);
    const { texts, lacking } = await gather({ ...options, token, configuration });
    const directory = join(work, name);
    await mkdir(directory, { mode: 0o700 });
    texts.set('missing.txt', lacking.map((line) => `${line}\n`).join(''));
    for (const [path, text] of texts)
      await writeFile(join(directory, path), withoutSecrets(text, secrets), { mode: 0o600 });
    await run('tar', ['-czf', `${file}.part`, '-C', work, '--owner=0', '--group=0', name], { timeout: toolMs });
    await chmod(`${file}.part`, 0o600);
    await rename(`${file}.part`, file);
    return lacking;
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

async function gather({
  url,
  stateDirectory,
  config,
  findings,
  token,
  configuration,
}: SupportOptions & { token: string | undefined; configuration: unknown }): Promise<{
  texts: Map<string, string>;
  lacking: string[];
}> {
  const texts = new Map<string, string>();
  const lacking: string[] = [];
  texts.set('doctor.json', inLines(findings));
  if (config !== undefined) texts.set('configuration.json', inLines(plainConfiguration(configuration)));
  for (const [name, path] of Object.entries(questions)) {
    try {
      const text = await ask(new URL(path, url), token?.trim());
      texts.set(name, name === 'workloads.json' ? inLines(withoutCommands(JSON.parse(text))) : text);
    } catch (error) {
      lacking.push(`${name}: ${errorChain(error)}`);
    }
  }
  for (const name of ['controller.log.1', 'controller.log']) {
    const text = await tailOf(join(stateDirectory, 'log', name));
    if (text !== undefined) texts.set(name, text);
  }
  const journal = ['-u', 'muster', '-n', String(journalLines), '--no-pager', '-o', 'short-iso-precise'];
  const said = await run('journalctl', journal, { timeout: toolMs, maxBuffer: answerBytesLimit }).catch(
    () => undefined,
  );
  if (said !== undefined && said.stdout.trim() !== '') texts.set('journal.txt', said.stdout);
  if (!['controller.log', 'journal.txt'].some((name) => texts.has(name)))
    lacking.push('controller.log: none can be read');
  return { texts, lacking };
}

async function ask(url: URL, token: string | undefined): Promise<string> {
  const response = await fetch(url, {
    headers: token === undefined ? {} : { authorization: `Bearer ${token}` },
    signal: AbortSignal.timeout(answerMs),
  });
  if (!response.ok) throw new Error(`the controller answers ${response.status}`);
  const parts: Uint8Array[] = [];
  let bytes = 0;
  for await (const part of response.body ?? []) {
    bytes += part.length;
    if (bytes > answerBytesLimit) throw new Error(`the answer has more than ${answerBytesLimit} bytes`);
    parts.push(part);
  }
  return Buffer.concat(parts).toString('utf8');
}

/** What a container is started with may hold a password. */
function withoutCommands(answer: unknown): unknown {
  return mapped(answer, (key, value) => (key === 'command' || key === 'args' ? removed : value));
}

export function plainConfiguration(configuration: unknown): unknown {
  if (!isObject(configuration)) return removed;
  const plain = Object.entries(configuration).filter(([key]) => plainKeys.includes(key));
  const power = configuration['power'];
  return Object.fromEntries([...plain, ...(power === undefined ? [] : [['power', plainPower(power)]])]);
}

function plainPower(power: unknown): unknown {
  return mapped(power, (key, value) => {
    if (secretKey.test(key) && !plainKey.test(key)) return removed;
    // A name and a password may stand in front of the host, a token behind it.
    if (key === 'url' && typeof value === 'string') return URL.canParse(value) ? new URL(value).origin : removed;
    return value;
  });
}

/** Every secret that is in the files of the state directory and of the configuration. */
async function secretsOf(stateDirectory: string, configuration: unknown): Promise<string[]> {
  const found: string[] = [];
  for (const name of ['operator-token', 'tls-key.pem', 'ssh-key']) {
    const text = (await textOf(join(stateDirectory, name))) ?? '';
    // Of a key each line: a log breaks lines where it likes.
    found.push(...text.split('\n'));
  }
  const files: string[] = [];
  mapped(configuration, (key, value) => {
    if (typeof value !== 'string') return value;
    if (key === 'url' && URL.canParse(value)) {
      const { username, password, pathname, search } = new URL(value);
      found.push(username, password, pathname + search);
    }
    if (!secretKey.test(key)) return value;
    if (key.endsWith('File')) files.push(value);
    else if (!plainKey.test(key)) found.push(value);
    return value;
  });
  for (const file of files) found.push(...((await textOf(file)) ?? '').split('\n'));
  return found
    .map((text) => text.trim())
    .filter((text) => text.length >= leastSecretCharacters && !text.startsWith('-----'))
    .flatMap((text) => [text, JSON.stringify(text).slice(1, -1)])
    .toSorted((a, b) => b.length - a.length);
}

export function withoutSecrets(text: string, secrets: readonly string[]): string {
  const known = secrets.reduce((rest, secret) => rest.replaceAll(secret, removed), text);
  return known.replaceAll(/(Bearer\s+|[#?&]token=)[^\s"'&]+/g, `$1${removed}`);
}

function mapped(value: unknown, change: (key: string, value: unknown) => unknown): unknown {
  if (Array.isArray(value)) return value.map((each) => mapped(each, change));
  if (!isObject(value)) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, each]) => {
      const changed = change(key, each);
      return [key, changed === each ? mapped(each, change) : changed];
    }),
  );
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

const inLines = (value: unknown): string => `${JSON.stringify(value, null, 1)}\n`;

async function parsedFile(path: string): Promise<unknown> {
  try {
    return JSON.parse((await textOf(path)) ?? '');
  } catch {
    return undefined;
  }
}

/** Undefined where it cannot be read. */
function textOf(path: string): Promise<string | undefined> {
  return readFile(path, 'utf8').catch(() => undefined);
}

async function tailOf(path: string): Promise<string | undefined> {
  const file = await open(path).catch(() => undefined);
  if (file === undefined) return undefined;
  try {
    const { size } = await file.stat();
    const from = Math.max(0, size - logTailBytes);
    const { buffer, bytesRead } = await file.read({ buffer: Buffer.alloc(size - from), position: from });
    const text = buffer.toString('utf8', 0, bytesRead);
    return from === 0 ? text : text.slice(text.indexOf('\n') + 1);
  } finally {
    await file.close();
  }
}
