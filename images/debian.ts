/**
 * Debian packages of another suite or architecture, without touching this machine's own apt state.
 *
 * The mirror and the keyring are the ones this machine's apt is already told to use; the lists, the package cache and the
 * dpkg status are private, below `<cacheDir>/apt/<suite>-<arch>/`. What comes out is what apt's signature chain vouches
 * for: InRelease by the keyring, Packages by InRelease, each .deb by Packages.
 */
import { mkdir, mkdtemp, readFile, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { run } from './command.ts';
import { sha256File } from './digest.ts';
import { megabytes, silentProgress, type Progress } from './progress.ts';

export interface Candidate {
  name: string;
  version: string;
  sha256: string;
  sizeBytes: number;
  /** The raw Depends field, '' when there is none. */
  depends: string;
}

export interface DebianSuite {
  /** The version apt would install of each, in the order asked. Throws when one is not in the suite. */
  candidates(names: readonly string[]): Promise<Candidate[]>;
  /** The packages together with everything they depend on (no Recommends), sorted by name. */
  closure(names: readonly string[]): Promise<string[]>;
  /** Downloads (or finds in the cache) each candidate; gives the path of its .deb by name. */
  fetch(candidates: readonly Candidate[]): Promise<Map<string, string>>;
}

export interface DebianSuiteOptions {
  suite: string;
  arch: string;
  cacheDir: string;
  signal?: AbortSignal | undefined;
  progress?: Progress | undefined;
}

/** One archive in apt's configuration. `signedBy` is a path or an embedded key, as apt has it. */
export interface AptSource {
  uri: string;
  suites: string[];
  components: string[];
  signedBy: string | undefined;
}

type Apt = (line: ['apt-get' | 'apt-cache', ...string[]], cwd?: string) => Promise<string>;

const packageName = /^[a-z0-9][a-z0-9+.-]+$/;
// These have no -updates or -security beside them.
const rollingSuites = new Set(['sid', 'unstable', 'testing', 'experimental']);

export async function debianSuite(options: DebianSuiteOptions): Promise<DebianSuite> {
  const { suite, arch, signal, progress = silentProgress } = options;
  const dir = resolve(options.cacheDir, 'apt', `${suite}-${arch}`);
  const debs = join(dir, 'debs');
  for (const part of ['lists/partial', 'cache/archives/partial', 'debs']) {
    await mkdir(join(dir, part), { recursive: true });
  }
  await writeFile(join(dir, 'suite.sources'), sourcesFor({ suite, arch, sources: await machineSources() }));

  const settings = aptSettings(dir, arch);
  const apt: Apt = ([tool, ...args], cwd = dir) => run(tool, [...settings, ...args], { cwd, signal });

  const update = async (): Promise<void> => {
    const step = progress.step(`Debian ${suite} ${arch} package lists`);
    try {
      await apt(['apt-get', 'update', '-q']);
      step.done();
    } catch (error) {
      signal?.throwIfAborted();
      const lists = await readdir(join(dir, 'lists'));
      if (!lists.some((file) => file.includes('_Packages'))) throw error;
      // A mirror that is away must not stop a build whose packages may all be in the cache already.
      step.done(
        `mirror not reached, using the lists of the last time (${error instanceof Error ? error.message : ''})`,
      );
    }
  };
  let updated: Promise<void> | undefined;
  const lists = (): Promise<void> => (updated ??= update());

  const candidates = async (names: readonly string[]): Promise<Candidate[]> => {
    names.forEach(checkName);
    await lists();
    const found = new Map(parseCandidates(await apt(['apt-cache', 'show', '--no-all-versions', ...names])));
    return names.map((name) => {
      const candidate = found.get(name);
      if (candidate === undefined) throw new Error(`cannot find ${name} in Debian ${suite} ${arch}`);
      return candidate;
    });
  };

  const closure = async (names: readonly string[]): Promise<string[]> => {
    names.forEach(checkName);
    await lists();
    const simulated = await apt(['apt-get', 'install', '--simulate', '-q', ...names]);
    return [...simulated.matchAll(/^Inst (\S+) /gm)].map((match) => (match[1] ?? '').replace(/:.*/, '')).toSorted();
  };

  const cached = async (candidate: Candidate): Promise<string | undefined> => {
    const path = join(debs, `${candidate.sha256}.deb`);
    return existsSync(path) && (await sha256File(path)) === candidate.sha256 ? path : undefined;
  };

  const fetch = async (wanted: readonly Candidate[]): Promise<Map<string, string>> => {
    const paths = new Map<string, string>();
    const missing: Candidate[] = [];
    for (const candidate of wanted) {
      const path = await cached(candidate);
      if (path === undefined) missing.push(candidate);
      else paths.set(candidate.name, path);
    }
    if (missing.length === 0) return paths;

    await lists();
    const sizeBytes = missing.reduce((sum, candidate) => sum + candidate.sizeBytes, 0);
    const step = progress.step(`${missing.length} Debian ${suite} ${arch} packages`);
    for (const [name, path] of await download(missing, { apt, dir, debs })) paths.set(name, path);
    step.done(megabytes(sizeBytes));
    return paths;
  };

  return { candidates, closure, fetch };
}

/** Everything of its own, below `dir`. */
function aptSettings(dir: string, arch: string): string[] {
  return [
    `APT::Architecture=${arch}`,
    `APT::Architectures=${arch}`,
    `Dir::State::Lists=${dir}/lists`,
    `Dir::Cache=${dir}/cache`,
    `Dir::State::status=/dev/null`,
    `Dir::State::extended_states=/dev/null`,
    `Dir::Etc::sourcelist=${dir}/suite.sources`,
    'Dir::Etc::sourceparts=/dev/null',
    'Dir::Etc::preferences=/dev/null',
    'Dir::Etc::preferencesparts=/dev/null',
    'APT::Sandbox::User=root',
    'APT::Install-Recommends=false',
    'Acquire::Languages=none',
    'Acquire::Retries=3',
    'DPkg::Lock::Timeout=120',
  ].map((setting) => `-o${setting}`);
}

/** Fetches them by apt and keeps each by its digest, in `debs`; gives the paths by name. */
async function download(
  missing: readonly Candidate[],
  { apt, dir, debs }: { apt: Apt; dir: string; debs: string },
): Promise<Map<string, string>> {
  const paths = new Map<string, string>();
  const partial = await mkdtemp(join(dir, 'partial-'));
  try {
    await apt(['apt-get', 'download', '-q', ...missing.map(({ name, version }) => `${name}=${version}`)], partial);
    const fetched = new Map<string, string>();
    for (const file of await readdir(partial)) fetched.set(await sha256File(join(partial, file)), file);
    for (const { name, version, sha256 } of missing) {
      const file = fetched.get(sha256);
      if (file === undefined) throw new Error(`cannot fetch ${name} ${version}: no file came with sha256 ${sha256}`);
      const path = join(debs, `${sha256}.deb`);
      await rename(join(partial, file), path);
      paths.set(name, path);
    }
  } finally {
    await rm(partial, { recursive: true, force: true });
  }
  return paths;
}

function checkName(name: string): void {
  if (!packageName.test(name))
    throw new Error(`cannot look up package ${JSON.stringify(name)}: want a Debian package name`);
}

/** Reads this machine's apt configuration: sources.list and everything in sources.list.d that apt would read. */
async function machineSources(): Promise<AptSource[]> {
  const etc = (
    await run('apt-config', ['shell', 'LIST', 'Dir::Etc::sourcelist/f', 'PARTS', 'Dir::Etc::sourceparts/d'])
  ).trim();
  const list = /^LIST='(.*)'$/m.exec(etc)?.[1];
  const parts = /^PARTS='(.*)'$/m.exec(etc)?.[1];
  const files: string[] = list !== undefined && existsSync(list) ? [list] : [];
  if (parts !== undefined && existsSync(parts)) {
    for (const file of (await readdir(parts)).toSorted()) files.push(join(parts, file));
  }
  const sources: AptSource[] = [];
  for (const file of files) {
    if (file.endsWith('.sources')) sources.push(...parseDeb822Sources(await readFile(file, 'utf8')));
    else if (file.endsWith('.list')) sources.push(...parseListSources(await readFile(file, 'utf8')));
  }
  return sources;
}

/** Parses the deb822 form (sources.list(5)): stanzas of fields, continuation lines indented. */
export function parseDeb822Sources(text: string): AptSource[] {
  const sources: AptSource[] = [];
  const withoutComments = text.replace(/^#.*\n?/gm, '');
  for (const stanza of withoutComments.split(/\n[ \t]*\n/)) {
    const fields = new Map<string, string>();
    for (const match of stanza.matchAll(/^([A-Za-z0-9-]+):[ \t]*(.*(?:\n[ \t]+.*)*)/gm)) {
      fields.set((match[1] ?? '').toLowerCase(), (match[2] ?? '').trim());
    }
    const words = (field: string): string[] => (fields.get(field) ?? '').split(/\s+/).filter((word) => word !== '');
    if (!words('types').includes('deb') || /^(no|false|0|off)$/i.test(fields.get('enabled') ?? 'yes')) continue;
    for (const uri of words('uris')) {
      const signedBy = fields.get('signed-by');
      sources.push({ uri, suites: words('suites'), components: words('components'), signedBy });
    }
  }
  return sources;
}

/** Parses the one-line form: `deb [signed-by=FILE arch=amd64] URI suite component…`. */
export function parseListSources(text: string): AptSource[] {
  const sources: AptSource[] = [];
  for (const line of text.split('\n')) {
    const match = /^deb\s+(?:\[([^\]]*)\]\s+)?(\S+)\s+(\S+)\s*([^#]*)/.exec(line.trim());
    if (match === null) continue;
    const [, settings = '', uri = '', suite = '', components = ''] = match;
    const signedBy = /(?:^|\s)signed-by=(\S+)/.exec(settings)?.[1];
    sources.push({ uri, suites: [suite], components: components.split(/\s+/).filter((word) => word !== ''), signedBy });
  }
  return sources;
}

/** The deb822 file that names `suite` on the same archives, and with the same keyring, as the machine's own Debian. */
export function sourcesFor(options: { suite: string; arch: string; sources: readonly AptSource[] }): string {
  const { suite, arch, sources } = options;
  const usable = sources.filter(({ components }) => components.includes('main'));
  const isSecurity = ({ suites }: AptSource): boolean => suites.some((name) => /-security$|\/updates$/.test(name));
  const archive = mostLikelyDebian(usable.filter((source) => !isSecurity(source)));
  if (archive === undefined) {
    throw new Error("cannot find a Debian archive in this machine's apt sources: want one with component main");
  }
  const stanza = (source: AptSource, suites: string): string =>
    [
      'Types: deb',
      `URIs: ${source.uri}`,
      `Suites: ${suites}`,
      'Components: main',
      `Architectures: ${arch}`,
      ...(source.signedBy === undefined ? [] : [`Signed-By: ${source.signedBy}`]),
      '',
    ].join('\n');

  if (rollingSuites.has(suite)) return stanza(archive, suite);
  const security = mostLikelyDebian(usable.filter(isSecurity));
  const stable = stanza(archive, `${suite} ${suite}-updates`);
  return security === undefined ? stable : `${stable}\n${stanza(security, `${suite}-security`)}`;
}

// Other vendors' archives also name Debian's suites and a component main; the keyring and the path tell them apart.
function mostLikelyDebian(sources: readonly AptSource[]): AptSource | undefined {
  const likeness = ({ uri, signedBy }: AptSource): number =>
    (signedBy?.includes('debian-archive') === true ? 2 : 0) + (/\/debian(-security)?\/?$/.test(uri) ? 1 : 0);
  return sources.toSorted((a, b) => likeness(b) - likeness(a))[0];
}

/** Parses `apt-cache show`: one stanza a package. */
export function parseCandidates(text: string): [name: string, candidate: Candidate][] {
  const found: [string, Candidate][] = [];
  for (const stanza of text.split(/\n\s*\n/)) {
    const field = (name: string): string => new RegExp(`^${name}: (.*)$`, 'm').exec(stanza)?.[1] ?? '';
    const name = field('Package');
    const sha256 = field('SHA256');
    if (name === '') continue;
    if (!/^[0-9a-f]{64}$/.test(sha256)) throw new Error(`cannot use package ${name}: its list has no SHA256`);
    const candidate = {
      name,
      version: field('Version'),
      sha256,
      sizeBytes: Number(field('Size')),
      depends: field('Depends'),
    };
    found.push([name, candidate]);
  }
  return found;
}
