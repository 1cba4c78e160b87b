/**
 * What the root of a container may do, inside its customer's user namespace and nowhere else: docker's default set without
 * NET_RAW and MKNOD (docs/decisions/0014). Names without the kernel's `CAP_`.
 */
export const containerCapabilities = [
  'CHOWN',
  'DAC_OVERRIDE',
  'FOWNER',
  'FSETID',
  'SETUID',
  'SETGID',
  'SETPCAP',
  'SETFCAP',
  'NET_BIND_SERVICE',
  'KILL',
  'SYS_CHROOT',
  'AUDIT_WRITE',
] as const;
