// The seccomp profile of a node's containers, for this machine: made from the same file of Debian's container tools, which
// comes with skopeo (`setup/packages.mjs`), by the code that makes the node image's.
import { readFileSync, writeFileSync } from 'node:fs';
import { containerCapabilities } from '../../../protocol/container/capabilities.ts';
import { parseContainersProfile, seccompFor } from '../../../images/node/seccomp.ts';
import { seccompPath } from '../../../images/node/recipe.ts';

const architectures: Partial<Record<NodeJS.Architecture, string>> = { x64: 'amd64', arm64: 'arm64' };

export function writeSeccompProfile(file: string): void {
  const caps = containerCapabilities.map((name) => `CAP_${name}`);
  const profile = parseContainersProfile(readFileSync(`/${seccompPath}`, 'utf8'));
  writeFileSync(file, JSON.stringify(seccompFor(profile, { arch: architectures[process.arch] ?? process.arch, caps })));
}
