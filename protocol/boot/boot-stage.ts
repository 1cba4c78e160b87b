const own = ['dhcp-discover', 'dhcp-ack', 'tftp', 'script', 'kernel', 'initrd', 'root', 'fenced'] as const;

const reported = [
  'initramfs',
  'root-verified',
  'system',
  'failed',
  'refused-kernel',
  'refused-initrd',
  'refused-root',
  'refused-start',
] as const;

/** What we see ourselves, and what a script, the initramfs or PID 1 may report by `/stage`. */
export const bootStages = [...own, ...reported] as const;

/**
 * How far a board has come before it has an agent, in wire order. `refused-*`: the board turned a file down because its
 * hash was wrong, or the kernel did not start; `fenced`: we gave it no kernel.
 */
export type BootStage = (typeof bootStages)[number];

export function isReportedStage(text: string): text is (typeof reported)[number] {
  return (reported as readonly string[]).includes(text);
}
