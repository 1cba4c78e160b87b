// The iPXE scripts we hand out. Pure text; the goldens are in script.test.ts.

import type { Mac } from '../protocol/mac.ts';

export interface BootScript {
  mac: Mac;
  /** `http://10.77.0.1:8480`, without a slash at the end. */
  http: string;
  /** SHA-256 in hex, which is also the name in the URL. */
  kernel: string;
  initrd: string;
  /** From `encodeCmdline`, which lets nothing through that iPXE would read as its own. */
  cmdline: string;
  /** Whether this iPXE is 2.0 and has `sha256sum --set`. Without it the kernel and the initramfs go unchecked. */
  hashCheck: boolean;
}

/** Loads, checks and starts the node's kernel. What goes wrong is shown, reported to `/stage` and tried anew. */
export function bootScript(script: BootScript): string {
  const { http, mac } = script;
  const report = (stage: string) => `imgfetch --name report ${http}/stage?mac=${mac}&stage=${stage} ||`;
  const check = (name: string, { digest, label }: { digest: string; label: string }) =>
    script.hashCheck
      ? [`sha256sum --set digest ${name} || goto ${label}`, `iseq \${digest} ${digest} || goto ${label}`]
      : [];
  return lines([
    '#!ipxe',
    `echo Muster: board ${mac} loads its system from ${http}`,
    ...(script.hashCheck ? [] : ['echo Muster: this iPXE cannot check hashes, the kernel goes unchecked']),
    `imgfetch --name linux ${http}/kernel/${script.kernel} || goto unreachable`,
    ...check('linux', { digest: script.kernel, label: 'refused-kernel' }),
    `imgfetch --name initrd ${http}/initrd/${script.initrd} || goto unreachable`,
    ...check('initrd', { digest: script.initrd, label: 'refused-initrd' }),
    'imgselect linux',
    `imgargs linux initrd=initrd ${script.cmdline}`,
    // Under U-Boot the network chip goes on writing received frames into memory that is Linux's by then, unless it is
    // closed. The iPXE without hash check, 1.21, starts nothing once it is ("No such device"): it is for UEFI alone.
    ...(script.hashCheck ? ['ifclose net0'] : []),
    'boot ||',
    'echo Muster: the kernel did not start: error ${errno}',
    'ifopen net0 && dhcp net0 ||',
    report('refused-start'),
    'goto again',
    ...(script.hashCheck
      ? ['kernel', 'initrd'].flatMap((name) => [
          `:refused-${name}`,
          `echo Muster: REFUSED: the ${name === 'kernel' ? 'kernel' : 'initramfs'} is not the one that was built, sha256 \${digest}`,
          report(`refused-${name}`),
          'goto again',
        ])
      : []),
    ':unreachable',
    'echo Muster: the boot server did not answer: error ${errno}',
    ':again',
    'echo Muster: starting over in 10 seconds',
    'sleep 10',
    'reboot',
  ]);
}

/** For a board that must not run: no kernel, a reason to read on its console, and another question later. */
export function refusalScript({ mac, reason }: { mac: Mac; reason: string }): string {
  return lines([
    '#!ipxe',
    `echo Muster: board ${mac} gets no system: ${plain(reason)}`,
    'echo Muster: asking again in 30 seconds',
    'sleep 30',
    'reboot',
  ]);
}

/** For a board that was reset this moment, whose earlier start may still be alive: it asks again until it is not. */
export function waitScript({ mac, reason, http }: { mac: Mac; reason: string; http: string }): string {
  return lines([
    '#!ipxe',
    `echo Muster: board ${mac} waits: ${plain(reason)}`,
    'sleep 1',
    // The new script takes the place of this one: a wait of any length needs no memory.
    `chain --autofree --replace ${http}/boot.ipxe?mac=${mac} ||`,
    'echo Muster: the boot server did not answer: error ${errno}',
    'sleep 5',
    'reboot',
  ]);
}

/** A reason that an operator typed, as words that mean nothing to iPXE. */
function plain(text: string): string {
  return text
    .replace(/[^A-Za-z0-9 .,:()/_-]+/g, ' ')
    .replace(/ +/g, ' ')
    .slice(0, 120)
    .trim();
}

function lines(all: string[]): string {
  return `${all.join('\n')}\n`;
}
