/**
 * How far a board has come before it has an agent, in wire order. `refused-*`: the board turned a file down because its
 * hash was wrong, or the kernel did not start; `fenced`: we gave it no kernel.
 */
export type BootStage = OwnStage | ReportedStage;

/** What we see ourselves. */
type OwnStage = 'dhcp-discover' | 'dhcp-ack' | 'tftp' | 'script' | 'kernel' | 'initrd' | 'root' | 'fenced';

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

/** What a script, the initramfs or PID 1 may report by `/stage`. */
type ReportedStage = (typeof reported)[number];

export function isReportedStage(text: string): text is ReportedStage {
  return (reported as readonly string[]).includes(text);
}
