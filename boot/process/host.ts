// What the controller gives the boot process, at its start and while it serves.
import type { Ipv4 } from '../../protocol/ipv4.ts';
import type { Mac } from '../../protocol/mac.ts';
import type { LeaseStore } from '../../inventory/nodes/leases.ts';
import type { BootEvent, TokenAnswer } from '../host.ts';
import type { NodeFacts } from './message.ts';

/** What the controller provides. */
export interface BootProcessHost {
  leases: LeaseStore;
  joinToken(mac: Mac, ip: Ipv4): Promise<TokenAnswer>;
  /** Of every node. */
  macs(): Iterable<Mac>;
  /** A node as it is now; undefined where there is none. */
  facts(mac: Mac): NodeFacts | undefined;
  /** Told of each node that has changed, which need not wait for the next look at all of them. Returns what ends it. */
  subscribe(changed: (mac: Mac) => void): () => void;
  /** A sign of life of a board. Resolves when it is stored, or cannot be. */
  stage(event: BootEvent): Promise<void>;
  /** What an operator should know, in one sentence; seldom. */
  trouble(message: string): void;
  log(line: string): void;
}

export interface BootProcessOptions {
  cacheDirectory: string;
  /** Of the rack's interface: they stay open here, and what boards say meanwhile waits in them. */
  sockets: { dhcpFd: number; tftpFd: number };
}
