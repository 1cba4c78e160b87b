// What containers are started with, kept once for each digest and not with each instance: 10,000 replicas of a large
// environment are one document. A document stays as long as an instance names it.
import { Type } from 'typebox';
import { Check } from 'typebox/value';
import { ContainerConfiguration } from '../../protocol/api/instances.ts';
import { filledChecks } from '../../protocol/workload/checks.ts';
import { configurationDigest, configurationProblem } from '../../protocol/desired-state.ts';
import type { InstanceDocument, WorkloadDocument } from '../store/documents.ts';
import type { Transaction } from '../store/transaction.ts';
import type { Store, StoredDocument, Write } from '../store/store.ts';

/** Of what a revision of a workload is run with. */
export interface Resolved {
  sha256: string;
  /** Why no board may be asked to run it; undefined where one may. */
  problem: string | undefined;
}

/** The scheduler asks for every workload in every pass. Documents are never changed in place, so one answer is enough. */
const resolutions = new WeakMap<WorkloadDocument, Resolved>();

export function resolve(workload: WorkloadDocument): Resolved {
  const known = resolutions.get(workload);
  if (known !== undefined) return known;
  const configuration = configurationOf(workload);
  const resolved = { sha256: configurationDigest(configuration), problem: configurationProblem(configuration) };
  resolutions.set(workload, resolved);
  return resolved;
}

/** An image's own words and the workload's, as crun will get them. */
export function configurationOf({ spec, image }: Pick<WorkloadDocument, 'spec' | 'image'>): ContainerConfiguration {
  const { config } = image;
  const { user = config.user, stopSignal = config.stopSignal, capabilities, stopGraceMs } = spec;
  const env = new Map(config.env.map((line) => splitOnce(line)));
  for (const [key, value] of Object.entries(spec.env ?? {})) env.set(key, value);
  const checks = filledChecks({ checks: spec.checks, port: spec.port, healthcheck: config.healthcheck });
  return {
    args: spec.command ?? [...config.entrypoint, ...config.cmd],
    env: Array.from(env, ([key, value]) => `${key}=${value}`),
    workingDir: config.workingDir === '' ? '/' : config.workingDir,
    // What nobody names is left out: a configuration's digest is of what it says.
    ...(user === '' ? {} : { user }),
    ...(capabilities === undefined ? {} : { capabilities }),
    ...(stopSignal === undefined ? {} : { stopSignal }),
    ...(stopGraceMs === undefined ? {} : { stopGraceMs }),
    ...(checks !== undefined && { checks }),
  };
}

function splitOnce(line: string): [string, string] {
  const at = line.indexOf('=');
  return at < 0 ? [line, ''] : [line.slice(0, at), line.slice(at + 1)];
}

/** For instances that were removed in this decision: their configurations go where no other instance names them. */
export function forgetConfigurations(transaction: Transaction, removed: readonly InstanceDocument[]): void {
  const unused = new Set(removed.map(({ desired }) => desired.configuration));
  if (unused.size === 0) return;
  for (const [, { desired }] of transaction.all('instances')) {
    unused.delete(desired.configuration);
    if (unused.size === 0) return;
  }
  for (const sha256 of unused) transaction.remove('configurations', sha256);
}

/** What a store holds; one that an older Muster wrote is brought up to date first. `foundRevision` is from before that. */
export async function openDocuments(store: Store) {
  const found = await store.list('');
  const moves = configurationsApart(found.documents);
  if (moves.length > 0) await store.transact(moves);
  return { ...(moves.length > 0 ? await store.list('') : found), foundRevision: found.revision };
}

const Inlined = Type.Object({ desired: ContainerConfiguration });

/**
 * Earlier versions kept a copy with each instance. What it takes to bring those apart; nothing where there are none. One that
 * is larger than boards take today is kept as well: its instances are failed by name, and the controller starts.
 */
function configurationsApart(documents: readonly StoredDocument[]): Write[] {
  const found = new Map<string, ContainerConfiguration>();
  const instances = documents.flatMap(({ key, value, revision }): Write[] => {
    if (!key.startsWith('instances/') || !Check(Inlined, value)) return [];
    const { args, env, workingDir, ...rest } = value.desired;
    const configuration = { args, env, workingDir };
    const sha256 = configurationDigest(configuration);
    found.set(sha256, configuration);
    return [{ key, value: { ...value, desired: { ...rest, configuration: sha256 } }, expected: revision }];
  });
  return [...Array.from(found, ([sha256, value]) => ({ key: `configurations/${sha256}`, value })), ...instances];
}
