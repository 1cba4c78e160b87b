// A backup of a running controller: copies of its databases and keys, beside them in the state directory. Only root may ask:
// they hold the keys of sessions and root's own token.
import { copyFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Inventory } from '../../inventory/inventory.ts';
import { rootOperator } from '../../inventory/operators/roles.ts';
import { statusRoutes } from '../../protocol/api/status.ts';
import { RefusedError, served, type Server } from './serving/http.ts';

const secrets = ['tls-certificate.pem', 'tls-key.pem', 'ssh-key', 'operator-token'];

export function registerBackupApi(
  app: Server,
  { inventory, stateDirectory }: { inventory: Inventory; stateDirectory: string },
): void {
  let running = false;
  app.route({
    ...served(statusRoutes.backUp),

    handler: async (request, reply) => {
      if (request.operator !== rootOperator)
        throw new RefusedError(
          403,
          `${request.operator} cannot make a backup, want ${rootOperator}: it holds every key`,
        );
      if (running) throw new RefusedError(409, 'a backup is being made already');
      running = true;
      try {
        return await reply.status(201).send({ directory: await backup(inventory, stateDirectory) });
      } finally {
        running = false;
      }
    },
  });
}

/** The former one stays until the new one is whole. */
async function backup(inventory: Inventory, stateDirectory: string): Promise<string> {
  const [directory, made] = [join(stateDirectory, 'backup'), join(stateDirectory, 'backup.new')];
  await rm(made, { recursive: true, force: true });
  await inventory.backup(made);
  for (const name of secrets) await copyFile(join(stateDirectory, name), join(made, name));
  await rm(directory, { recursive: true, force: true });
  await rename(made, directory);
  return directory;
}
