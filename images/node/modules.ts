/** Kernel modules: which files a set of module names needs, from what depmod wrote. Pure. */

export interface ModuleIndex {
  /** Path of the file (relative to the kernel's module directory) by module name. */
  files: Map<string, string>;
  /** Paths that each path needs first. */
  needs: Map<string, string[]>;
  /** Names of modules that are asked to be loaded before a name, without a symbol that says so. */
  soft: Map<string, string[]>;
  builtin: Set<string>;
}

/** `-` and `_` are the same in a module's name, and files carry the compression's suffix. */
export function moduleName(path: string): string {
  return (path.split('/').at(-1) ?? '').replace(/\.ko(\.(xz|zst|gz))?$/, '').replaceAll('-', '_');
}

export function parseModuleIndex(texts: { dep: string; softdep: string; builtin: string }): ModuleIndex {
  const index: ModuleIndex = { files: new Map(), needs: new Map(), soft: new Map(), builtin: new Set() };
  for (const line of texts.dep.split('\n')) {
    const colon = line.indexOf(':');
    if (colon < 0) continue;
    const path = line.slice(0, colon);
    index.files.set(moduleName(path), path);
    index.needs.set(
      path,
      line
        .slice(colon + 1)
        .split(' ')
        .filter((word) => word !== ''),
    );
  }
  for (const match of texts.softdep.matchAll(/^softdep (\S+) (.*)$/gm)) {
    const names = (match[2] ?? '').split(' ').filter((word) => word !== '' && !word.endsWith(':'));
    index.soft.set(moduleName(match[1] ?? ''), names.map(moduleName));
  }
  for (const line of texts.builtin.split('\n')) if (line !== '') index.builtin.add(moduleName(line));
  return index;
}

/**
 * The files that `names` need, sorted, with hard dependencies and those soft ones that exist.
 * Throws with all names that this kernel has neither as a module nor built in.
 */
export function moduleClosure(index: ModuleIndex, names: readonly string[]): string[] {
  const wanted = new Set<string>();
  const add = (path: string): void => {
    if (wanted.has(path)) return;
    wanted.add(path);
    for (const needed of index.needs.get(path) ?? []) add(needed);
    for (const soft of index.soft.get(moduleName(path)) ?? []) {
      const file = index.files.get(soft);
      if (file !== undefined) add(file);
    }
  };
  const missing: string[] = [];
  for (const name of names) {
    const file = index.files.get(moduleName(name));
    if (file !== undefined) add(file);
    else if (!index.builtin.has(moduleName(name))) missing.push(name);
  }
  if (missing.length > 0) throw new Error(`cannot find kernel modules ${missing.join(', ')}`);
  return [...wanted].toSorted();
}
