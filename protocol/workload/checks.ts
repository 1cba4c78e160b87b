// Checks of an instance by its node's agent: what a workload may ask for, and what an agent is told, with every default
// filled in. Pure.
//
//   start   until it has held once, the instance is not ready and nothing else is asked; restarted when it does not hold in time
//   ready   while it does not hold, the instance gets no traffic; nothing is restarted for it
//   live    when it does not hold any more, the instance is restarted
import type { Check, Checks, FilledCheck, FilledChecks } from './check-schemas.ts';
import type { ImageHealthcheck } from '../api/images.ts';

export const checkNames = ['start', 'ready', 'live'] as const;
export type CheckName = (typeof checkNames)[number];

const defaults = { intervalMs: 2_000, timeoutMs: 1_000, failures: 3, successes: 1 };
const execDefaults = { ...defaults, intervalMs: 10_000, timeoutMs: 5_000 };
const startFailures = 60;
/** A command costs a process. */
const execIntervalMs = 1_000;
/** Until it has held once, a check is asked so often, so that whoever waits for it does not wait for its interval. */
const eagerIntervalMs = { exec: 1_000, other: 250 };

/** Why no agent may be asked to run them, in words; undefined where one may. */
export function checksProblem(checks: Checks | undefined, port: number | undefined): string | undefined {
  for (const name of checkNames) {
    const check = checks?.[name];
    if (check === undefined) continue;
    const kinds = [check.http, check.tcp, check.exec].filter((kind) => kind !== undefined).length;
    if (kinds !== 1) return `check ${name} names ${kinds} of http, tcp and exec, want one`;
    const asked = check.http ?? check.tcp;
    if (asked !== undefined && asked.port === undefined && port === undefined)
      return `check ${name} names no port and the workload has none, want a port in one of them`;
    if (check.exec?.some((word) => word.includes('\0')) === true)
      return `check ${name} holds a zero byte in its command`;
    if (check.exec !== undefined && (check.intervalMs ?? execDefaults.intervalMs) < execIntervalMs)
      return `check ${name} runs a command every ${check.intervalMs} ms, want ${execIntervalMs} ms at least`;
  }
  return undefined;
}

/** What an agent is told: the workload's own, else its image's, else a connection to its port. Undefined where there is nothing to check. */
export function filledChecks(wanted: {
  checks: Checks | undefined;
  port: number | undefined;
  healthcheck: ImageHealthcheck | undefined;
}): FilledChecks | undefined {
  const { port } = wanted;
  const checks = wanted.checks ?? defaultChecks(wanted);
  const filled: FilledChecks = {};
  for (const name of checkNames) {
    const check = checks[name];
    if (check !== undefined) filled[name] = fill(check, { name, port });
  }
  return Object.keys(filled).length === 0 ? undefined : filled;
}

function defaultChecks({
  healthcheck,
  port,
}: {
  healthcheck: ImageHealthcheck | undefined;
  port: number | undefined;
}): Checks {
  const own = healthcheck === undefined ? undefined : checkOfImage(healthcheck);
  if (own !== undefined) return own === 'none' ? {} : { ready: own };
  return port === undefined ? {} : { ready: { tcp: {} } };
}

function fill(check: Check, { name, port = 1 }: { name: CheckName; port: number | undefined }): FilledCheck {
  const { http, tcp, exec, ...given } = check;
  return {
    ...(http !== undefined && { http: { port, ...http } }),
    ...(tcp !== undefined && { tcp: { port, ...tcp } }),
    ...(exec !== undefined && { exec }),
    ...(exec === undefined ? defaults : execDefaults),
    ...(name === 'start' && { failures: startFailures, intervalMs: exec === undefined ? 500 : execIntervalMs }),
    ...given,
  };
}

/** Undefined where it is none that an agent could run: images are others' work, and one is no reason to refuse a deployment. */
function checkOfImage({ test, intervalMs, timeoutMs, retries }: ImageHealthcheck): Check | 'none' | undefined {
  const [kind, ...words] = test;
  if (kind === 'NONE') return 'none';
  const exec = kind === 'CMD' ? words : kind === 'CMD-SHELL' ? ['/bin/sh', '-c', words.join(' ')] : [];
  if (exec.length === 0 || exec.length > 64 || exec.some((word) => word.length > 4_096 || word.includes('\0')))
    return undefined;
  return {
    exec,
    ...within('intervalMs', { value: intervalMs, from: execIntervalMs, to: 3_600_000 }),
    ...within('timeoutMs', { value: timeoutMs, from: 50, to: 60_000 }),
    ...within('failures', { value: retries, from: 1, to: 1_000 }),
  };
}

/** Docker writes 0 for what is left out. */
function within(
  name: 'intervalMs' | 'timeoutMs' | 'failures',
  { value, from, to }: { value: number | undefined; from: number; to: number },
): Check {
  if (value === undefined || !(value > 0)) return {};
  return { [name]: Math.min(to, Math.max(from, Math.round(value))) };
}

/** From the end of one check to the next. */
export function intervalOf(check: FilledCheck, hasHeld: boolean): number {
  if (hasHeld) return check.intervalMs;
  return Math.min(check.intervalMs, check.exec === undefined ? eagerIntervalMs.other : eagerIntervalMs.exec);
}

/** As a person says it: `GET /healthz on port 80`. */
export function checkText({ http, tcp, exec }: Check): string {
  if (http !== undefined) return `GET ${http.path}${http.port === undefined ? '' : ` on port ${http.port}`}`;
  if (tcp !== undefined) return tcp.port === undefined ? 'a connection' : `a connection to port ${tcp.port}`;
  return (exec ?? []).join(' ').slice(0, 80);
}
