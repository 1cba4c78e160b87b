// `muster up`, from its bundle where set-up made one of just these sources: a start that follows a crash has the 3 s of a
// permit, and 800 files take a good part of them.
import { enableCompileCache } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { bundleOf } from './bundle.ts';

enableCompileCache();
const rootDir = fileURLToPath(new URL('..', import.meta.url));
const cacheDir = process.env['MUSTER_CACHE'] ?? join(rootDir, '.cache');
const { up, failed }: typeof import('./up.ts') = await import(bundleOf({ rootDir, cacheDir }) ?? './up.ts');

const [, program = '', ...argv] = process.argv;
await up({ program, argv, environment: process.env }).catch(failed);
