// The tools that read the whole project: each counts as one test of `npm test` and runs first in `npm run check`, the
// longest first. Prettier and the compiler read again only what has changed since they
// found it right.

export const tools: readonly { name: string; argv: readonly string[] }[] = [
  {
    name: 'format',
    argv: [
      'node_modules/.bin/prettier',
      '--check',
      '--log-level',
      'warn',
      '--cache',
      '--cache-strategy',
      'content',
      '.',
    ],
  },
  {
    name: 'types',
    argv: [
      'node_modules/.bin/tsc',
      '--noEmit',
      '--incremental',
      '--tsBuildInfoFile',
      'node_modules/.cache/types.tsbuildinfo',
    ],
  },
  { name: 'types of the page', argv: ['node_modules/.bin/tsc', '--noEmit', '-p', 'dashboard/page'] },
  { name: 'lint', argv: ['node_modules/.bin/oxlint', '--type-aware'] },
];
