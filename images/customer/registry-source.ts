/**
 * An image of a registry as an OCI layout, by skopeo: it knows what registries want, chooses the platform, and checks each blob
 * by its digest. What it has fetched so far is told twice a second, and is bounded.
 */
import { spawn } from 'node:child_process';
import { readdir, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { megabytes, type Progress } from '../progress.ts';

export interface RegistryLogin {
  user: string;
  /** Or a token. It is in no command line: other programs of the machine can read those. */
  password: string;
}

export interface RegistrySource {
  /** `docker://host/name:tag`, or with `@sha256:…`. */
  source: string;
  name: string;
  architecture: string;
  /** The layout is made in it. */
  workDir: string;
  /** None is given to a registry that asks for none. */
  login?: RegistryLogin | undefined;
  /** False: whatever certificate the registry has. */
  checksCertificate: boolean;
  mostBytes: number;
  progress: Progress;
  signal: AbortSignal | undefined;
}

/** What is taken for the address of an image: none of it can be an option of a program. */
export const registrySourcePattern = '^docker://[A-Za-z0-9][A-Za-z0-9._:/@-]{2,300}$';
const tellEveryMs = 500;
const saidBytes = 4_000;

/** Gives the layout's directory. Throws one sentence. */
export async function copyFromRegistry(options: RegistrySource): Promise<string> {
  const { source, name, architecture, workDir, login, checksCertificate, mostBytes, progress, signal } = options;
  if (!new RegExp(registrySourcePattern).test(source))
    throw new Error(
      `cannot import ${JSON.stringify(source.slice(0, 100))}: want an address like docker://host/name:tag`,
    );
  const layout = join(workDir, 'layout');
  const args = ['copy', '--override-os', 'linux', '--override-arch', architecture];
  args.push(`--src-tls-verify=${checksCertificate}`);
  if (login !== undefined) args.push('--src-authfile', await authFile(workDir, { source, login }));
  const tooLarge = new AbortController();
  const ended = copied([...args, source, `oci:${layout}:image`], {
    signal: signal === undefined ? tooLarge.signal : AbortSignal.any([signal, tooLarge.signal]),
    temporary: workDir,
  });
  let told = '';
  const watch = setInterval(() => {
    void fetchedBytes(layout).then((bytes) => {
      const step = `fetching ${name}: ${megabytes(bytes)}`;
      if (step !== told) progress.step(step);
      told = step;
      if (bytes > mostBytes) tooLarge.abort();
    });
  }, tellEveryMs);
  try {
    progress.step(`fetching ${name}`);
    await ended;
  } catch (cause) {
    signal?.throwIfAborted();
    if (tooLarge.signal.aborted)
      throw new Error(`cannot import ${source}: it is more than the ${mostBytes} bytes that are fetched of an image`);
    // Its own words are all there is to say.
    // oxlint-disable-next-line preserve-caught-error -- said once
    throw new Error(`cannot import ${source}: ${cause instanceof Error ? cause.message : String(cause)}`);
  } finally {
    clearInterval(watch);
  }
  return layout;
}

async function authFile(workDir: string, { source, login }: { source: string; login: RegistryLogin }): Promise<string> {
  const path = join(workDir, 'auth.json');
  const [host = ''] = source.slice('docker://'.length).split('/', 1);
  const auth = Buffer.from(`${login.user}:${login.password}`).toString('base64');
  await writeFile(path, JSON.stringify({ auths: { [host]: { auth } } }), { mode: 0o600, flag: 'wx' });
  return path;
}

/** Throws what skopeo said last. */
async function copied(
  args: readonly string[],
  { signal, temporary }: { signal: AbortSignal; temporary: string },
): Promise<void> {
  signal.throwIfAborted();
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const child = spawn('skopeo', ['--tmpdir', temporary, ...args], {
    stdio: ['ignore', 'ignore', 'pipe'],
    // What an operator has logged in to on this machine is none of the customers'.
    env: { ...process.env, HOME: temporary, XDG_RUNTIME_DIR: temporary, REGISTRY_AUTH_FILE: undefined },
    signal,
    killSignal: 'SIGKILL',
  });
  let said = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => (said = (said + text).slice(-saidBytes)));
  child.once('error', (cause) =>
    reject(
      'code' in cause && cause.code === 'ENOENT'
        ? new Error('cannot run skopeo: want the package skopeo', { cause })
        : cause,
    ),
  );
  child.once('close', (code) => (code === 0 ? resolve() : reject(new Error(lastWords(said)))));
  return promise;
}

/** Of `time="…" level=fatal msg="…"`, which is how it says why. */
function lastWords(said: string): string {
  const line = said.trim().split('\n').at(-1) ?? '';
  const message = /msg="((?:[^"\\]|\\.)*)"$/.exec(line)?.[1]?.replace(/\\(.)/g, '$1') ?? line;
  return message === '' ? 'skopeo ended without a word' : message.slice(0, 500);
}

/** Of blobs that are whole, and of those under way, which lie beside them. */
async function fetchedBytes(layout: string): Promise<number> {
  let bytes = 0;
  for (const folder of [layout, join(layout, 'blobs/sha256')])
    for (const name of await readdir(folder).catch(() => [])) {
      const found = await stat(join(folder, name)).catch(() => undefined);
      bytes += found?.isFile() === true ? found.size : 0;
    }
  return bytes;
}
