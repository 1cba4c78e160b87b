// What the boot server asks of its host, and what it tells it.
import type { LeaseStore } from '../inventory/nodes/leases.ts';
import type { BootStage } from '../protocol/boot/boot-stage.ts';
import type { Ipv4 } from '../protocol/ipv4.ts';
import type { Mac } from '../protocol/mac.ts';

/** What the controller provides: the process's own end of it is in `process/main.ts`. */
export interface BootHost {
  leases: LeaseStore;
  /**
   * A one-time join token for this start of the board, which asks from `ip`: when a script or a pxelinux configuration is
   * written. `refused` is a reason such as `fenced`, which the board shows on its console; `held` where an earlier start
   * of the board may still be alive, and a second from now may be better.
   */
  joinToken(mac: Mac, ip: Ipv4): Promise<TokenAnswer>;
  /** Who has the place of this MAC as far as `joinToken` would be `held` now: no other machine is answered in its name. */
  placeHolder(mac: Mac): string | undefined;
  /**
   * Why this board gets no system, as `joinToken` would say it; undefined where it may have one. Asked for each file of the
   * system: a board may hold a script from before it was fenced.
   */
  refusal(mac: Mac): string | undefined;
  /** Every sign of life of a board. Must not throw. */
  stage(event: BootEvent): void;
  /** Whether this MAC has joined before. */
  isBoard(mac: Mac): boolean;
  /** What an operator should know, in one sentence; seldom. */
  trouble(message: string): void;
  /** One line for whoever watches the boot server closely; made only where it is kept. */
  log(line: () => string): void;
}

export type TokenAnswer = { token: string } | { refused: string; held?: true };

export interface BootEvent {
  mac: Mac;
  ip?: Ipv4;
  stage: BootStage;
  detail?: string;
  firmware?: 'uboot' | 'uefi' | 'uefi-http' | 'ipxe' | 'linux';
}
