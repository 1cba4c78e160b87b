import assert from 'node:assert/strict';
import { test } from 'node:test';
import { pxelinuxLinux, pxelinuxPath } from './pxelinux.ts';
import { bootScript, refusalScript, waitScript } from './script.ts';
import { ubootScript } from './uboot-image.ts';
import { bootScriptText } from './uboot-script.ts';

const mac = '02:00:00:c2:00:01';
const kernel = 'a'.repeat(64);
const initrd = 'b'.repeat(64);
const http = 'http://10.77.0.1:8480';
const script = { mac, http, kernel, initrd, cmdline: 'console=ttyAMA0 panic=5' };

test('bootScript() loads, checks, closes the network and boots; what goes wrong is shown, reported and tried anew', () => {
  assert.equal(
    bootScript({ ...script, hashCheck: true }),
    `#!ipxe
echo Muster: board ${mac} loads its system from ${http}
imgfetch --name linux ${http}/kernel/${kernel} || goto unreachable
sha256sum --set digest linux || goto refused-kernel
iseq \${digest} ${kernel} || goto refused-kernel
imgfetch --name initrd ${http}/initrd/${initrd} || goto unreachable
sha256sum --set digest initrd || goto refused-initrd
iseq \${digest} ${initrd} || goto refused-initrd
imgselect linux
imgargs linux initrd=initrd console=ttyAMA0 panic=5
ifclose net0
boot ||
echo Muster: the kernel did not start: error \${errno}
ifopen net0 && dhcp net0 ||
imgfetch --name report ${http}/stage?mac=${mac}&stage=refused-start ||
goto again
:refused-kernel
echo Muster: REFUSED: the kernel is not the one that was built, sha256 \${digest}
imgfetch --name report ${http}/stage?mac=${mac}&stage=refused-kernel ||
goto again
:refused-initrd
echo Muster: REFUSED: the initramfs is not the one that was built, sha256 \${digest}
imgfetch --name report ${http}/stage?mac=${mac}&stage=refused-initrd ||
goto again
:unreachable
echo Muster: the boot server did not answer: error \${errno}
:again
echo Muster: starting over in 10 seconds
sleep 10
reboot
`,
  );
});

test('bootScript() for an iPXE that cannot check hashes says so, and leaves the network open', () => {
  const text = bootScript({ ...script, hashCheck: false });
  assert.match(text, /^echo Muster: this iPXE cannot check hashes, the kernel goes unchecked$/m);
  assert.doesNotMatch(text, /sha256sum|iseq|refused-kernel|ifclose/);
});

test('refusalScript() shows the reason and holds no kernel, whatever an operator typed', () => {
  assert.equal(
    refusalScript({ mac, reason: 'fenced: "bad disk" || chain ${evil}\nboot' }),
    `#!ipxe
echo Muster: board ${mac} gets no system: fenced: bad disk chain evil boot
echo Muster: asking again in 30 seconds
sleep 30
reboot
`,
  );
});

test('waitScript() asks again each second, and starts over where nobody answers', () => {
  assert.equal(
    waitScript({ mac, reason: 'node-1 at 10.77.0.50 (boot a) has its place until it is silent for 4.5 s', http }),
    `#!ipxe
echo Muster: board ${mac} waits: node-1 at 10.77.0.50 (boot a) has its place until it is silent for 4.5 s
sleep 1
chain --autofree --replace ${http}/boot.ipxe?mac=${mac} ||
echo Muster: the boot server did not answer: error \${errno}
sleep 5
reboot
`,
  );
});

test('pxelinuxLinux() is what U-Boot boots by itself, under the name that it asks for first', () => {
  assert.equal(pxelinuxPath(mac), 'pxelinux.cfg/01-02-00-00-c2-00-01');
  assert.equal(
    pxelinuxLinux({
      kernel: 'kernel/k',
      initrd: 'initrd/i',
      fdt: 'dtb/amlogic/meson-gxbb-odroidc2.dtb',
      cmdline: 'console=ttyAML0,115200 panic=5',
    }),
    `default muster
prompt 0
label muster
  kernel kernel/k
  initrd initrd/i
  fdt dtb/amlogic/meson-gxbb-odroidc2.dtb
  append console=ttyAML0,115200 panic=5
`,
  );
});

test('boot.scr starts iPXE with the kernel’s device tree where there is one, else with U-Boot’s own', () => {
  assert.equal(
    bootScriptText({ ipxe: 'ipxe-uboot.efi', fdt: 'dtb/x.dtb' }),
    `echo Muster: loading iPXE from \${serverip}
if tftpboot \${kernel_addr_r} ipxe-uboot.efi; then
if tftpboot \${fdt_addr_r} dtb/x.dtb; then bootefi \${kernel_addr_r} \${fdt_addr_r}; else bootefi \${kernel_addr_r} \${fdtcontroladdr}; fi
fi
echo Muster: iPXE did not start, resetting
sleep 5
reset
`,
  );
});

test('ubootScript() writes what mkimage -A arm64 -T script -n muster writes', () => {
  // mkimage 2023.01, of a file with `echo hi`, with the time and so the header's checksum left out.
  const wanted =
    '27051956 ........ 00000000 00000010 00000000 00000000 d9340162 05160600' +
    `6d7573746572${'00'.repeat(26)} 00000008 00000000 6563686f2068690a`;
  assert.match(ubootScript('echo hi\n').toString('hex'), new RegExp(`^${wanted.replaceAll(' ', '')}$`));
});
