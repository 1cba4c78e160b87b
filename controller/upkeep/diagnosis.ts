// What the state of a machine means for a controller on it: each check is a sentence, and where it is not well, what to do.
// Pure; `machine.ts` looks.
import { leastOpenFiles } from '../descriptors.ts';

export interface Finding {
  check: string;
  verdict: 'ok' | 'warning' | 'problem';
  text: string;
  /** What to do. */
  advice?: string;
}

export interface PortHolder {
  protocol: 'udp' | 'tcp';
  port: number;
  /** The program, as `ss` names it; empty where it says none. */
  program: string;
  pid: number | undefined;
}

export interface InterfaceState {
  name: string;
  carrier: boolean;
  /** Undefined where the driver does not say, as for virtual ones. */
  speedMbps: number | undefined;
}

/** Everything that was looked at. What could not be found out is undefined, or a sentence that says why. */
export interface Machine {
  versions: { muster: string; node: string; kernel: string; system: string };
  /** What is wrong with the configuration; undefined where nothing is. */
  configuration: string | undefined;
  interface: InterfaceState | undefined;
  /** Of the ports that the controller needs. */
  holders: readonly PortHolder[];
  /** The others that answer DHCP on the segment; a sentence where nobody could be asked. */
  otherServers: readonly { address: string; kind: 'muster' | 'dhcp' }[] | string;
  /** Addresses that may be leased. */
  addresses: number | undefined;
  neighbourLimit: number | undefined;
  openFiles: number;
  directories: readonly { name: string; path: string; freeBytes: number; totalBytes: number }[];
  /** Why the files that boards load cannot be served. */
  bootFiles: string | undefined;
  clock: { now: number; newestFile: number | undefined; synchronized: boolean | undefined };
  /** Names of capabilities that this process lacks. */
  lacking: readonly string[];
  missingPrograms: readonly string[];
  /** Whether others could read the state directory. */
  isStateOpen: boolean;
}

const neededMbps = 1_000;
const wantedOpenFiles = 8_192;
const leastStateBytes = 64 << 20;
const wantedStateBytes = 1e9;
/** Older than this program. */
const earliestClock = Date.UTC(2026, 0, 1);
/** A file may have been written this far in the future by a clock that was put right since. */
const clockSlackMs = 60_000;
const leastNodeMajor = 24;

export function diagnose(machine: Machine): Finding[] {
  return [
    versions(machine),
    configuration(machine),
    ...networkInterface(machine),
    ...ports(machine),
    otherServers(machine),
    ...neighbourTable(machine),
    openFiles(machine),
    ...disk(machine),
    bootFiles(machine),
    clock(machine),
    rights(machine),
    programs(machine),
    ...privacy(machine),
  ];
}

function ok(check: string, text: string): Finding {
  return { check, verdict: 'ok', text };
}

function versions({ versions: { muster, node, kernel, system } }: Machine): Finding {
  const text = `Muster ${muster}, Node ${node}, Linux ${kernel}, ${system}`;
  const [major = 0, minor = 0] = kernel.split('.').map(Number);
  if (Number(/^v?(\d+)/.exec(node)?.[1]) < leastNodeMajor)
    return { check: 'versions', verdict: 'problem', text, advice: `use Node ${leastNodeMajor} or later` };
  if (major < 5 || (major === 5 && minor < 10))
    return { check: 'versions', verdict: 'warning', text, advice: 'use Linux 5.10 or later: nothing older was tried' };
  return ok('versions', text);
}

function configuration({ configuration: problem }: Machine): Finding {
  if (problem === undefined) return ok('configuration', 'it can be used');
  return { check: 'configuration', verdict: 'problem', text: problem, advice: 'correct it (muster up --help)' };
}

function networkInterface({ interface: found }: Machine): Finding[] {
  if (found === undefined) return [];
  const check = 'interface';
  if (!found.carrier)
    return [
      {
        check,
        verdict: 'problem',
        text: `${found.name} has no carrier`,
        advice: 'plug in the cable, switch on the switch',
      },
    ];
  if (found.speedMbps === undefined) return [ok(check, `${found.name} is up; its driver tells no speed`)];
  const text = `${found.name} is up at ${found.speedMbps} Mbit/s`;
  if (found.speedMbps >= neededMbps) return [ok(check, text)];
  return [
    {
      check,
      verdict: 'warning',
      text,
      advice: `want ${neededMbps} Mbit/s: each board loads some 90 MB at its boot; look at the cable and the switch port`,
    },
  ];
}

function ports({ holders }: Machine): Finding[] {
  const foreign = holders.filter(({ program }) => !isMuster(program));
  if (foreign.length > 0)
    return foreign.map(({ protocol, port, program, pid }) => ({
      check: 'ports',
      verdict: 'problem',
      text: `port ${port}/${protocol} is in use by ${program === '' ? 'another program' : program}${pid === undefined ? '' : ` (process ${pid})`}`,
      advice: 'stop it, or have it listen on another interface or port',
    }));
  return [ok('ports', holders.length === 0 ? 'all are free' : 'a controller of Muster has them')];
}

/** The kernel keeps fifteen characters of a title. */
export function isMuster(program: string): boolean {
  return program.startsWith('muster-controll') || program === 'muster-boot';
}

function otherServers({ otherServers: others }: Machine): Finding {
  const check = 'DHCP servers';
  if (typeof others === 'string') return { check, verdict: 'warning', text: others, advice: 'look with muster status' };
  if (others.length === 0) return ok(check, 'nobody else answers on the segment');
  return {
    check,
    verdict: 'problem',
    text: others
      .map(
        ({ address, kind }) => `${kind === 'muster' ? 'another controller of Muster' : 'another server'} at ${address}`,
      )
      .join(', '),
    advice: 'switch it off on this segment: which one a board hears first is chance',
  };
}

function neighbourTable({ neighbourLimit, addresses }: Machine): Finding[] {
  if (neighbourLimit === undefined || addresses === undefined) return [];
  const check = 'neighbour table';
  const text = `the kernel keeps ${neighbourLimit} neighbours, ${addresses} addresses can be leased`;
  if (addresses < neighbourLimit * 0.9) return [ok(check, text)];
  return [
    {
      check,
      verdict: 'warning',
      text,
      advice: 'with more than some 500 boards: sysctl -w net.ipv4.neigh.default.gc_thresh3=8192',
    },
  ];
}

function openFiles({ openFiles: limit }: Machine): Finding {
  const check = 'open files';
  const text = limit === Infinity ? 'no limit' : `${limit} at most`;
  const advice = `raise it: LimitNOFILE=${wantedOpenFiles}, or ulimit -n ${wantedOpenFiles}`;
  if (limit < leastOpenFiles) return { check, verdict: 'problem', text, advice };
  if (limit < wantedOpenFiles) return { check, verdict: 'warning', text, advice };
  return ok(check, text);
}

function disk({ directories }: Machine): Finding[] {
  return directories.map(({ name, path, freeBytes, totalBytes }) => {
    const check = `disk of the ${name}`;
    const text = `${gigabytes(freeBytes)} of ${gigabytes(totalBytes)} GB free at ${path}`;
    if (name !== 'state') return ok(check, text);
    const advice = 'make room: orders go on, deployments do not (docs/OPERATIONS.md, "A full disk")';
    if (freeBytes < leastStateBytes) return { check, verdict: 'problem', text, advice };
    if (freeBytes < wantedStateBytes) return { check, verdict: 'warning', text, advice };
    return ok(check, text);
  });
}

function bootFiles({ bootFiles: problem }: Machine): Finding {
  if (problem === undefined) return ok('boot files', 'they are whole');
  return {
    check: 'boot files',
    verdict: 'problem',
    text: problem,
    advice: 'build them with npm start in the checkout, or install the package again',
  };
}

function clock({ clock: { now, newestFile, synchronized } }: Machine): Finding {
  const text = `it is ${new Date(now).toISOString()}`;
  const advice = 'set it, and have it kept: systemd-timesyncd or chrony';
  if (now < earliestClock || (newestFile !== undefined && newestFile > now + clockSlackMs))
    return {
      check: 'clock',
      verdict: 'problem',
      text:
        newestFile === undefined
          ? text
          : `${text}, and the state directory was written at ${new Date(newestFile).toISOString()}`,
      advice,
    };
  if (synchronized === false)
    return { check: 'clock', verdict: 'warning', text: `${text}, by nobody's clock but its own`, advice };
  return ok('clock', text);
}

function rights({ lacking }: Machine): Finding {
  if (lacking.length === 0) return ok('rights', 'it may open its ports, and bind them to one interface');
  return {
    check: 'rights',
    verdict: 'problem',
    text: `this process lacks ${lacking.join(', ')}`,
    advice: 'run it as root, or by the unit of the package',
  };
}

function programs({ missingPrograms }: Machine): Finding {
  if (missingPrograms.length === 0) return ok('programs', 'perl, ip, ss and mksquashfs are here');
  return {
    check: 'programs',
    verdict: 'problem',
    text: `missing: ${missingPrograms.join(', ')}`,
    advice: 'apt-get install perl-base iproute2 squashfs-tools',
  };
}

function privacy({ isStateOpen }: Machine): Finding[] {
  if (!isStateOpen) return [];
  return [
    {
      check: 'state',
      verdict: 'warning',
      text: 'other users of this machine can read the state directory',
      advice: 'the controller closes it at its next start: see docs/OPERATIONS.md, "Damage"',
    },
  ];
}

function gigabytes(bytes: number): string {
  return (bytes / 1e9).toFixed(1);
}

/** A line each, the worst last in the eye: what to do stands below. */
export function diagnosisText(findings: readonly Finding[]): string {
  const width = Math.max(...findings.map(({ check }) => check.length));
  return findings
    .map(({ check, verdict, text, advice }) => {
      const line = `${verdict.padEnd(7)}  ${check.padEnd(width)}  ${text}`;
      return advice === undefined || verdict === 'ok' ? `${line}\n` : `${line}\n${' '.repeat(11 + width)}→ ${advice}\n`;
    })
    .join('');
}
