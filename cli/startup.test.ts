// What a command loads decides how long it takes to start: nothing of node_modules, whose schema library alone takes longer
// than all else. Where a file of workloads is there to read, `cli/file/` is loaded for it, by `import()` inside the command.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));

/** Files that are loaded from there, each by what loads it. `import type` loads nothing; a list of types alone does. */
function loaded(start: string): Map<string, string> {
  const found = new Map([[start, '']]);
  for (const file of found.keys()) {
    if (!file.endsWith('.ts')) continue;
    const text = readFileSync(join(root, file), 'utf8');
    for (const [statement, specifier = ''] of text.matchAll(
      /^(?:import|export)\s(?:[^;]*?\sfrom\s)?'([^']+)'|import\('([^']+)'\)/gm,
    )) {
      const target = specifier === '' ? (/'([^']+)'/.exec(statement)?.[1] ?? '') : specifier;
      if (statement.startsWith('import type') || target.startsWith('node:')) continue;
      const isWhenNeeded = statement.startsWith('import(') && target.includes('/file/');
      if (isWhenNeeded) continue;
      const path = target.startsWith('.') ? normalize(join(dirname(file), target)) : target;
      if (!found.has(path)) found.set(path, file);
    }
  }
  return found;
}

test('no command loads a package', () => {
  const all = loaded('cli/main.ts');
  assert.ok(all.has('cli/commands/kill.ts') && all.has('protocol/records/kill-report.ts'));
  assert.ok(all.has('cli/workloads/files.ts') && !all.has('cli/file/source.ts'));
  assert.deepEqual(
    [...all].filter(([file]) => !/^(cli|protocol)\/.*\.ts$|^package\.json$/.test(file)),
    [],
  );
});
