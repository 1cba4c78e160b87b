import { ubootScript } from './uboot-image.ts';

/**
 * `boot.scr.uimg`: what U-Boot's `dhcp` target runs. It fetches iPXE and starts it with a device tree: the kernel's
 * own where `fdt` names one, else the one that U-Boot runs on. When anything fails the board resets and starts over.
 */
export function bootScriptImage(names: { ipxe: string; fdt: string | undefined }): Buffer {
  return ubootScript(bootScriptText(names));
}

export function bootScriptText({ ipxe, fdt }: { ipxe: string; fdt: string | undefined }): string {
  const own = 'bootefi ${kernel_addr_r} ${fdtcontroladdr}';
  const start =
    fdt === undefined
      ? [own]
      : [`if tftpboot \${fdt_addr_r} ${fdt}; then bootefi \${kernel_addr_r} \${fdt_addr_r}; else ${own}; fi`];
  return [
    'echo Muster: loading iPXE from ${serverip}',
    `if tftpboot \${kernel_addr_r} ${ipxe}; then`,
    ...start,
    'fi',
    'echo Muster: iPXE did not start, resetting',
    'sleep 5',
    'reset',
    '',
  ].join('\n');
}
