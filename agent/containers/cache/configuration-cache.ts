// What containers are started with, by digest, on this node: fetched once, checked, and kept as a file as long as it is
// wanted. On tmpfs beside the images, so that an agent that was restarted in silence can start what it holds again.
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Value } from 'typebox/value';
import { ContainerConfiguration } from '../../../protocol/api/instances.ts';
import { Semaphore } from '../semaphore.ts';

/** Fetches at once: a board that starts anew may want a thousand. */
const atOnce = 2;

export interface ConfigurationCacheOptions {
  directory: string;
  /** The bytes that the controller has under that digest, or fewer than it can check. */
  readonly fetchConfiguration: (sha256: string, signal: AbortSignal) => Promise<Buffer>;
}

export class ConfigurationCache {
  readonly #options: ConfigurationCacheOptions;
  readonly #semaphore = new Semaphore(atOnce);

  constructor(options: ConfigurationCacheOptions) {
    this.#options = options;
    mkdirSync(options.directory, { recursive: true, mode: 0o700 });
  }

  /** Rejects, naming the digest, where it cannot be had or is not what it should be. */
  async get(sha256: string, signal: AbortSignal): Promise<ContainerConfiguration> {
    const file = this.#file(sha256);
    if (existsSync(file)) return parse(readFileSync(file), sha256);
    using _acquired = await this.#semaphore.acquire(signal);
    // Another container of the same configuration may have been first.
    if (existsSync(file)) return parse(readFileSync(file), sha256);
    const bytes = await this.#options.fetchConfiguration(sha256, signal);
    const configuration = parse(bytes, sha256);
    writeFileSync(`${file}.new`, bytes, { mode: 0o600 });
    renameSync(`${file}.new`, file);
    return configuration;
  }

  /** Forgets all others: they may hold secrets that nobody here needs any more. */
  keepOnly(wanted: ReadonlySet<string>): void {
    for (const name of readdirSync(this.#options.directory))
      if (!wanted.has(name)) rmSync(join(this.#options.directory, name), { force: true });
  }

  #file(sha256: string): string {
    return join(this.#options.directory, sha256);
  }
}

function parse(bytes: Buffer, sha256: string): ContainerConfiguration {
  const found = createHash('sha256').update(bytes).digest('hex');
  if (found !== sha256) throw new Error(`cannot use configuration ${sha256}: its sha256 is ${found}`);
  const value: unknown = JSON.parse(bytes.toString('utf8'));
  if (!Value.Check(ContainerConfiguration, value))
    throw new Error(`cannot use configuration ${sha256}: want args, env and workingDir`);
  return value;
}
