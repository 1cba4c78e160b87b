// What crun is told about one container: a pure function from what the controller wants to the OCI runtime configuration.
// Its golden file is `oci-config.golden.txt`.
import type { DesiredInstance } from '../../../protocol/api/agent.ts';
import type { ContainerConfiguration } from '../../../protocol/api/instances.ts';
import { containerCapabilities } from '../../../protocol/container/capabilities.ts';
import type { ContainerUser } from '../../../protocol/container/container-user.ts';

export const idRange = 65_536;

/** Of its /etc. An image comes without them: an engine is expected to provide them. */
export const nameFiles = ['hosts', 'hostname', 'resolv.conf'] as const;
export type NameFile = (typeof nameFiles)[number];

export type ConfiguredInstance = DesiredInstance & ContainerConfiguration;

export interface ContainerPlace {
  uidBase: number;
  user: ContainerUser;
  nodeName: string;
  /** The overlay that crun pivots into. */
  rootDirectory: string;
  /** A folder with a file for each of `nameFiles`. */
  names: string;
  /** `ip netns` name's path. */
  networkNamespace: string;
  cgroupRoot: string;
  /** Where the hook tells the container's first process (`first-process.ts`). */
  firstProcessFile: string;
  /** The `linux.seccomp` object, or null where the node has no profile (tests of hosts only). */
  seccomp: unknown;
  /** Controllers that exist: limits of the others are left out. */
  controllers: { cpu: boolean; memory: boolean; pids: boolean };
  /** The agent's own hard limits: crun may not give more than it has. */
  hardLimits: { openFiles: number; processes: number };
}

/**
 * crun has put the first process into its group by now and holds it back until this ends: `sh -c … CUSTOMER_GROUP INSTANCE FILE`.
 * crun gave the group to the container's root: this takes it back, and lets nobody make groups or user namespaces below.
 * It tells who the first process is. Then, either a stop forbade the customer's group before, and this refuses; or it comes
 * after, and finds the process in the file and in the group.
 */
const beforeItRuns = `
read -r state # what crun writes to it: crun dies of SIGPIPE where nobody reads
cd "$0/$1" || exit
read -r pid <cgroup.procs && read -r stat <"/proc/$pid/stat" || exit
chown 0:0 . * && echo 0 >cgroup.max.descendants || exit
nsenter -U -S 0 -G 0 -t "$pid" sh -c "echo 0 >/proc/sys/user/max_user_namespaces" || exit
file=$2
set -- \${stat##*) }
echo "$pid \${20}" >"$file" || exit
read -r allowed <../cgroup.max.descendants && [ "$allowed" != 0 ]
`.trim();

/**
 * A process that dies closes its files one by one: 90 processes with 65,000 took a board 2.3 s. And all the processes that a
 * board gives its customers, times this, are fewer than the files that its kernel has (`images/node/init.sh`).
 */
const openFilesOfAProcess = 1_024;

const cpuPeriodMicroseconds = 100_000;

const mounts = [
  { destination: '/proc', type: 'proc', source: 'proc', options: ['nosuid', 'noexec', 'nodev'] },
  {
    destination: '/dev',
    type: 'tmpfs',
    source: 'tmpfs',
    options: ['nosuid', 'noexec', 'mode=755', 'size=64k', 'nr_inodes=256'],
  },
  {
    destination: '/dev/pts',
    type: 'devpts',
    source: 'devpts',
    options: ['nosuid', 'noexec', 'newinstance', 'ptmxmode=0666', 'mode=0620'],
  },
  {
    destination: '/dev/shm',
    type: 'tmpfs',
    source: 'shm',
    options: ['nosuid', 'noexec', 'nodev', 'mode=1777', 'size=16m', 'nr_inodes=1024'],
  },
  // No sysfs: the network namespace is the node's to configure, and the board's hardware is nobody's business; but thread pools
  // count the processors here.
  {
    destination: '/sys/devices/system/cpu',
    type: 'bind',
    source: '/sys/devices/system/cpu',
    options: ['bind', 'private', 'nosuid', 'noexec', 'nodev', 'ro'],
  },
  // Language runtimes read their limits here.
  {
    destination: '/sys/fs/cgroup',
    type: 'cgroup',
    source: 'cgroup',
    options: ['nosuid', 'noexec', 'nodev', 'relatime', 'ro'],
  },
];

const maskedPaths = [
  // The node's command line names its controller and holds a token.
  ...'/proc/cmdline /proc/bootconfig /proc/config.gz /proc/device-tree'.split(' '),
  ...'/proc/acpi /proc/asound /proc/bus /proc/driver /proc/fs /proc/irq /proc/scsi'.split(' '),
  // Where the kernel is in memory, what it holds, and what others do.
  ...'/proc/iomem /proc/ioports /proc/kallsyms /proc/kcore /proc/key-users /proc/keys'.split(' '),
  ...'/proc/kpagecgroup /proc/kpagecount /proc/kpageflags /proc/modules /proc/slabinfo'.split(' '),
  ...'/proc/interrupts /proc/latency_stats /proc/pagetypeinfo /proc/sched_debug /proc/schedstat'.split(' '),
  ...'/proc/softirqs /proc/timer_list /proc/timer_stats /proc/vmallocinfo /proc/zoneinfo'.split(' '),
  ...'/proc/locks /proc/swaps /proc/partitions /proc/diskstats /proc/mtd /proc/pressure'.split(' '),
  '/sys/firmware',
];

export function ociConfig(instance: ConfiguredInstance, place: ContainerPlace): Record<string, unknown> {
  const group = `/customers/${instance.customer}`;
  const mappings = [{ containerID: 0, hostID: place.uidBase, size: idRange }];
  return {
    ociVersion: '1.0.2',
    process: processOf(instance, place),
    root: { path: place.rootDirectory, readonly: false },
    hostname: instance.id,
    mounts: [...mounts, ...nameFiles.map((name) => nameMount(place.names, name))],
    hooks: {
      createRuntime: [
        {
          path: '/bin/sh',
          args: ['sh', '-c', beforeItRuns, `${place.cgroupRoot}${group}`, instance.id, place.firstProcessFile],
          timeout: 10,
        },
      ],
    },
    linux: {
      cgroupsPath: `${group}/${instance.id}`,
      resources: {
        ...(place.controllers.memory && { memory: { limit: instance.memoryBytes } }),
        ...(place.controllers.cpu && {
          cpu: {
            quota: Math.max(1_000, Math.round(instance.cpu * cpuPeriodMicroseconds)),
            period: cpuPeriodMicroseconds,
          },
        }),
        ...(place.controllers.pids && { pids: { limit: instance.processes } }),
      },
      // System V's, of the container's own IPC namespace: the kernel takes each down by itself. Semaphores: of a set, in all,
      // operations of a call, sets.
      sysctl: { 'kernel.shmmni': '256', 'kernel.msgmni': '256', 'kernel.sem': '250 32000 100 256' },
      uidMappings: mappings,
      gidMappings: mappings,
      namespaces: [
        { type: 'pid' },
        { type: 'ipc' },
        { type: 'uts' },
        { type: 'mount' },
        { type: 'cgroup' },
        { type: 'user' },
        { type: 'network', path: place.networkNamespace },
      ],
      ...(place.seccomp !== null && { seccomp: place.seccomp }),
      maskedPaths,
      readonlyPaths: ['/proc/sys', '/proc/sysrq-trigger'],
    },
  };
}

/** By a mount whatever the image's /etc is: not there, or a link within the image. */
function nameMount(names: string, name: NameFile) {
  return {
    destination: `/etc/${name}`,
    type: 'bind',
    source: `${names}/${name}`,
    options: ['bind', 'private', 'nosuid', 'noexec', 'nodev', 'rw'],
  };
}

function processOf(instance: ConfiguredInstance, place: ContainerPlace): Record<string, unknown> {
  const openFiles = Math.min(openFilesOfAProcess, place.hardLimits.openFiles);
  const processes = Math.min(instance.processes, place.hardLimits.processes);
  const { uid, gid, groups } = place.user;
  const names = (variable: string) => instance.env.some((each) => each.startsWith(`${variable}=`));
  const allowed = instance.capabilities ?? containerCapabilities;
  const held = uid === 0 ? allowed.map((name) => `CAP_${name}`) : [];
  return {
    terminal: false,
    // Its own group among them, so that a process that changes its own does not lose what that one was denied (CVE-2022-36109).
    user: { uid, gid, additionalGids: [gid, ...groups] },
    args: instance.args,
    env: [
      ...(names('PATH') ? [] : ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin']),
      ...(names('HOSTNAME') ? [] : [`HOSTNAME=${instance.id}`]),
      ...instance.env,
      `MUSTER_INSTANCE=${instance.id}`,
      `MUSTER_CUSTOMER=${instance.customer}`,
      `MUSTER_WORKLOAD=${instance.workload}`,
      `MUSTER_NODE=${place.nodeName}`,
    ],
    cwd: instance.workingDir || '/',
    // Of the user namespace. Another user than root gets none, and no-new-privileges keeps it so.
    capabilities: { bounding: held, effective: held, inheritable: [], permitted: held, ambient: [] },
    rlimits: [
      { type: 'RLIMIT_CORE', soft: 0, hard: 0 },
      { type: 'RLIMIT_NOFILE', soft: openFiles, hard: openFiles },
      // Counted per user of the user namespace: a second line behind pids.max, and the only one where the host lacks it.
      { type: 'RLIMIT_NPROC', soft: processes, hard: processes },
      // Signals that wait, and timers: of all processes of the user together. Message queues: bytes, as the kernel's default.
      { type: 'RLIMIT_SIGPENDING', soft: 1_024, hard: 1_024 },
      { type: 'RLIMIT_MSGQUEUE', soft: 819_200, hard: 819_200 },
      { type: 'RLIMIT_MEMLOCK', soft: 65_536, hard: 65_536 },
    ],
    noNewPrivileges: true,
    // A customer dies before the agent (0) and long before the leash (-1000).
    oomScoreAdj: 500,
  };
}

/** From the text of `/proc/self/limits`. */
export function hardLimits(limits: string): ContainerPlace['hardLimits'] {
  const hard = (name: string) => {
    const value = new RegExp(`^${name} +\\S+ +(\\S+)`, 'm').exec(limits)?.[1];
    return value === undefined || value === 'unlimited' ? Infinity : Number(value);
  };
  return { openFiles: hard('Max open files'), processes: hard('Max processes') };
}
