/**
 * What the default of Debian's container tools allows and no customer needs here: its containers may become root of a user
 * namespace and mount in it, so that what is dangerous needs no capability of ours.
 */

/** Answered with EPERM, as a process without capabilities is used to. */
export const deniedCalls: readonly string[] = [
  // With a control group file system of its own a container can make the whole kernel's lock of control groups wait.
  ...'unshare setns mount umount umount2 pivot_root'.split(' '),
  ...'fsopen fsconfig fsmount fspick open_tree open_tree_attr move_mount mount_setattr'.split(' '),
  // What a tracer holds at its exit does not die of SIGKILL until the tracer lets go.
  'ptrace',
  // Kept by the kernel, and counted for nobody or for a user, not for a control group.
  ...'add_key request_key keyctl'.split(' '),
  // Large, young parts of the kernel.
  ...'bpf perf_event_open userfaultfd io_uring_setup io_uring_enter io_uring_register'.split(' '),
  ...'fanotify_init fanotify_mark memfd_secret process_vm_writev vmsplice'.split(' '),
  // The kernel's log begins with its command line, in which a boot's token is.
  'syslog',
  'reboot',
];

/** CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID and NEWNET. */
export const namespaceFlags = 0x7e020000;

/** Address families that a server has a use for. The others make the kernel load modules, or see the machine below. */
export const socketFamilies = { unix: 1, inet: 2, inet6: 10 } as const;
/** Only of the protocol NETLINK_ROUTE: a C library lists the interfaces by it. */
export const netlink = 16;
export const netlinkRoute = 0;

/** Of Linux, by its names. */
export const errno = { EPERM: 1, ENOSYS: 38, EPROTONOSUPPORT: 93, EAFNOSUPPORT: 97 } as const;
