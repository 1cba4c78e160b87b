import { spawn } from 'node:child_process';
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { basename, resolve } from 'node:path';
import { Transform } from 'node:stream';
import type { Image, ImageImport, Images } from '../../protocol/api/images.ts';
import { ApiError } from '../api/api.ts';
import { checkedName } from '../arguments/argument.ts';
import type { Command, Context } from '../command.ts';
import { durationText, sizeText } from '../print/figures.ts';
import { liveLine, printDone, printList } from '../print/print.ts';

export const imageCommands: Command[] = [
  {
    words: ['images'],
    usage: '',
    summary: 'list the images that workloads can use',
    run: async (context) => {
      const { images } = await context.api.ask<Images>({ path: '/v1/images' });
      printList(context, {
        name: 'images',
        rows: images,
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
          {
            heading: 'IMPORTED',
            right: true,
            value: ({ importedAt }) => `${durationText(context.now() - importedAt)} ago`,
          },
        ],
      });
    },
  },
  {
    words: ['image', 'import'],
    usage: 'FILE|DIRECTORY',
    summary: 'import a container image: docker save or OCI archive, or OCI layout',
    takes: [1, 1],
    options: { name: { type: 'string', value: 'NAME', help: "what to call it (default: the file's name)" } },
    run: async (context, call) => {
      const [path = ''] = call.positionals;
      const given = call.text('name');
      const name = checkedName('image', given ?? nameOf(path));
      const image = await upload(context, { path, name });
      const text = `image ${image.name} is there: ${sizeText(image.squashfs.sizeBytes)}, ${image.digest.slice(0, 12)}`;
      printDone(context, { json: image, text });
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

/** `web.tar.gz` and `/images/web/` are called `web`. */
export function nameOf(path: string): string {
  return basename(resolve(path))
    .toLowerCase()
    .replace(/\.(tar|tgz|tar\.gz|tar\.zst|oci|img)$/, '');
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
