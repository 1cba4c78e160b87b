import { option } from './option.ts';
import { type Packet, textOption } from './packet.ts';

/**
 * Who is asking, which decides what it is told to load:
 * - `ipxe`: iPXE, from whichever firmware: the script for this board
 * - `uboot`: U-Boot's own DHCP, architecture 0x16: the U-Boot script (its `pxe` command then asks for pxelinux.cfg)
 * - `uboot-efi`: the EFI step of U-Boot's `dhcp` target, which poses as a PXE client of architecture 0x0b
 * - `uefi`: a UEFI that boots by PXE, 0x0b
 * - `uefi-http`: a UEFI that boots by HTTP, 0x13
 * - `node`: our own initramfs
 * - `controller`: another Muster controller, which asks whether it is alone
 * - `other`: anything else on the segment: an address and no more
 */
export type ClientClass = 'ipxe' | 'uboot' | 'uboot-efi' | 'uefi' | 'uefi-http' | 'node' | 'controller' | 'other';

/** What our initramfs's udhcpc writes as option 60. */
export const nodeVendorClass = 'muster-node';

/** What a controller that looks for others writes as option 60, and is answered with. */
export const controllerVendorClass = 'muster-controller';

const arch = { efiArm64: 0x000b, httpArm64: 0x0013, ubootArm64: 0x0016 };

export function classify(packet: Packet): ClientClass {
  // iPXE also says that it is an EFI client of 0x0b, so it comes first; not every build writes both options.
  if (packet.options.has(option.ipxe) || textOption(packet, option.userClass) === 'iPXE') return 'ipxe';
  const vendorClass = textOption(packet, option.vendorClass);
  if (vendorClass === nodeVendorClass) return 'node';
  if (vendorClass === controllerVendorClass) return 'controller';
  switch (clientArch(packet)) {
    case arch.ubootArm64:
      return 'uboot';
    case arch.httpArm64:
      return vendorClass.startsWith('HTTPClient') ? 'uefi-http' : 'other';
    case arch.efiArm64:
      // A real PXE client must send its machine identifier (RFC 4578, 2.3) and EDK2 sets the broadcast flag; U-Boot
      // does neither. The two need different builds of iPXE, and the one for U-Boot also runs under UEFI.
      return packet.options.has(option.clientMachine) && packet.broadcast ? 'uefi' : 'uboot-efi';
    default:
      return 'other';
  }
}

function clientArch(packet: Packet): number | undefined {
  const value = packet.options.get(option.clientArch);
  return value === undefined || value.length < 2 ? undefined : Buffer.from(value).readUInt16BE(0);
}
