import { auditCommands } from './audit.ts';
import { backupCommands } from './backup.ts';
import type { Command } from './command.ts';
import { customerCommands } from './customers.ts';
import { drillCommands } from './drill.ts';
import { eventCommands } from './events.ts';
import { imageCommands } from './images.ts';
import { killCommands } from './kill.ts';
import { nodeCommands } from './nodes.ts';
import { operatorCommands } from './operators.ts';
import { statusCommands } from './status.ts';
import { workloadCommands } from './workloads.ts';

/** In the order of the help. */
export const commands: readonly Command[] = [
  ...statusCommands,
  ...nodeCommands,
  ...customerCommands,
  ...imageCommands,
  ...workloadCommands,
  ...killCommands,
  ...drillCommands,
  ...auditCommands,
  ...operatorCommands,
  ...eventCommands,
  ...backupCommands,
];
