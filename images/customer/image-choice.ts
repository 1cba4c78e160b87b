/**
 * Which image of an archive or layout it is: image-spec 1.1, image-index.md. Of several entries for the wanted platform the
 * first is taken, and what is no image for a board (signatures, SBOMs, unknown media types) is passed over, never an error.
 *
 *     index.json ──▶ index ──▶ … ──▶ manifest ──▶ configuration ──▶ platform: does it fit? ──▶ layers, of that one only
 *     manifest.json (docker save), where there is no index.json, or nothing whole behind it
 */
import { sha256 } from '../digest.ts';
import {
  Configuration,
  type Descriptor,
  DockerManifest,
  imageConfigTypes,
  Index,
  Manifest,
  manifestKind,
  parseDocument,
} from './container-format.ts';
import { readMember, type Member, type Source } from './source.ts';
import { shown } from './tar.ts';

export interface Layer {
  member: Member;
  /** sha256 as stored; `docker save` does not say. */
  storedSha256: string | undefined;
  /** sha256 unpacked. */
  diffId: string;
  what: string;
}

export interface Chosen {
  /** Of the manifest; of the configuration (docker's image id) in a `docker save` archive, which has no manifest digest. */
  digest: string;
  architecture: string;
  configuration: Configuration;
  layers: Layer[];
}

export interface Wanted {
  source: Source;
  /** Picks among images of several names. */
  name: string;
  /** As container images spell it. */
  architecture: string;
}

interface Platform {
  os: string;
  architecture: string;
  variant: string;
}

/** An image whose layers were not looked at yet. */
interface Candidate {
  digest: string;
  configuration: Configuration;
  platform: Platform;
  names: string[];
  /** False where manifest and configuration do not have the same number of layers: what docker 25.0.0 saved. */
  isWhole: boolean;
  layers: () => Promise<Layer[]>;
}

/** What an archive says of itself, in a sentence of ours. */
const describedLimit = 500;
const nestingLimit = 3;
const manifestLimit = 256;
/** A later one may use instructions that a Cortex-A53 does not have. */
const variantsOf: Readonly<Record<string, readonly string[]>> = { arm64: ['', 'v8', 'v8.0'] };

/** Throws one sentence where no image, or none of that name, fits. */
export async function chooseImage({ source, name, architecture }: Wanted): Promise<Chosen> {
  const index = await source.find('index.json');
  const docker = await source.find('manifest.json');
  if (index === undefined && docker === undefined)
    throw new Error(
      `cannot import ${source.what}: neither index.json (OCI) nor manifest.json (docker save) is in it, want an archive of one of them`,
    );
  const fits = ({ platform }: Candidate): boolean =>
    platform.os === 'linux' &&
    platform.architecture === architecture &&
    (variantsOf[architecture] ?? [platform.variant]).includes(platform.variant);
  // Newer `docker save` archives are both; the OCI side carries digests of everything.
  const found = index === undefined ? nothing : await ociImages(source, index);
  let fitting = found.candidates.filter(fits);
  const others = [...found.candidates];
  if (docker !== undefined && !fitting.some(({ isWhole }) => isWhole)) {
    const saved = await dockerImages(source, docker);
    others.push(...saved);
    if (saved.some(fits)) fitting = saved.filter(fits);
  }
  if (fitting.length === 0) {
    const held = [...others.map(described), ...found.faults];
    throw new Error(
      `cannot import ${source.what}: want linux/${architecture}, it holds ${held.length === 0 ? 'no image' : short(held.join(', '))}`,
    );
  }
  return opened(byName(fitting, { name, source, architecture }), source);
}

const nothing: { candidates: Candidate[]; faults: string[] } = { candidates: [], faults: [] };

/** The first, unless there are images of several names: then the first that has the wanted one. */
function byName(fitting: readonly Candidate[], { name, source, architecture }: Wanted): Candidate {
  const named = fitting.find(({ names }) => names.some((own) => own === name || own.split('/').at(-1) === name));
  const [first] = fitting;
  if (named !== undefined) return named;
  const distinct = [...new Map(fitting.map((each) => [each.names.join(' '), each])).values()];
  if (first !== undefined && distinct.length === 1) return first;
  throw new Error(
    `cannot import ${source.what}: it holds ${distinct.length} images for linux/${architecture} (${short(distinct.map(described).join(', '))}), ` +
      'want the name of one of them',
  );
}

function described({ platform: { os, architecture, variant }, names }: Candidate): string {
  const text = `${os}/${architecture}${variant === '' ? '' : `/${variant}`}`;
  const platform =
    text === '/' ? 'an image whose configuration names no platform (want its architecture and os set)' : text;
  return [platform, ...names].join(' ');
}

function short(text: string): string {
  return text.length > describedLimit ? `${text.slice(0, describedLimit)}…` : text;
}

async function opened(candidate: Candidate, source: Source): Promise<Chosen> {
  const { digest, configuration, platform } = candidate;
  const layers = await candidate.layers();
  const listed = configuration.rootfs.diff_ids.length;
  if (layers.length !== listed)
    throw new Error(
      `cannot import ${source.what}: ${layers.length} layers, but its configuration lists ${listed}, want it saved again`,
    );
  if (layers.length === 0) throw new Error(`cannot import ${source.what}: the image has no layers, want at least one`);
  return { digest, configuration, architecture: platform.architecture, layers };
}

interface Visited {
  what: string;
  /** Of the index that lists this one. */
  names: string[];
  depth: number;
}

/** `faults`: what is there and could not be read; told where nothing else fits. */
async function ociImages(source: Source, index: Member): Promise<typeof nothing> {
  const found: typeof nothing = { candidates: [], faults: [] };
  let visited = 0;
  const visit = async (bytes: Buffer, { what, names: inheritedNames, depth }: Visited): Promise<void> => {
    for (const descriptor of parseDocument({ schema: Index, bytes, what }).manifests) {
      visited += 1;
      if (visited > manifestLimit)
        throw new Error(`cannot read ${source.what}: more than ${manifestLimit} manifests, want fewer`);
      const { annotations, platform, mediaType } = descriptor;
      const kind = manifestKind(mediaType);
      // What builders attach to an image (provenance, SBOM) comes as an image of an unknown platform.
      if (platform?.architecture === 'unknown' || kind === 'other') continue;
      const ownNames = ['org.opencontainers.image.ref.name', 'io.containerd.image.name'].flatMap((key) => {
        const value = annotations?.[key];
        return typeof value === 'string' ? value : [];
      });
      const names = ownNames.length > 0 ? ownNames : inheritedNames;
      // An archive of one platform out of many may list them all and hold the blobs of one.
      const name = nameOfBlob(descriptor.digest);
      const isThere = name !== undefined && (await source.find(name)) !== undefined;
      if (!isThere && platform?.architecture !== undefined) continue;
      if (kind === 'index') {
        if (depth >= nestingLimit)
          throw new Error(`cannot read ${source.what}: indexes within indexes, want at most ${nestingLimit}`);
        const nested = await document({ source, descriptor, what: `an index of ${source.what}` });
        await visit(nested, { what: `an index of ${source.what}`, names, depth: depth + 1 });
        continue;
      }
      try {
        const candidate = await ociImage(source, descriptor);
        if (candidate !== undefined) found.candidates.push({ ...candidate, names });
      } catch (error) {
        // One that is broken is no reason to refuse another that is whole.
        found.faults.push(`one that ${error instanceof Error ? error.message : String(error)}`);
      }
    }
  };
  const what = `index.json of ${source.what}`;
  await visit(await readMember(index, what), { what, names: [], depth: 0 });
  return found;
}

/** Undefined where it is a manifest of something else than an image. */
async function ociImage(source: Source, descriptor: Descriptor): Promise<Omit<Candidate, 'names'> | undefined> {
  const what = `the manifest of ${source.what}`;
  const manifest = parseDocument({ schema: Manifest, bytes: await document({ source, descriptor, what }), what });
  const { mediaType } = manifest.config;
  if (mediaType !== undefined && !imageConfigTypes.has(mediaType)) return undefined;
  const configuration = parseDocument({
    schema: Configuration,
    bytes: await document({ source, descriptor: manifest.config, what: `the configuration in ${source.what}` }),
    what: `the configuration in ${source.what}`,
  });
  return {
    digest: hexOf(descriptor.digest, what),
    configuration,
    platform: platformOf(configuration, descriptor),
    isWhole: manifest.layers.length === configuration.rootfs.diff_ids.length,
    layers: () => ociLayers(source, { layers: manifest.layers, configuration }),
  };
}

/** What the configuration leaves empty (images put together without a base) is as its index says. */
function platformOf({ os, architecture, variant }: Configuration, { platform }: Descriptor): Platform {
  const or = (own: string | null | undefined, told: string | null | undefined): string =>
    own === undefined || own === null || own === '' ? (told ?? '') : own;
  return {
    os: or(os, platform?.os),
    architecture: or(architecture, platform?.architecture),
    variant: or(variant, platform?.variant),
  };
}

async function ociLayers(
  source: Source,
  { layers, configuration }: { layers: readonly Descriptor[]; configuration: Configuration },
): Promise<Layer[]> {
  const found: Layer[] = [];
  for (const [index, layer] of layers.entries()) {
    const what = `layer ${index + 1} of ${source.what}`;
    if (layer.mediaType !== undefined && (!layer.mediaType.includes('tar') || layer.mediaType.includes('encrypted')))
      throw new Error(`cannot import ${what}: it is ${shown(layer.mediaType)}, want a tar, plain or with gzip or zstd`);
    found.push({
      member: await blob({ source, descriptor: layer, what }),
      storedSha256: hexOf(layer.digest, what),
      diffId: diffIdOf(configuration, index, what),
      what,
    });
  }
  return found;
}

// oxlint-disable-next-line max-params -- which layer of which image, and what errors call it
function diffIdOf({ rootfs }: Configuration, index: number, what: string): string {
  const id = rootfs.diff_ids[index];
  return id === undefined ? '' : hexOf(id, what);
}

async function dockerImages(source: Source, manifest: Member): Promise<Candidate[]> {
  const what = `manifest.json of ${source.what}`;
  const images = parseDocument({ schema: DockerManifest, bytes: await readMember(manifest, what), what });
  const need = async (name: string): Promise<Member> => {
    const member = await source.find(name);
    if (member === undefined)
      throw new Error(`cannot import ${source.what}: ${shown(name)} is missing from it, want it saved again`);
    return member;
  };
  return Promise.all(
    images.map(async ({ Config, RepoTags, Layers }): Promise<Candidate> => {
      const label = `the configuration in ${source.what}`;
      const bytes = await readMember(await need(Config), label);
      const configuration = parseDocument({ schema: Configuration, bytes, what: label });
      const digest = sha256(bytes);
      const named = /([0-9a-f]{64})(\.json)?$/.exec(Config)?.[1];
      if (named !== undefined && named !== digest)
        throw new Error(`cannot import ${label}: its sha256 is ${digest}, want ${named}`);
      const layers = async (): Promise<Layer[]> => {
        const found: Layer[] = [];
        for (const [index, name] of Layers.entries()) {
          const own = `layer ${index + 1} of ${source.what}`;
          const diffId = diffIdOf(configuration, index, own);
          found.push({ member: await need(name), storedSha256: undefined, diffId, what: own });
        }
        return found;
      };
      const isWhole = Layers.length === configuration.rootfs.diff_ids.length;
      const platform = platformOf(configuration, { digest: '', size: 0 });
      return { digest, configuration, platform, layers, isWhole, names: RepoTags ?? [] };
    }),
  );
}

interface BlobOptions {
  source: Source;
  descriptor: Descriptor;
  what: string;
}

async function blob({ source, descriptor, what }: BlobOptions): Promise<Member> {
  const member = await source.find(`blobs/sha256/${hexOf(descriptor.digest, what)}`);
  if (member === undefined) throw new Error(`cannot import ${what}: blob ${descriptor.digest} is missing`);
  if (member.sizeBytes !== descriptor.size) {
    throw new Error(`cannot import ${what}: ${member.sizeBytes} bytes, want ${descriptor.size}`);
  }
  return member;
}

async function document(options: BlobOptions): Promise<Buffer> {
  const bytes = await readMember(await blob(options), options.what);
  const [found, wanted] = [sha256(bytes), hexOf(options.descriptor.digest, options.what)];
  if (found !== wanted) throw new Error(`cannot import ${options.what}: its sha256 is ${found}, want ${wanted}`);
  return bytes;
}

function nameOfBlob(digest: string): string | undefined {
  const hex = sha256Digest.exec(digest)?.[1];
  return hex === undefined ? undefined : `blobs/sha256/${hex}`;
}

const sha256Digest = /^sha256:([0-9a-f]{64})$/;

function hexOf(digest: string, what: string): string {
  const hex = sha256Digest.exec(digest)?.[1];
  if (hex === undefined) throw new Error(`cannot import ${what}: its digest is ${shown(digest)}, want sha256:…`);
  return hex;
}
