// Which file has which commands. A command line loads the one file that its first word names: most of what `muster` took to
// start was loading the others.
import type { Command } from './command.ts';

interface CommandFile {
  /** The first words of its commands. */
  words: readonly string[];
  readonly load: () => Promise<readonly Command[]>;
}

/** In the order of the help. */
export const commandFiles: readonly CommandFile[] = [
  { words: ['status'], load: async () => (await import('./commands/status.ts')).statusCommands },
  { words: ['nodes', 'node'], load: async () => (await import('./commands/nodes.ts')).nodeCommands },
  { words: ['customers', 'customer'], load: async () => (await import('./commands/customers.ts')).customerCommands },
  { words: ['images', 'image'], load: async () => (await import('./commands/images.ts')).imageCommands },
  {
    words: ['deploy', 'ps', 'logs', 'rm', 'remove'],
    load: async () => (await import('./commands/workloads.ts')).workloadCommands,
  },
  { words: ['kill', 'kills', 'lift'], load: async () => (await import('./commands/kill.ts')).killCommands },
  { words: ['drill', 'drills'], load: async () => (await import('./commands/drill.ts')).drillCommands },
  { words: ['audit'], load: async () => (await import('./commands/audit.ts')).auditCommands },
  {
    words: ['approvals', 'approve', 'withdraw', 'operators', 'operator'],
    load: async () => (await import('./commands/operators.ts')).operatorCommands,
  },
  { words: ['events'], load: async () => (await import('./commands/events.ts')).eventCommands },
  { words: ['backup'], load: async () => (await import('./commands/backup.ts')).backupCommands },
  {
    words: ['doctor', 'restore', 'support'],
    load: async () => (await import('./commands/upkeep.ts')).upkeepCommands,
  },
  {
    words: ['completion', 'man', 'version'],
    load: async () => (await import('./commands/program.ts')).programCommands,
  },
];

export async function allCommands(): Promise<readonly Command[]> {
  return (await Promise.all(commandFiles.map(({ load }) => load()))).flat();
}

/** Those that begin with the word; none where it begins none. */
export async function commandsOf(word: string): Promise<readonly Command[]> {
  return (await commandFiles.find(({ words }) => words.includes(word))?.load()) ?? [];
}
