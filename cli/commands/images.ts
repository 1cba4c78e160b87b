import { spawn } from 'node:child_process';
import { createReadStream } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { basename, resolve } from 'node:path';
import { Transform } from 'node:stream';
import { text } from 'node:stream/consumers';
import type { Image, ImageDetail, ImageImport, Images, PrunedImages } from '../../protocol/api/images.ts';
import { printable } from '../../protocol/printable.ts';
import { ApiError } from '../api/api.ts';
import { checkedName } from '../arguments/argument.ts';
import { sizeOption } from '../arguments/limits.ts';
import { UsageError, type Call, type Command, type Context } from '../command.ts';
import { durationText, sizeText } from '../print/figures.ts';
import { liveLine, printDone, printJson, printList } from '../print/print.ts';

export const imageCommands: Command[] = [
  {
    words: ['images'],
    usage: '',
    summary: 'list the images that workloads can use',
    run: listImages,
  },
  {
    words: ['image', 'import'],
    usage: 'FILE|DIRECTORY|URL',
    summary: 'import a container image: an archive, an OCI layout, or from a registry',
    details:
      'FILE is what docker save writes, or an OCI archive; DIRECTORY an OCI layout. URL is docker://HOST/NAME:TAG, or with\n' +
      '@sha256:DIGEST: the controller fetches it. The password of --user is read from a file; - is standard input.',
    takes: [1, 1],
    options: {
      name: { type: 'string', value: 'NAME', help: "what to call it (default: the file's, or the registry's, name)" },
      user: { type: 'string', value: 'USER', help: 'who to log in to the registry as' },
      'password-file': { type: 'string', value: 'FILE', help: 'the password, or a token, of that user' },
      insecure: { type: 'boolean', help: 'whatever certificate the registry has' },
    },
    run: async (context, call) => {
      const [path = ''] = call.positionals;
      const isRemote = path.startsWith('docker://');
      const name = checkedName('image', call.text('name') ?? (isRemote ? nameOfRemote(path) : nameOf(path)));
      const image = isRemote ? await pull(context, { path, name, call }) : await upload(context, { path, name });
      const size = sizeText(image.squashfs.sizeBytes);
      printDone(context, { json: image, text: `image ${image.name} is there: ${size}, ${image.digest.slice(0, 12)}` });
    },
  },
  {
    words: ['image', 'list'],
    also: ['image', 'ls'],
    usage: '',
    summary: 'list the images that workloads can use',
    run: listImages,
  },
  {
    words: ['image', 'inspect'],
    usage: 'NAME',
    summary: 'show what an image runs, what its name stood for before, and who uses it',
    takes: [1, 1],
    run: async (context, call) => {
      const name = checkedName('image', call.positionals[0]);
      const detail = await context.api.ask<ImageDetail>({ path: `/v1/images/${encodeURIComponent(name)}` });
      if (context.json) printJson(context, detail);
      else context.output.out(detailText(detail, context.now()));
    },
  },
  {
    words: ['image', 'prune'],
    usage: '',
    summary: 'remove images that no workload uses, the oldest first',
    options: {
      keep: { type: 'string', value: 'SIZE', help: 'stop when all images together take no more than that (default 0)' },
      'dry-run': { type: 'boolean', help: 'only say what would go' },
    },
    run: async (context, call) => {
      const keepBytes = sizeOption(call, { name: 'keep', from: 0, to: 2 ** 50 }) ?? 0;
      const dryRun = call.flag('dry-run');
      const pruned = await context.api.ask<PrunedImages>({
        method: 'POST',
        path: '/v1/images/prune',
        body: { keepBytes, dryRun },
      });
      printDone(context, { json: pruned, text: prunedText(pruned, dryRun) });
    },
  },
  {
    words: ['image', 'remove'],
    also: ['image', 'rm'],
    usage: 'NAME',
    summary: 'remove an image that no workload uses',
    takes: [1, 1],
    run: async (context, call) => {
      const name = checkedName('image', call.positionals[0]);
      await context.api.ask({ method: 'DELETE', path: `/v1/images/${encodeURIComponent(name)}` });
      printDone(context, { json: { removed: name }, text: `image ${name} is removed` });
    },
  },
];

async function listImages(context: Context): Promise<void> {
  const { images, used } = await context.api.ask<Images>({ path: '/v1/images' });
  printList(context, {
    name: 'images',
    rows: images.map((image) => ({ ...image, usedBy: used[image.name] ?? [] })),
    none: 'there are no images yet: muster image import FILE',
    columns: [
      { heading: 'NAME', value: ({ name }) => name },
      { heading: 'DIGEST', value: ({ digest }) => digest.slice(0, 12), yields: 1 },
      { heading: 'FOR', value: ({ architecture }) => architecture },
      { heading: 'SIZE', right: true, value: ({ squashfs }) => sizeText(squashfs.sizeBytes) },
      {
        heading: 'COMMAND',
        value: ({ config }) => [...config.entrypoint, ...config.cmd].join(' ').slice(0, 60),
        yields: 2,
        cut: true,
      },
      { heading: 'USED BY', value: ({ usedBy }) => usersText(usedBy), yields: 3 },
      {
        heading: 'IMPORTED',
        right: true,
        value: ({ importedAt }) => `${durationText(context.now() - importedAt)} ago`,
      },
    ],
  });
}

/** The first, and how many more. */
function usersText(users: readonly string[]): string {
  const [first = '-'] = users;
  return users.length > 1 ? `${first} +${users.length - 1}` : first;
}

function detailText({ image, usedBy, sharedWith }: ImageDetail, now: number): string {
  const { name, digest, architecture, squashfs, config, importedAt, history = [] } = image;
  const ago = (at: number): string => `${durationText(now - at)} ago`;
  const rows: [string, string][] = [
    ['digest', digest],
    ['for', architecture],
    ['size', `${sizeText(squashfs.sizeBytes)}, as ${squashfs.sha256.slice(0, 12)}.squashfs`],
    ['imported', ago(importedAt)],
    ['command', [...config.entrypoint, ...config.cmd].join(' ')],
    ['directory', config.workingDir],
    ['user', config.user === '' ? 'root' : config.user],
    ['stop signal', config.stopSignal ?? 'SIGTERM'],
    ['health check', config.healthcheck?.test.join(' ') ?? '-'],
    ['ports', config.exposedPorts?.join(' ') ?? '-'],
    ['volumes', config.volumes?.join(' ') ?? '-'],
    ['same file', sharedWith.length === 0 ? '-' : sharedWith.join(' ')],
    ...usedBy.map(({ workload, digest: own, instances }, index): [string, string] => [
      index === 0 ? 'used by' : '',
      `${workload}, ${instances} instances${own === digest ? '' : `, of ${own.slice(0, 12)}`}`,
    ]),
    ...history.map((version, index): [string, string] => [
      index === 0 ? 'before' : '',
      `${version.digest.slice(0, 12)}  ${sizeText(version.squashfs.sizeBytes)}  ${ago(version.importedAt)}`,
    ]),
    ...Object.entries(config.labels ?? {}).map(([key, value], index): [string, string] => [
      index === 0 ? 'labels' : '',
      `${key}=${value}`,
    ]),
  ];
  return `${printable(name)}\n${rows.map(([key, value]) => `  ${key.padEnd(14)}${printable(value)}\n`).join('')}`;
}

function prunedText({ removed, freedBytes, keptBytes }: PrunedImages, dryRun: boolean): string {
  const what = removed.length === 0 ? 'no image' : removed.join(', ');
  const kept = `${sizeText(keptBytes)} of images ${dryRun ? 'would be' : 'are'} left`;
  return `${what} ${dryRun ? 'would be' : 'is'} removed, ${sizeText(freedBytes)} freed: ${kept}`;
}

/** `web.tar.gz` and `/images/web/` are called `web`. */
export function nameOf(path: string): string {
  return basename(resolve(path))
    .toLowerCase()
    .replace(/\.(tar|tgz|tar\.gz|tar\.zst|oci|img)$/, '');
}

/** `docker://HOST/team/web:1.4` is called `team/web:1.4`; of `library/nginx`, which docker's own are in, `nginx` is left. */
export function nameOfRemote(source: string): string {
  return source.replace(/^docker:\/\/[^/]*\/(library\/)?/, '').replace(/@.*$/, '');
}

interface Pulled {
  path: string;
  name: string;
  call: Call;
}

async function pull(context: Context, { path, name, call }: Pulled): Promise<Image> {
  const [user, file] = [call.text('user'), call.text('password-file')];
  if ((user === undefined) !== (file === undefined))
    throw new UsageError('want both --user and --password-file, or neither');
  const login = file === undefined ? {} : { user, password: await passwordFrom(file) };
  const line = liveLine(context);
  const answered = new AbortController();
  void follow(context, { name, signal: answered.signal, show: (doing) => line.show(doing) });
  try {
    return await context.api.ask<Image>({
      method: 'POST',
      path: '/v1/images/pull',
      body: { source: path, name, checksCertificate: !call.flag('insecure'), ...login },
      timeoutMs: pullLimitMs,
    });
  } finally {
    answered.abort();
    line.end();
  }
}

/** As long as the controller tries, and a little longer. */
const pullLimitMs = 2 * 3_600_000;

async function passwordFrom(file: string): Promise<string> {
  const read = file === '-' ? text(process.stdin) : readFile(file, 'utf8');
  const password = await read.catch((cause: unknown) => {
    throw new Error(`cannot read the password from ${file}`, { cause });
  });
  return password.trim();
}

async function upload(context: Context, { path, name }: { path: string; name: string }): Promise<Image> {
  const kind = await stat(path).catch((cause: unknown) => {
    throw new Error(`cannot import ${path}: there is no such file or directory`, { cause });
  });
  const sizeBytes = kind.isDirectory() ? undefined : kind.size;
  const line = liveLine(context);
  let sent = 0;
  let shownAt = -Infinity;
  const answered = new AbortController();
  const allSent = (): void => {
    line.show(`sent ${name}: ${sizeText(sent)}, the controller converts it …`);
    void follow(context, { name, signal: answered.signal, show: (doing) => line.show(`sent ${name}: ${doing}`) });
  };
  const counted = new Transform({
    // oxlint-disable-next-line max-params -- Node's signature
    transform(chunk: Buffer, _encoding, done) {
      sent += chunk.length;
      // Each percent is news; each packet is not.
      const now = context.monotonic();
      if (context.output.tty && now - shownAt > 100) {
        shownAt = now;
        const part =
          sizeBytes === undefined ? '' : ` of ${sizeText(sizeBytes)} (${Math.floor((100 * sent) / sizeBytes)}%)`;
        line.show(`sending ${name}: ${sizeText(sent)}${part}`);
      }
      // Before the last byte goes: the controller knows the size and may answer before we are asked to flush.
      if (sent === sizeBytes) allSent();
      done(null, chunk);
    },
    flush(done) {
      if (sizeBytes === undefined) allSent();
      done();
    },
  });
  if (kind.isDirectory()) feedDirectory(path, counted);
  else feedFile(path, counted);
  try {
    return await context.api.ask<Image>({
      method: 'POST',
      path: '/v1/images',
      query: { name },
      stream: counted,
      sizeBytes,
    });
  } finally {
    answered.abort();
    line.end();
  }
}

const askEveryMs = 1_000;

/** Says what the import does or waits for, until the signal. That is a courtesy: a controller that does not say it is no error. */
async function follow(
  context: Context,
  { name, signal, show }: { name: string; signal: AbortSignal; show: (doing: string) => void },
): Promise<void> {
  for (;;) {
    await context.sleep(askEveryMs).catch(() => undefined);
    if (signal.aborted || context.signal.aborted) return;
    try {
      const { imports } = await context.api.ask<Images>({ path: '/v1/images' });
      const own = imports.find((each) => each.name === name);
      if (own === undefined || signal.aborted) continue;
      const seconds = context.output.tty ? `, ${durationText(context.now() - own.since)}` : '';
      show(`${own.doing === 'waiting' ? waitsFor(own, imports) : own.doing} …${seconds}`);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      return;
    }
  }
}

/** Those at work, as the controller tells them; those before it in the queue are as many as there are. */
function waitsFor(own: ImageImport, imports: readonly ImageImport[]): string {
  const working = imports.filter(({ doing }) => doing !== 'waiting' && doing !== 'receiving');
  const before = imports.filter(({ doing, since }) => doing === 'waiting' && since < own.since);
  const queue = before.length === 0 ? '' : `, ${before.length} more before it`;
  return `it waits for ${working.map((each) => `${each.name} of ${each.by} (${each.doing})`).join(', ')}${queue}`;
}

function feedFile(path: string, sink: Transform): void {
  const source = createReadStream(path, { highWaterMark: 1 << 18 });
  source.once('error', (error) => sink.destroy(error));
  sink.once('close', () => source.destroy());
  source.pipe(sink);
}

/** A directory as a tar, made while it is sent. */
function feedDirectory(path: string, sink: Transform): void {
  const child = spawn('tar', ['--create', '--file', '-', '--directory', path, '.'], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let said = '';
  child.stderr.on('data', (chunk: Buffer) => (said = (said + chunk.toString('utf8')).slice(-500)));
  child.once('error', (cause) => sink.destroy(new Error('cannot run tar', { cause })));
  child.once('close', (code) => {
    // Half a directory must not arrive as a whole one.
    if (code === 0) sink.end();
    else sink.destroy(new Error(`cannot read ${path}: ${said.trim()}`));
  });
  sink.once('close', () => child.kill());
  child.stdout.pipe(sink, { end: false });
}
