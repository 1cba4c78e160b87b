// A runtime with customer acme on it, and images that are made on the spot: for `*.sandboxed.ts` alone.
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { copyFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { DesiredInstance, InstanceReport } from '../../protocol/api/agent.ts';
import type { ContainerConfiguration } from '../../protocol/api/instances.ts';
import { configurationDigest, configurationText } from '../../protocol/desired-state.ts';
import { until as waitUntil } from '../../test/until.ts';
import { plantBusybox, squash } from './cache/busybox-image.fixture.ts';
import { writeSeccompProfile } from './oci/seccomp-profile.fixture.ts';
import { testRuntime } from './runtime.fixture.ts';
import type { Runtime } from './runtime.ts';

export const uidBase = 200_000;
const applets =
  'sh sleep echo cat id ls hostname httpd printf touch chown chroot su env true kill ping stat mknod yes wc';

export interface Script {
  /** A line for /bin/sh; `args` where there is one. */
  script?: string;
  configuration?: Partial<ContainerConfiguration>;
  instance?: Partial<DesiredInstance>;
  /** Writes files into the image's root, in which busybox, /tmp, /etc/passwd and /etc/group are; the empty image if `bare`. */
  plant?: (root: string) => void;
  bare?: boolean;
}

export interface NodeRig extends AsyncDisposable {
  runtime: () => Runtime;
  /** All that its containers have printed, oldest first: `stdout: text`. */
  lines: string[];
  /** On a clean node: all that ran before is stopped first. */
  run: (...wanted: Script[]) => Promise<DesiredInstance[]>;
  /** Takes all away, in the background. */
  remove: () => void;
  /** An agent's restart. */
  restart: () => Promise<void>;
  said: (line: string | RegExp) => Promise<string>;
  report: (instance: DesiredInstance | undefined) => InstanceReport | undefined;
  until: (what: string, holds: () => boolean | Promise<boolean>) => Promise<void>;
  scratch: string;
}

export function nodeRig(): NodeRig {
  const scratch = mkdtempSync(join(tmpdir(), 'muster-rig-'));
  const seccompFile = join(scratch, 'seccomp.json');
  writeSeccompProfile(seccompFile);
  const shelf = imageShelf(scratch);
  const lines: string[] = [];
  const logged: string[] = [];
  let generation = 0;
  const start = () =>
    testRuntime({
      stateDir: '/run/muster',
      seccompFile,
      configurations: shelf.configurations,
      imageCacheBytes: 256 * 2 ** 20,
      fetchSquashfs: (sha256, { destination }) => copyFile(shelf.images.get(sha256) ?? '', destination),
      log: (text) => logged.push(text),
    });
  let runtime = start();

  function collect(): void {
    for (const { stream, text } of runtime.takeLogs(10_000)) lines.push(`${stream}: ${text}`);
  }

  function until(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
    const detail = () => [...logged, JSON.stringify(runtime.reports()), ...lines.slice(-20)].join('; ');
    return waitUntil(what, () => (collect(), holds()), { detail });
  }

  function apply(instances: DesiredInstance[]): void {
    const limits = { memoryBytes: 256 * 2 ** 20, processes: 400, onSilence: 'stop' as const };
    runtime.apply({
      generation: ++generation,
      customers: instances.length === 0 ? [] : [{ name: 'acme', uidBase, ...limits }],
      instances,
    });
  }

  async function clean(): Promise<void> {
    await runtime.stopEverything('removed').gone;
    apply([]);
    await until('the node is clean', () => runtime.reports().length === 0 && runtime.loads().length === 0);
  }

  return {
    runtime: () => runtime,
    lines,
    scratch,
    run: async (...wanted) => {
      const instances = wanted.map(shelf.instanceOf);
      await clean();
      lines.length = 0;
      runtime.allowCustomer('acme');
      apply(instances);
      return instances;
    },
    remove: () => apply([]),
    restart: async () => {
      await runtime[Symbol.asyncDispose]();
      collect();
      runtime = start();
      runtime.allowCustomer('acme');
    },
    said: async (line) => {
      let found: string | undefined;
      await until(`it says ${line}`, () => {
        found = lines.find((text) => (typeof line === 'string' ? text === line : line.test(text)));
        return found !== undefined;
      });
      return found ?? '';
    },
    report: (instance) => runtime.reports().find(({ id }) => id === instance?.id),
    until,
    [Symbol.asyncDispose]: async () => {
      await clean();
      await runtime[Symbol.asyncDispose]();
      rmSync(scratch, { recursive: true });
    },
  };
}

/** As the controller has them. */
function imageShelf(scratch: string) {
  const configurations = new Map<string, Buffer>();
  const images = new Map<string, string>();
  let made = 0;

  function instanceOf({ script = '', configuration, instance, plant, bare = false }: Script): DesiredInstance {
    const root = join(scratch, `image-${++made}`);
    mkdirSync(root);
    if (!bare) plantUsual(root);
    plant?.(root);
    const { sha256, sizeBytes, file } = squash(root, { owners: [] });
    images.set(sha256, file);
    const configured = { args: ['/bin/sh', '-c', script], env: [], workingDir: '/', ...configuration };
    const digest = configurationDigest(configured);
    configurations.set(digest, Buffer.from(configurationText(configured)));
    return {
      id: `web-${createHash('sha256').update(`${made}`).digest('hex').slice(0, 8)}`,
      customer: 'acme',
      workload: 'web',
      squashfs: { sha256, sizeBytes },
      configuration: digest,
      memoryBytes: 64 * 2 ** 20,
      cpu: 1,
      processes: 200,
      port: null,
      ...instance,
    };
  }

  return { configurations, images, instanceOf };
}

function plantUsual(root: string): void {
  plantBusybox(root, applets.split(' '));
  mkdirSync(join(root, 'tmp'), { mode: 0o1777 });
  plantFile(root, 'etc/passwd', 'root:x:0:0::/:/bin/sh\napp:x:1000:1001::/:/bin/sh\n');
  plantFile(root, 'etc/group', 'root:x:0:\napp:x:1001:\nvideo:x:44:app\n');
  plantFile(root, 'www/index.html', 'here\n');
}

export function plantFile(root: string, ...[path, text, mode = 0o644]: [string, string | Buffer, number?]): void {
  mkdirSync(dirname(join(root, path)), { recursive: true });
  writeFileSync(join(root, path), text, { mode });
}
