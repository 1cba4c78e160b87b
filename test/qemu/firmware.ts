// How each kind of board is started in QEMU. What each flag cures is in docs/BOOTING.md; the short of it:
// U-Boot wants e1000 (its virtio-net shows a wrong MAC and stalls after 110 KB), UEFI wants virtio-net without an option
// ROM, and both get the watchdog that the node's leash feeds.
import { access, mkdtemp, readFile, rename, rm, truncate } from 'node:fs/promises';
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { runTied } from './tied-process.ts';

export const firmwares = ['uboot', 'uefi', 'uefi-http'] as const;
export type Firmware = (typeof firmwares)[number];

const uboot = '/usr/lib/u-boot/qemu_arm64/u-boot.bin';
const uefiCode = '/usr/share/AAVMF/AAVMF_CODE.fd';
const uefiVariables = '/usr/share/AAVMF/AAVMF_VARS.fd';
const environmentText = fileURLToPath(new URL('odroid-c2-like-environment.txt', import.meta.url));

// The virt machine's flash bank, and the size that U-Boot's build for it reads its environment from.
const flashBytes = 64 * 2 ** 20;
const environmentBytes = 0x40000;

export type MachineOptions = {
  mac: string;
  tap: string;
  memoryMb: number;
  cores: number;
  /** One instruction every two virtual nanoseconds: virtual time that the host's load does not touch, for benches. */
  icount: boolean;
};

export interface Started {
  firmware: Firmware;
  /** Of U-Boot, from `ubootEnvironment`. */
  environmentImage: string;
  machine: MachineOptions;
}

/** QEMU's command line: the serial line is stdin and stdout, the machine protocol is file descriptor 3. */
export function qemuCommand({ firmware, environmentImage, machine }: Started): string[] {
  const { mac, tap, memoryMb, cores, icount } = machine;
  // With sleep=off virtual time runs ahead while a board waits for a packet: its timeouts end before any answer can come.
  const speed = icount
    ? '-smp 1 -accel tcg,thread=single -icount shift=1,sleep=on'
    : `-smp ${cores} -accel tcg,thread=multi`;
  const card = firmware === 'uboot' ? 'e1000' : 'virtio-net-pci';
  const flags = [
    `-M virt -cpu cortex-a53 -m ${memoryMb}`,
    speed,
    '-nodefaults -display none',
    '-chardev stdio,id=serial,signal=off -serial chardev:serial',
    '-chardev socket,id=qmp,fd=3 -mon chardev=qmp,mode=control',
    `-netdev tap,id=cable,ifname=${tap},script=no,downscript=no`,
    `-device ${card},id=card,netdev=cable,mac=${mac},romfile=`,
    '-device virtio-rng-pci',
    '-device i6300esb -action watchdog=reset',
  ].flatMap((text) => text.split(' '));
  return ['qemu-system-aarch64', ...flags, ...firmwareFlags(firmware, environmentImage)];
}

function firmwareFlags(firmware: Firmware, environmentImage: string): string[] {
  switch (firmware) {
    case 'uboot':
      return ['-bios', uboot, ...flash('unit=1,readonly=on', environmentImage)];
    // Each start has a factory-fresh set of UEFI variables, in a temporary file that QEMU unlinks at once.
    case 'uefi':
      return [...flash('unit=0,readonly=on', uefiCode), ...flash('unit=1,snapshot=on', uefiVariables)];
    case 'uefi-http':
      return [...firmwareFlags('uefi', environmentImage), ...withoutPxe];
    default:
      return firmware satisfies never;
  }
}

// A board that only knows HTTP boot. With PXE over IPv6 left on, it would try that for two minutes first.
const withoutPxe = [4, 6].flatMap((version) => ['-fw_cfg', `name=opt/org.tianocore/IPv${version}PXESupport,string=n`]);

function flash(options: string, file: string): string[] {
  const path = file.replaceAll(',', ',,'); // QEMU's own way to write a comma in a value
  return ['-drive', `if=pflash,${options},format=raw,file=${path}`];
}

/** The C2-like environment as U-Boot finds it in its flash; made once, kept in the cache by its content. */
export async function ubootEnvironment(cacheDir: string): Promise<string> {
  const digest = createHash('sha256')
    .update(await readFile(environmentText))
    .digest('hex');
  const image = join(cacheDir, `uboot-environment-${digest.slice(0, 16)}.img`);
  try {
    await access(image);
    return image;
  } catch {
    // Not made yet: below.
  }
  const work = await mkdtemp(join(cacheDir, 'environment-'));
  const partial = join(work, 'image');
  const { code, stderr } = await runTied([
    'mkenvimage',
    '-s',
    String(environmentBytes),
    '-o',
    partial,
    environmentText,
  ]);
  if (code !== 0) throw new Error(`cannot make U-Boot's environment: ${stderr.trim()}`);
  await truncate(partial, flashBytes);
  await rename(partial, image);
  await rm(work, { recursive: true });
  return image;
}
