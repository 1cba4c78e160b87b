// Where the controller's bundle is, and whether it is of the sources that are here. It loads next to nothing: this runs before
// anything else does.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { sha256 } from '../images/digest.ts';

/** What `setup/controller-bundle.ts` leaves behind beside the bundle. */
export interface BundleManifest {
  /** A bundle of one version of Node may use what another has not. */
  node: string;
  /** SHA-256, hex, by path from the root directory: our own sources, what bundles them, npm's list of what it has installed. */
  inputs: Record<string, string>;
  /** The directory of the bundle, in that of the manifest. */
  directory: string;
}

/** Of the checkout or installation at this root: a bundle names files by their absolute paths. */
export function bundlesDirectory({ rootDir, cacheDir }: { rootDir: string; cacheDir: string }): string {
  return join(cacheDir, 'controller', sha256(join(rootDir, '.')).slice(0, 16));
}

/** The URL of the bundled `controller/up.ts`; undefined where there is none of just these sources. */
export function bundleOf(place: { rootDir: string; cacheDir: string }): string | undefined {
  const directory = bundlesDirectory(place);
  try {
    const manifest: BundleManifest = JSON.parse(readFileSync(join(directory, 'manifest.json'), 'utf8'));
    if (manifest.node !== process.version) return undefined;
    for (const [path, digest] of Object.entries(manifest.inputs))
      if (sha256(readFileSync(join(place.rootDir, path))) !== digest) return undefined;
    return pathToFileURL(join(directory, manifest.directory, 'controller/up.js')).href;
  } catch {
    // No set-up, a source that is gone, a manifest that was cut: the sources themselves are always right.
    return undefined;
  }
}
