// Checks of a workload on the command line: `--check ready=http:/healthz`, `--check live=tcp`, `--check start=exec:pg_isready`.
import type { WorkloadPatch } from '../../protocol/api/workloads.ts';
import { checkNames, type CheckName } from '../../protocol/workload/checks.ts';
import type { Check } from '../../protocol/workload/check-schemas.ts';
import { UsageError, type Call } from '../command.ts';

const names = checkNames.join(', ');

/** From --check and --no-check; undefined where neither is given. Throws a UsageError. */
export function checksOption(call: Call): NonNullable<WorkloadPatch['checks']> | undefined {
  const checks: NonNullable<WorkloadPatch['checks']> = {};
  for (const text of call.list('check')) {
    const [, name = '', what = ''] = /^([^=]*)=(.*)$/s.exec(text) ?? [];
    const check = parseCheck(what);
    if (!isCheckName(name) || check === undefined)
      throw new UsageError(
        `--check is ${JSON.stringify(text)}, want one of ${names}, then = and http:/PATH, http:PORT/PATH, tcp, tcp:PORT or exec:LINE`,
      );
    checks[name] = check;
  }
  for (const name of call.list('no-check')) {
    if (!isCheckName(name)) throw new UsageError(`--no-check is ${JSON.stringify(name)}, want one of ${names}`);
    if (checks[name] != null) throw new UsageError(`want one of --check ${name}=… and --no-check ${name}`);
    checks[name] = null;
  }
  return Object.keys(checks).length === 0 ? undefined : checks;
}

export function parseCheck(text: string): Check | undefined {
  const [, httpPort, path] = /^http:([0-9]{1,5})?(\/[!-~]*)$/.exec(text) ?? [];
  if (path !== undefined) return { http: { path, ...(httpPort !== undefined && { port: Number(httpPort) }) } };
  const [tcp, tcpPort] = /^tcp(?::([0-9]{1,5}))?$/.exec(text) ?? [];
  if (tcp !== undefined) return { tcp: tcpPort === undefined ? {} : { port: Number(tcpPort) } };
  const [, line] = /^exec:(.+)$/s.exec(text) ?? [];
  return line === undefined ? undefined : { exec: ['/bin/sh', '-c', line] };
}

function isCheckName(name: string): name is CheckName {
  return checkNames.some((each) => each === name);
}
