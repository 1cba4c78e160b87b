// Customers' images on this node: one squashfs file each, fetched once, checked, loop-mounted once, and shown to each
// customer through an id-mapped bind mount, so that files of the image's root belong to the container's root.
//
//   <directory>/<sha256>.squashfs        the file
//   <directory>/<sha256>.all             the loop mount
//   <directory>/<sha256>.<uidBase>       the customer's view, lower directory of its containers' overlays
//
// Where the host cannot do that (no loop devices, util-linux before 2.39, Linux before 6.2: never on the node image), the
// view is an unpacked copy with shifted owners: the same for a container, dearer for the host.
import { createHash } from 'node:crypto';
import { createReadStream, mkdirSync, readdirSync, readFileSync, renameSync, statSync } from 'node:fs';
import { chmod, lchown, lstat, readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { squashfsName } from '../../../protocol/names.ts';
import { idRange } from '../oci/oci-config.ts';
import { explain, runTool } from '../tool.ts';

export interface ImageCacheOptions {
  directory: string;
  limitBytes: number;
  readonly fetchSquashfs: (sha256: string, to: { destination: string; signal: AbortSignal }) => Promise<void>;
  readonly log: (text: string) => void;
}

interface Image {
  sha256: string;
  sizeBytes: number;
  /** Containers that need it. */
  users: number;
  lastUsed: number;
  /** Fetched, checked, and how it can be shown. */
  ready: Promise<void> | undefined;
  fetching: AbortController | undefined;
  /** The loop mount: one for all customers. */
  whole: Promise<string> | undefined;
  views: Map<number, Promise<string>>;
}

export interface ImageLease extends Disposable {
  /** The image's root, owned as the customer's containers see it; read-only. */
  path: string;
}

const mountTimeoutMs = 10_000;
const unpackTimeoutMs = 120_000;

export class ImageCache {
  readonly #options: ImageCacheOptions;
  readonly #images = new Map<string, Image>();
  readonly #evictions = new Map<string, Promise<void>>();
  #uses = 0;
  /** `mount` until the host has refused once. */
  #means: 'mount' | 'copy' = 'mount';

  constructor(options: ImageCacheOptions) {
    this.#options = options;
    mkdirSync(options.directory, { recursive: true, mode: 0o711 });
    for (const name of readdirSync(options.directory)) {
      const sha256 = /^([0-9a-f]{64})\.squashfs$/.exec(name)?.[1];
      if (sha256) this.#add(sha256, statSync(join(options.directory, name)).size).ready = Promise.resolve();
    }
  }

  /** Keeps an image that a running container uses from being evicted, until the lease is disposed. */
  hold(sha256: string, uidBase: number): ImageLease {
    const image = this.#images.get(sha256);
    if (image) image.users++;
    return this.#lease(image, this.#view(sha256, uidBase));
  }

  /** Throws where it cannot be fetched, has another size or hash, or does not fit beside the images in use. */
  async acquire(
    squashfs: { sha256: string; sizeBytes: number },
    { uidBase, signal }: { uidBase: number; signal: AbortSignal },
  ): Promise<ImageLease> {
    signal.throwIfAborted();
    const image = this.#images.get(squashfs.sha256) ?? this.#add(squashfs.sha256, squashfs.sizeBytes);
    image.users++;
    const abort = () => {
      if (image.users === 1) image.fetching?.abort(signal.reason);
    };
    signal.addEventListener('abort', abort, { once: true });
    try {
      image.ready ??= this.#fetch(image).catch((error: unknown) => {
        image.ready = undefined;
        throw error;
      });
      await image.ready;
      signal.throwIfAborted();
      let view = image.views.get(uidBase);
      if (!view) {
        view = this.#show(image, uidBase).catch((error: unknown) => {
          image.views.delete(uidBase);
          throw error;
        });
        image.views.set(uidBase, view);
      }
      return this.#lease(image, await view);
    } catch (error) {
      image.users--;
      throw error;
    } finally {
      signal.removeEventListener('abort', abort);
    }
  }

  /** What the files take, bytes. */
  sizeBytes(): number {
    return [...this.#images.values()].reduce((sum, { ready, sizeBytes }) => sum + (ready ? sizeBytes : 0), 0);
  }

  #lease(image: Image | undefined, path: string): ImageLease {
    let held = image;
    return {
      path,
      [Symbol.dispose]: () => {
        if (!held) return;
        held.users--;
        held.lastUsed = ++this.#uses;
        held = undefined;
      },
    };
  }

  #add(sha256: string, sizeBytes: number): Image {
    const image: Image = {
      sha256,
      sizeBytes,
      users: 0,
      lastUsed: ++this.#uses,
      ready: undefined,
      fetching: undefined,
      whole: undefined,
      views: new Map(),
    };
    this.#images.set(sha256, image);
    return image;
  }

  async #fetch(image: Image): Promise<void> {
    const file = this.#file(image.sha256);
    const partial = `${file}.partial`;
    image.fetching = new AbortController();
    const { signal } = image.fetching;
    try {
      await this.#evictions.get(image.sha256);
      await this.#makeRoom(image);
      await this.#options.fetchSquashfs(image.sha256, { destination: partial, signal });
      const { size } = await stat(partial);
      if (size !== image.sizeBytes)
        throw new Error(`cannot use image ${image.sha256}: ${size} bytes, want ${image.sizeBytes}`);
      const hash = createHash('sha256');
      for await (const chunk of createReadStream(partial, { highWaterMark: 65_536, signal })) hash.update(chunk);
      const got = hash.digest('hex');
      if (got !== image.sha256) throw new Error(`cannot use image ${image.sha256}: its sha256 is ${got}`);
      renameSync(partial, file);
    } finally {
      image.fetching = undefined;
      await rm(partial, { force: true });
    }
  }

  async #makeRoom(wanted: Image): Promise<void> {
    const { limitBytes } = this.#options;
    const idle = [...this.#images.values()]
      .filter((image) => image.users === 0 && image.ready !== undefined)
      .toSorted((a, b) => a.lastUsed - b.lastUsed);
    // `wanted` is counted already: its `ready` is set while it is fetched.
    for (const image of idle) {
      if (this.sizeBytes() <= limitBytes) return;
      // Somebody may have come for it while another was evicted.
      if (image.users > 0) continue;
      this.#images.delete(image.sha256);
      const eviction = this.#evict(image).finally(() => this.#evictions.delete(image.sha256));
      this.#evictions.set(image.sha256, eviction);
      await eviction;
    }
    const size = this.sizeBytes();
    if (size > limitBytes)
      throw new Error(
        `cannot keep image ${wanted.sha256}: with the images in use it makes ${size} bytes, want at most ${limitBytes}`,
      );
  }

  async #evict(image: Image): Promise<void> {
    const prefix = `${image.sha256}.`;
    const names = readdirSync(this.#options.directory).filter((name) => name.startsWith(prefix));
    // Views before the mount that they show.
    for (const name of names.toSorted((a, b) => Number(a.endsWith('.all')) - Number(b.endsWith('.all')))) {
      const path = join(this.#options.directory, name);
      if (mountOptions(path) !== undefined) await runTool(['umount', path], { timeoutMs: mountTimeoutMs });
      await rm(path, { recursive: true, force: true });
    }
  }

  async #show(image: Image, uidBase: number): Promise<string> {
    const view = this.#view(image.sha256, uidBase);
    // A copy is there completely or not at all: it is renamed into place.
    if (mountOptions(view)?.includes('idmapped') || isFilled(view)) return view;
    if (this.#means === 'mount') {
      try {
        await this.#mount(image, uidBase);
        return view;
      } catch (error) {
        this.#options.log(`images are unpacked: this host cannot mount them for containers (${explain(error)})`);
        this.#means = 'copy';
      }
    }
    await this.#copy(image, uidBase);
    return view;
  }

  async #mount(image: Image, uidBase: number): Promise<void> {
    const view = this.#view(image.sha256, uidBase);
    image.whole ??= this.#mountWhole(image.sha256).catch((error: unknown) => {
      image.whole = undefined;
      throw error;
    });
    const whole = await image.whole;
    mkdirSync(view, { recursive: true, mode: 0o711 });
    await runTool(['mount', '--bind', '-o', `ro,X-mount.idmap=0:${uidBase}:${idRange}`, whole, view], {
      timeoutMs: mountTimeoutMs,
    });
    // util-linux before 2.39 takes the option for a remark and binds without it.
    if (!mountOptions(view)?.includes('idmapped')) {
      await runTool(['umount', view], { timeoutMs: mountTimeoutMs });
      throw new Error('mount left the owners as they are, want util-linux 2.39');
    }
  }

  async #mountWhole(sha256: string): Promise<string> {
    const whole = join(this.#options.directory, `${sha256}.all`);
    if (mountOptions(whole) === undefined) {
      mkdirSync(whole, { recursive: true, mode: 0o700 });
      await runTool(['mount', '-t', 'squashfs', '-o', 'loop,ro,nodev,nosuid', this.#file(sha256), whole], {
        timeoutMs: mountTimeoutMs,
      });
    }
    return whole;
  }

  async #copy(image: Image, uidBase: number): Promise<void> {
    const view = this.#view(image.sha256, uidBase);
    const unpacked = `${view}.partial`;
    await rm(unpacked, { recursive: true, force: true });
    await runTool(['unsquashfs', '-no-progress', '-quiet', '-dest', unpacked, this.#file(image.sha256)], {
      timeoutMs: unpackTimeoutMs,
    });
    await shiftOwners(unpacked, uidBase);
    await rm(view, { recursive: true, force: true });
    renameSync(unpacked, view);
  }

  #file(sha256: string): string {
    return join(this.#options.directory, squashfsName(sha256));
  }

  #view(sha256: string, uidBase: number): string {
    return join(this.#options.directory, `${sha256}.${uidBase}`);
  }
}

/** The options of what is mounted at `path`; undefined where nothing is. */
export function mountOptions(path: string): string | undefined {
  // proc(5): id, parent, device, root, mount point, options, …; no path of ours holds a blank.
  for (const line of readFileSync('/proc/self/mountinfo', 'utf8').split('\n').toReversed()) {
    const fields = line.split(' ');
    if (fields[4] === path) return fields[5];
  }
  return undefined;
}

function isFilled(directory: string): boolean {
  try {
    return readdirSync(directory).length > 0;
  } catch {
    return false;
  }
}

async function shiftOwners(path: string, uidBase: number): Promise<void> {
  const { uid, gid, mode } = await lstat(path);
  await lchown(path, uidBase + uid, uidBase + gid);
  // chown takes these bits away.
  const isLink = (mode & 0o170000) === 0o120000;
  if (!isLink && (mode & 0o6000) !== 0) await chmod(path, mode & 0o7777);
  if ((mode & 0o170000) === 0o040000)
    for (const name of await readdir(path)) await shiftOwners(join(path, name), uidBase);
}
