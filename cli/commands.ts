// Which file has which commands. A command line loads the one file that its first word names: most of what `muster` took to
// start was loading the others.
import type { Command } from './command.ts';

interface CommandFile {
  /** Of the part of the help that tells about its commands. */
  title: string;
  /** The first words of its commands. */
  words: readonly string[];
  readonly load: () => Promise<readonly Command[]>;
}

const rack = 'The rack';
const customers = 'Customers and what they run';
const stop = 'The emergency stop';
const operators = 'Operators';
const controller = 'The controller and this program';

/** In the order of the help. */
export const commandFiles: readonly CommandFile[] = [
  { title: rack, words: ['status'], load: async () => (await import('./commands/status.ts')).statusCommands },
  { title: rack, words: ['nodes', 'node'], load: async () => (await import('./commands/nodes.ts')).nodeCommands },
  { title: rack, words: ['events'], load: async () => (await import('./commands/events.ts')).eventCommands },
  {
    title: customers,
    words: ['customers', 'customer'],
    load: async () => (await import('./commands/customers.ts')).customerCommands,
  },
  {
    title: customers,
    words: ['images', 'image'],
    load: async () => (await import('./commands/images.ts')).imageCommands,
  },
  {
    title: customers,
    words: ['deploy', 'set', 'scale'],
    load: async () => (await import('./workloads/deploy.ts')).deployCommands,
  },
  {
    title: customers,
    words: ['history', 'rollback', 'restart', 'stop', 'start'],
    load: async () => (await import('./workloads/change.ts')).changeCommands,
  },
  {
    title: customers,
    words: ['diff', 'export', 'schema'],
    load: async () => (await import('./workloads/files.ts')).fileCommands,
  },
  {
    title: customers,
    words: ['ps', 'rm', 'remove'],
    load: async () => (await import('./workloads/workloads.ts')).workloadCommands,
  },
  { title: customers, words: ['logs'], load: async () => (await import('./workloads/logs.ts')).logCommands },
  {
    title: stop,
    words: ['kill', 'kills', 'lift'],
    load: async () => (await import('./commands/kill.ts')).killCommands,
  },
  { title: stop, words: ['drill', 'drills'], load: async () => (await import('./commands/drill.ts')).drillCommands },
  { title: stop, words: ['audit'], load: async () => (await import('./commands/audit.ts')).auditCommands },
  {
    title: operators,
    words: ['approvals', 'approve', 'withdraw', 'operators', 'operator'],
    load: async () => (await import('./commands/operators.ts')).operatorCommands,
  },
  { title: controller, words: ['backup'], load: async () => (await import('./commands/backup.ts')).backupCommands },
  {
    title: controller,
    words: ['doctor', 'restore', 'support'],
    load: async () => (await import('./commands/upkeep.ts')).upkeepCommands,
  },
  {
    title: controller,
    words: ['completion', 'man', 'version'],
    load: async () => (await import('./commands/program.ts')).programCommands,
  },
];

/** The parts of the help. */
export async function commandParts(): Promise<{ title: string; commands: readonly Command[] }[]> {
  const parts = Map.groupBy(commandFiles, ({ title }) => title);
  return Promise.all(
    Array.from(parts, async ([title, files]) => ({
      title,
      commands: (await Promise.all(files.map(({ load }) => load()))).flat(),
    })),
  );
}

export async function allCommands(): Promise<readonly Command[]> {
  return (await Promise.all(commandFiles.map(({ load }) => load()))).flat();
}

/** The commands that begin with the word. */
export async function commandsOf(word: string): Promise<readonly Command[]> {
  return (await commandFiles.find(({ words }) => words.includes(word))?.load()) ?? [];
}
