// A copy of everything that must survive, made by the controller while it runs.
import type { Static } from 'typebox';
import type { Backup } from '../../protocol/api/status.ts';
import { printable } from '../../protocol/printable.ts';
import type { Command } from '../command.ts';
import { printDone } from '../print/print.ts';

const backupTimeoutMs = 5 * 60_000;

export const backupCommands: Command[] = [
  {
    words: ['backup'],
    usage: '',
    summary: "make a copy of the controller's databases and keys, while it runs",
    details: `The copy is in the directory "backup" of the state directory, in the place of the former one: copy it to another
machine, and "images" with it. It holds every key; only root may ask for it.`,
    run: async (context) => {
      const made = await context.api.ask<Static<typeof Backup>>({
        method: 'POST',
        path: '/v1/backup',
        timeoutMs: backupTimeoutMs,
      });
      printDone(context, {
        json: made,
        text: `the copy is in ${printable(made.directory)}: keep it on another machine, and images/ with it`,
      });
    },
  },
];
