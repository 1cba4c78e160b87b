/**
 * Two sample images to deploy before anybody has one of their own, built without a registry from Debian's static busybox:
 * `web`, a small HTTP service, and `worker`, which burns a little CPU and counts aloud. Equal packages give equal bytes.
 */
import { mkdir, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { run } from '../command.ts';
import { debianSuite } from '../debian.ts';
import { sha256 } from '../digest.ts';
import { megabytes, silentProgress, type Progress } from '../progress.ts';
import { byteName, tarEnd, tarHeader, tarPadding, type TarKind } from './tar.ts';

export interface SampleOptions {
  cacheDir: string;
  /** As Debian and container images both spell it. */
  architecture?: string;
  suite?: string;
  progress?: Progress | undefined;
  signal?: AbortSignal | undefined;
}

/** OCI archives, ready for `importImage`. */
export interface Samples {
  web: string;
  worker: string;
}

/** Builds both below `<cacheDir>/samples/`, or finds them there by their recipe, which asks no mirror. */
export async function buildSamples(options: SampleOptions): Promise<Samples> {
  const { cacheDir, architecture = 'arm64', suite = 'trixie', progress = silentProgress, signal } = options;
  const folder = join(cacheDir, 'samples', `${architecture}-${await recipeKey(suite)}`);
  const samples = { web: join(folder, 'web.tar'), worker: join(folder, 'worker.tar') };
  if (existsSync(samples.web) && existsSync(samples.worker)) return samples;

  const debian = await debianSuite({ suite, arch: architecture, cacheDir, progress, signal });
  const candidates = await debian.candidates(['busybox-static']);
  const deb = (await debian.fetch(candidates)).get('busybox-static');
  if (deb === undefined)
    throw new Error(`cannot build samples: busybox-static of Debian ${suite} ${architecture} did not come`);
  const step = progress.step(`sample images for ${architecture}`);
  await mkdir(join(cacheDir, 'samples'), { recursive: true });
  const workDir = await mkdtemp(join(cacheDir, 'samples', 'partial-'));
  try {
    await run('dpkg-deb', ['--extract', deb, join(workDir, 'deb')], { signal });
    // Suites differ in whether /bin is a link to /usr/bin.
    const paths = ['usr/bin/busybox', 'bin/busybox'].map((path) => join(workDir, 'deb', path));
    const found = paths.find((path) => existsSync(path));
    if (found === undefined) throw new Error('cannot build samples: busybox is not where Debian puts it');
    const archives = sampleArchives({ busybox: await readFile(found), architecture });
    const built = join(workDir, 'built');
    await mkdir(built);
    await writeFile(join(built, 'web.tar'), archives.web);
    await writeFile(join(built, 'worker.tar'), archives.worker);
    await rm(folder, { recursive: true, force: true });
    await rename(built, folder);
    step.done(megabytes(archives.web.length + archives.worker.length));
  } finally {
    await rm(workDir, { recursive: true, force: true });
  }
  return samples;
}

/** Changes with the programs that make the archives: a newer busybox alone is no reason to ask for samples again. */
async function recipeKey(suite: string): Promise<string> {
  const sources = await Promise.all(
    ['samples.ts', 'tar.ts'].map((name) => readFile(new URL(name, import.meta.url), 'utf8')),
  );
  return sha256(JSON.stringify([suite, ...sources])).slice(0, 16);
}

// PID 1 gets no signal it does not handle: the shell stays, waits, and passes the end on to httpd.
const webServerScript = `#!/bin/sh
httpd -f -p "\${PORT:-8080}" -h /srv &
server=$!
trap 'echo "web: told to stop"; kill $server; exit 0' TERM INT
echo "web: listening on port \${PORT:-8080}"
wait $server
echo "web: httpd ended" >&2
exit 1
`;

// httpd answers / by this script, and /healthz by the file of that name. One byte a request in one file is a counter that
// needs no lock. Standard output is the answer, so the log goes to standard error.
const webRequestScript = `#!/bin/sh
printf . >> /tmp/requests
requests=$(wc -c < /tmp/requests)
printf 'Content-Type: text/plain; charset=utf-8\\r\\nCache-Control: no-store\\r\\n\\r\\n'
echo "Hello from \${MUSTER_INSTANCE:-web} (customer \${MUSTER_CUSTOMER:-none}, workload \${MUSTER_WORKLOAD:-none}) on \${MUSTER_NODE:-no node}"
echo "Request $((requests)) of this instance, $(date -u +%Y-%m-%dT%H:%M:%SZ)"
echo "web: request $((requests)) from \${REMOTE_ADDR:-somebody}" >&2
`;

const workerScript = `#!/bin/sh
trap 'echo "worker: told to stop after $round rounds"; exit 0' TERM INT
round=0
while :; do
  round=$((round + 1))
  step=0
  while [ $step -lt 10000 ]; do step=$((step + 1)); done
  echo "worker: round $round of \${MUSTER_INSTANCE:-worker}, customer \${MUSTER_CUSTOMER:-none}"
  sleep 1 &
  wait $!
done
`;

const applets = [
  'sh',
  'httpd',
  'cat',
  'date',
  'wc',
  'sleep',
  'echo',
  'printf',
  'kill',
  'ls',
  'ps',
  'env',
  'id',
  'ip',
  'ping',
  'wget',
  'dd',
  'top',
  'yes',
];

interface SampleParts {
  busybox: Buffer;
  architecture: string;
}

/** Both archives from their one ingredient; pure. */
export function sampleArchives({ busybox, architecture }: SampleParts): { web: Buffer; worker: Buffer } {
  const base = tar([
    ...['bin', 'dev', 'etc', 'proc', 'sys', 'usr', 'usr/bin'].map(directory),
    { ...directory('tmp'), mode: 0o1777 },
    program('bin/busybox', busybox),
    ...applets.map((applet): Part => ({
      name: `bin/${applet}`,
      kind: 'symlink',
      mode: 0o777,
      target: 'busybox',
      content: none,
    })),
    file('etc/passwd', 'root:x:0:0:root:/:/bin/sh\napp:x:1000:1000:app:/tmp:/bin/sh\n'),
    file('etc/group', 'root:x:0:\napp:x:1000:\n'),
  ]);
  const web = tar([
    ...['srv', 'srv/cgi-bin'].map(directory),
    program('srv/cgi-bin/index.cgi', webRequestScript),
    file('srv/healthz', 'ok\n'),
    program('usr/bin/web', webServerScript),
  ]);
  const worker = tar([program('usr/bin/worker', workerScript)]);
  return {
    web: ociArchive({ name: 'web', architecture, layers: [base, web], command: '/usr/bin/web', env: ['PORT=8080'] }),
    worker: ociArchive({ name: 'worker', architecture, layers: [base, worker], command: '/usr/bin/worker', env: [] }),
  };
}

interface Part {
  name: string;
  kind: TarKind;
  mode: number;
  target: string;
  content: Buffer;
}

const none = Buffer.alloc(0);

function directory(name: string): Part {
  return { name, kind: 'directory', mode: 0o755, target: '', content: none };
}

function file(name: string, content: Buffer | string): Part {
  return { name, kind: 'file', mode: 0o644, target: '', content: Buffer.from(content) };
}

function program(name: string, content: Buffer | string): Part {
  return { ...file(name, content), mode: 0o755 };
}

function json(value: unknown): Buffer {
  return Buffer.from(JSON.stringify(value));
}

function tar(parts: readonly Part[]): Buffer {
  const blocks = parts.flatMap(({ name, kind, mode, target, content }) => {
    const entry = {
      name: byteName(name),
      kind,
      mode,
      target,
      uid: 0,
      gid: 0,
      mtime: 0,
      xattrs: new Map<string, string>(),
    };
    return [tarHeader({ ...entry, sizeBytes: content.length }), content, tarPadding(content.length)];
  });
  return Buffer.concat([...blocks, tarEnd]);
}

interface ArchiveParts {
  name: string;
  architecture: string;
  layers: readonly Buffer[];
  command: string;
  env: readonly string[];
}

/** An OCI layout with one image, as one tar. */
function ociArchive({ name, architecture, layers, command, env }: ArchiveParts): Buffer {
  const blobs = new Map<string, Buffer>();
  const blob = (mediaType: string, content: Buffer) => {
    blobs.set(sha256(content), content);
    return { mediaType, digest: `sha256:${sha256(content)}`, size: content.length };
  };
  const type = 'application/vnd.oci.image';
  const config = blob(
    `${type}.config.v1+json`,
    json({
      architecture,
      os: 'linux',
      config: { User: 'app', Env: ['PATH=/usr/bin:/bin', ...env], Entrypoint: [command], WorkingDir: '/' },
      rootfs: { type: 'layers', diff_ids: layers.map((layer) => `sha256:${sha256(layer)}`) },
    }),
  );
  const manifest = blob(
    `${type}.manifest.v1+json`,
    json({
      schemaVersion: 2,
      mediaType: `${type}.manifest.v1+json`,
      config,
      layers: layers.map((layer) => blob(`${type}.layer.v1.tar+gzip`, gzipSync(layer, { level: 9 }))),
    }),
  );
  const platform = { architecture, os: 'linux' };
  const annotations = { 'org.opencontainers.image.ref.name': name };
  return tar([
    file('oci-layout', json({ imageLayoutVersion: '1.0.0' })),
    file('index.json', json({ schemaVersion: 2, manifests: [{ ...manifest, platform, annotations }] })),
    ...['blobs', 'blobs/sha256'].map(directory),
    ...[...blobs].map(([digest, content]) => file(`blobs/sha256/${digest}`, content)),
  ]);
}
