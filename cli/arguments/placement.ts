// Where instances of a workload may run, on the command line: `--place zone=a --place disk=ssd --spread rack`.
import type { WorkloadPatch } from '../../protocol/api/workloads.ts';
import { UsageError, type Call } from '../command.ts';

const labelName = /^[a-z][a-z0-9-]{0,30}$/;

/** The whole of it; null with --no-placement, undefined where nothing is said. Throws a UsageError. */
export function placementOption(call: Call): WorkloadPatch['placement'] {
  const labels = call.list('place').map(labelOf);
  const spread = call.text('spread');
  if (spread !== undefined && !labelName.test(spread))
    throw new UsageError(`--spread is ${JSON.stringify(spread)}, want the name of a label, like rack`);
  const isGiven = labels.length > 0 || spread !== undefined;
  if (call.removes('placement')) {
    if (isGiven) throw new UsageError('want one of --no-placement, and --place and --spread');
    return null;
  }
  if (!isGiven) return undefined;
  return {
    ...(labels.length > 0 && { labels: Object.fromEntries(labels) }),
    ...(spread !== undefined && { spread }),
  };
}

/** `zone=a`, as a label is written everywhere. Throws a UsageError. */
function labelOf(text: string): [string, string] {
  const [, name = '', value] = /^([^=]*)=(.{1,200})$/.exec(text) ?? [];
  if (value === undefined || !labelName.test(name))
    throw new UsageError(`--place is ${JSON.stringify(text)}, want LABEL=VALUE, like zone=a`);
  return [name, value];
}
