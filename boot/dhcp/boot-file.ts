// Which boot file a firmware gets.

import type { Mac } from '../../protocol/mac.ts';
import type { ClientClass } from './client-class.ts';

/** By TFTP, and the second for UEFI by HTTP too. */
export const bootFiles = {
  script: 'boot.scr.uimg',
  ipxeForUboot: 'ipxe-uboot.efi',
  ipxeForUefi: 'ipxe.efi',
} as const;

/** What a client is told to load; `undefined` for one that only wants an address. `http` is our own URL. */
export function bootFile(client: ClientClass, { mac, http }: { mac: Mac; http: string }): string | undefined {
  switch (client) {
    case 'ipxe':
      return `${http}/boot.ipxe?mac=${mac}`;
    case 'uboot':
      return bootFiles.script;
    case 'uboot-efi':
      return bootFiles.ipxeForUboot;
    case 'uefi':
      return bootFiles.ipxeForUefi;
    case 'uefi-http':
      return `${http}/${bootFiles.ipxeForUefi}`;
    case 'node':
    case 'controller':
    case 'other':
      return undefined;
  }
}
