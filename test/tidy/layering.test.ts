// The style of the project, as far as a program can see it.
import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { basename, dirname, join, normalize } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const rootDir = dirname(dirname(dirname(fileURLToPath(import.meta.url))));

/** Which rooms each room may import: stated here and nowhere else. Imports go down only. */
const mayImport: Record<string, readonly string[]> = {
  protocol: [],
  inventory: ['protocol'],
  images: ['protocol'],
  ipxe: ['images', 'protocol'],
  boot: ['ipxe', 'images', 'inventory', 'protocol'],
  scheduler: ['inventory', 'protocol'],
  dashboard: ['protocol'],
  controller: ['dashboard', 'scheduler', 'boot', 'images', 'inventory', 'protocol'],
  agent: ['protocol'],
  cli: ['protocol'],
  setup: ['controller', 'images', 'ipxe', 'protocol'],
  test: [
    'controller',
    'dashboard',
    'scheduler',
    'boot',
    'ipxe',
    'images',
    'inventory',
    'agent',
    'cli',
    'protocol',
    'setup',
  ],
};

const lineLimit = 450;
/** More than a reader can take in. */
const roomFilesLimit = 20;

/** Names that say nothing. `images/node/base.ts` is the base layer of the node image. */
const emptyNames = /^(index|utils?|helpers?|common|manager|base|misc|shared)(\.|$)/;
const namedAllTheSame = ['images/node/base.ts'];

const isTest = (path: string) => /\.(test|e2e|fixture|sandboxed)\.ts$/.test(path);
const room = (path: string) => path.split('/')[0] ?? '';

const files = globSync('**/*.{ts,mjs,sh,pl,html,css,json}', {
  cwd: rootDir,
  exclude: ['**/node_modules/**', '.cache/**', '.state/**', 'artefacts/**', '**/testdata/**', 'package-lock.json'],
});
const sources = files
  .filter((path) => /\.(ts|mjs)$/.test(path))
  .map((path) => ({ path, text: readFileSync(join(rootDir, path), 'utf8') }));

function importsOf({ path, text }: { path: string; text: string }): string[] {
  const specifiers = [...text.matchAll(/(?:^|\s)(?:from|import)\s*\(?\s*'(\.[^']+)'/g)].map((match) => match[1] ?? '');
  return specifiers.map((specifier) => normalize(join(dirname(path), specifier)));
}

function check(name: string, findings: () => string[]): void {
  test(name, () => assert.deepEqual(findings(), []));
}

check('imports go down only', () =>
  sources
    .filter(({ path }) => !isTest(path) && path.includes('/'))
    .flatMap((source) =>
      importsOf(source)
        .filter((target) => target !== 'package.json' && room(target) !== room(source.path))
        .filter((target) => mayImport[room(source.path)]?.includes(room(target)) !== true)
        .map((target) => `${source.path} imports ${target}`),
    ),
);

check('the protocol is pure: no sockets, disk, clock or randomness', () =>
  sources
    .filter(({ path }) => room(path) === 'protocol' && !isTest(path))
    .filter(({ text }) =>
      /node:(fs|net|dgram|http|https|tls|child_process)|Date\.now|Math\.random|randomBytes/.test(text),
    )
    .map(({ path }) => path),
);

check('nothing imports a main.ts', () =>
  sources.flatMap((source) =>
    importsOf(source)
      .filter((target) => basename(target) === 'main.ts' && dirname(target) !== 'dashboard/page')
      .map((target) => `${source.path} imports ${target}`),
  ),
);

// Handing the environment or the search path on to a program that we start is not reading it.
check('only main.ts reads the command line and the environment', () =>
  sources
    .filter(({ path }) => !isTest(path) && !['setup', 'test'].includes(room(path)) && basename(path) !== 'main.ts')
    .filter(({ text }) => /process\.argv|process\.env(\.|\[(?!'PATH'))/.test(text))
    .map(({ path }) => path),
);

check('files are kebab-case nouns that say something', () =>
  files
    .filter((path) => !namedAllTheSame.includes(path))
    .filter(
      (path) =>
        !/^[a-z0-9]+(-[a-z0-9]+)*(\.[a-z0-9]+)+$/.test(basename(path).replace(/^\./, '')) ||
        emptyNames.test(basename(path)),
    )
    .filter((path) => basename(path) !== 'index.html'),
);

check(`files have at most ${lineLimit} lines`, () =>
  sources
    .filter(({ path }) => !isTest(path))
    .map(({ path, text }) => ({ path, lines: text.split('\n').length }))
    .filter(({ lines }) => lines > lineLimit)
    .map(({ path, lines }) => `${path} has ${lines} lines: is there a second thing in it?`),
);

check(`folders have at most ${roomFilesLimit} source files`, () =>
  [...Map.groupBy(sources, ({ path }) => dirname(path))]
    .filter(([, inside]) => inside.length > roomFilesLimit)
    .map(([folder, { length }]) => `${folder} has ${length} source files: which of them are a room?`),
);

const nowhere: { what: string; pattern: RegExp }[] = [
  {
    what: 'names a package registry',
    pattern: /registry\.npmjs|deb\.debian\.org|security\.debian|docker\.io|ghcr\.io|quay\.io/,
  },
  { what: 'names a path of one machine', pattern: /['"` (=](\/work\/|\/home\/|\/root\/)/ },
  { what: 'leaves something for later', pattern: /\b(TODO|FIXME|XXX)\b/ },
  { what: 'has a constant in capitals', pattern: /\b(const|let|static|readonly) [A-Z][A-Z0-9_]+ ?[:=]/ },
  { what: 'runs one test only', pattern: /\b(test|it|describe)\.only\(/ },
  // Unit tests share a process: such a hook would be around the tests of all.
  { what: 'has a hook around each test', pattern: /^(before|after)Each\(/ },
  { what: 'switches types off', pattern: /@ts-(ignore|nocheck|expect-error)|\bas any\b|: any\b/ },
];
for (const { what, pattern } of nowhere) {
  check(`no file ${what}`, () =>
    sources
      .filter(({ path }) => path !== 'test/tidy/layering.test.ts')
      .flatMap(({ path, text }) =>
        text.split('\n').flatMap((line, i) => (pattern.test(line) ? [`${path}:${i + 1}: ${line.trim()}`] : [])),
      ),
  );
}
