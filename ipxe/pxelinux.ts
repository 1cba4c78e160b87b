// The configuration files that U-Boot's `pxe get` asks for by TFTP, as pxelinux.cfg/01-<mac>. Pure text.

import { type Mac, hyphenated } from '../protocol/mac.ts';

/** What U-Boot asks for first, of all the names it tries. */
export function pxelinuxPath(mac: Mac): string {
  return `pxelinux.cfg/01-${hyphenated(mac)}`;
}

/** U-Boot loads the kernel itself. It checks no hash: the initramfs checks the root image, and that is all. */
export function pxelinuxLinux(boot: {
  /** Names to ask this TFTP server for. */
  kernel: string;
  initrd: string;
  /** Left out, U-Boot hands on the device tree that it runs on itself. */
  fdt: string | undefined;
  cmdline: string;
}): string {
  // No `menu` of any kind: with one, U-Boot waits for somebody to press a key.
  return [
    'default muster',
    'prompt 0',
    'label muster',
    `  kernel ${boot.kernel}`,
    `  initrd ${boot.initrd}`,
    ...(boot.fdt === undefined ? [] : [`  fdt ${boot.fdt}`]),
    `  append ${boot.cmdline}`,
    '',
  ].join('\n');
}

/**
 * Nothing to choose from, so that U-Boot's `pxe` target ends at once and its `dhcp` target brings iPXE. Without this
 * file it would ask for a dozen others first, at a second and a half each.
 */
export const pxelinuxGoOn = '# Muster: this board loads iPXE by its dhcp target\n';
