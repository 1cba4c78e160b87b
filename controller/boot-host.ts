// What the boot process is told by the inventory, and what it tells it.
import type { BootProcessHost } from '../boot/process/host.ts';
import type { NodeFacts } from '../boot/process/message.ts';
import type { Inventory } from '../inventory/inventory.ts';
import type { Log } from './log/log.ts';

export function bootHost({
  inventory,
  log,
  onFailure,
}: {
  inventory: Inventory;
  log: Log;
  onFailure: (error: unknown) => void;
}): BootProcessHost {
  return {
    leases: inventory.leases,
    joinToken: (mac, ip) => inventory.nodes.issueJoinToken(mac, ip),
    macs: () => inventory.nodes.all().map(({ mac }) => mac),
    facts: (mac): NodeFacts | undefined => {
      const node = inventory.nodes.get(mac);
      if (node === undefined) return undefined;
      const holder = inventory.nodes.placeHolder(mac);
      return {
        isBoard: node.bootId !== null,
        ...(node.fenced ? { refused: `${node.name} is fenced` } : {}),
        ...(holder === undefined ? {} : { holder }),
      };
    },
    subscribe: (changed) =>
      inventory.subscribe((change) => {
        if (change.kind === 'node') changed(change.mac);
      }),
    stage: ({ firmware, ...event }) => {
      // iPXE and Linux are steps of a boot that some firmware began.
      const began = firmware === 'ipxe' || firmware === 'linux' ? undefined : firmware;
      return inventory.nodes.bootStage(began === undefined ? event : { ...event, firmware: began }).catch(onFailure);
    },
    trouble: (message) => inventory.events.add({ kind: 'controller', subject: 'dhcp', message }),
    log: (message) => log({ level: 'info', subject: 'boot', message }),
  };
}
