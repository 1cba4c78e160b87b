// What a board is handed, by TFTP and by HTTP: files that are the same for all, and what is written for this board and this
// start of it, which holds its join token.

import { setTimeout as delay } from 'node:timers/promises';
import { pxelinuxGoOn, pxelinuxLinux, pxelinuxPath } from '../ipxe/pxelinux.ts';
import { bootScript, refusalScript, waitScript } from '../ipxe/script.ts';
import { bootScriptImage } from '../ipxe/uboot-script.ts';
import type { Ipv4 } from '../protocol/ipv4.ts';
import type { Mac } from '../protocol/mac.ts';
import type { Artefact, BootArtefacts } from './artefacts.ts';
import { bootFiles } from './dhcp/boot-file.ts';
import type { BootHost, TokenAnswer } from './host.ts';
import type { HttpOptions } from './http.ts';

/** How a U-Boot board comes by its kernel: iPXE, which checks hashes, or U-Boot itself over TFTP, which does not. */
export type UbootMethod = 'ipxe' | 'pxelinux';

export interface BoardFilesOptions {
  artefacts: BootArtefacts;
  /** Our own URL. */
  http: string;
  /** The kernel's command line, with this join token. */
  cmdline: (token: string) => string;
  methodOf: (mac: Mac) => UbootMethod;
  /** The board that has this address now. */
  macOf: (ip: Ipv4) => Mac | undefined;
  host: Pick<BootHost, 'joinToken' | 'refusal' | 'stage'>;
}

/** U-Boot waits for a file for 50 s, asking anew every 5 s. A place is held for some 4.5 s after a reset. */
const pxelinuxHold = { tries: 12, pauseMs: 500 };

const c2DeviceTree = 'amlogic/meson-gxbb-odroidc2.dtb';

export class BoardFiles {
  readonly #options: BoardFilesOptions;
  readonly #byTftp: ReadonlyMap<string, Artefact>;

  constructor(options: BoardFilesOptions) {
    this.#options = options;
    const { ipxe, kernel, kernelGz, initrd, dtb } = options.artefacts;
    this.#byTftp = new Map<string, Artefact>([
      [bootFiles.ipxeForUboot, ipxe.patched],
      [bootFiles.ipxeForUefi, ipxe.plain],
      [`kernel/${kernel.sha256}`, kernel],
      [`kernel/${kernelGz.sha256}`, kernelGz],
      [`initrd/${initrd.sha256}`, initrd],
      ...[...dtb].map(([name, artefact]) => [`dtb/${name}`, artefact] as const),
    ]);
  }

  async byTftp(path: string, ip: Ipv4): Promise<Uint8Array | { missing: string }> {
    const { macOf, host } = this.#options;
    const mac = macOf(ip);
    if (mac === undefined) return { missing: `no board has the address ${ip}` };
    if (path === pxelinuxPath(mac)) return this.#pxelinux(mac, ip);
    if (path === bootFiles.script) return bootScriptImage({ ipxe: bootFiles.ipxeForUboot, fdt: this.#deviceTree(mac) });
    const refused = /^(kernel|initrd)\//.test(path) ? host.refusal(mac) : undefined;
    if (refused !== undefined) {
      host.stage({ mac, ip, stage: 'fenced', detail: refused });
      return { missing: `this board gets no system: ${refused}` };
    }
    if (path.startsWith('dtb/') && this.#deviceTree(mac) === undefined) return { missing: 'this board has its own' };
    return (await this.#byTftp.get(path)?.bytes()) ?? { missing: 'no such file' };
  }

  /** By path. */
  byHttp(): HttpOptions['artefacts'] {
    const { ipxe, kernel, initrd, root, dtb } = this.#options.artefacts;
    const type = 'application/octet-stream';
    return new Map([
      // EDK2 boots what calls itself application/efi.
      [`/${bootFiles.ipxeForUefi}`, { artefact: ipxe.plain, type: 'application/efi', stage: undefined }],
      [`/kernel/${kernel.sha256}`, { artefact: kernel, type, stage: 'kernel' }],
      [`/initrd/${initrd.sha256}`, { artefact: initrd, type, stage: 'initrd' }],
      [`/image/${root.sha256}`, { artefact: root, type, stage: 'root' }],
      ...[...dtb.values()].map(
        (artefact) => [`/dtb/${artefact.sha256}`, { artefact, type, stage: undefined }] as const,
      ),
    ]);
  }

  /** For iPXE. */
  async script(mac: Mac, ip: Ipv4): Promise<string> {
    const { artefacts, http, cmdline, host } = this.#options;
    const answer = await host.joinToken(mac, ip);
    if ('refused' in answer && answer.held) return waitScript({ mac, reason: answer.refused, http });
    if ('refused' in answer) {
      host.stage({ mac, stage: 'fenced', detail: answer.refused, firmware: 'ipxe' });
      return refusalScript({ mac, reason: answer.refused });
    }
    return bootScript({
      mac,
      http,
      kernel: artefacts.kernel.sha256,
      initrd: artefacts.initrd.sha256,
      cmdline: cmdline(answer.token),
      hashCheck: artefacts.ipxe.hashCheck,
    });
  }

  /** For U-Boot, which asks for it first. */
  async #pxelinux(mac: Mac, ip: Ipv4): Promise<Uint8Array | { missing: string }> {
    const { artefacts, cmdline, methodOf, host } = this.#options;
    if (methodOf(mac) === 'ipxe') return Buffer.from(pxelinuxGoOn);
    const answer = await this.#pxelinuxToken(mac, ip);
    if ('refused' in answer) {
      if (!answer.held) host.stage({ mac, ip, stage: 'fenced', detail: answer.refused, firmware: 'uboot' });
      // U-Boot goes on to its next target, and so to the iPXE script that tells the reason, or waits longer.
      return { missing: `this board gets no system: ${answer.refused}` };
    }
    return Buffer.from(
      pxelinuxLinux({
        kernel: `kernel/${(isQemu(mac) ? artefacts.kernel : artefacts.kernelGz).sha256}`,
        initrd: `initrd/${artefacts.initrd.sha256}`,
        fdt: this.#deviceTree(mac),
        cmdline: cmdline(answer.token),
      }),
    );
  }

  /** U-Boot has nothing to wait with: the answer is late instead. */
  async #pxelinuxToken(mac: Mac, ip: Ipv4): Promise<TokenAnswer> {
    const { host } = this.#options;
    let answer = await host.joinToken(mac, ip);
    for (let tries = 1; 'refused' in answer && answer.held && tries < pxelinuxHold.tries; tries++) {
      await delay(pxelinuxHold.pauseMs, undefined, { ref: false });
      answer = await host.joinToken(mac, ip);
    }
    return answer;
  }

  #deviceTree(mac: Mac): string | undefined {
    return isQemu(mac) || !this.#options.artefacts.dtb.has(c2DeviceTree) ? undefined : `dtb/${c2DeviceTree}`;
  }
}

/**
 * QEMU's MAC addresses begin so. Such a board has a device tree of its own, whatever its environment says of a C2, and
 * its U-Boot has set no room aside to unpack a compressed kernel.
 */
function isQemu(mac: Mac): boolean {
  return mac.startsWith('52:54:00:');
}
