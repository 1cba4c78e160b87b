import { auditCommands } from './commands/audit.ts';
import { backupCommands } from './commands/backup.ts';
import type { Command } from './command.ts';
import { customerCommands } from './commands/customers.ts';
import { drillCommands } from './commands/drill.ts';
import { eventCommands } from './commands/events.ts';
import { imageCommands } from './commands/images.ts';
import { killCommands } from './commands/kill.ts';
import { nodeCommands } from './commands/nodes.ts';
import { operatorCommands } from './commands/operators.ts';
import { statusCommands } from './commands/status.ts';
import { workloadCommands } from './commands/workloads.ts';

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
