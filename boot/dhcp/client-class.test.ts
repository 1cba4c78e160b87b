import assert from 'node:assert/strict';
import { test } from 'node:test';
import { classify } from './client-class.ts';
import { option } from './option.ts';
import { boardPacket } from './world.fixture.ts';

const arch = (number: number): [number, Uint8Array] => [option.clientArch, Uint8Array.of(0, number)];
const vendor = (text: string): [number, Uint8Array] => [option.vendorClass, Buffer.from(text)];
const machine: [number, Uint8Array] = [option.clientMachine, Buffer.alloc(17)];

const table: [string, Parameters<typeof boardPacket>[1], string][] = [
  ['iPXE by its user class', { options: [arch(11), machine, [option.userClass, Buffer.from('iPXE')]] }, 'ipxe'],
  ['iPXE by its own option', { options: [arch(11), [option.ipxe, Buffer.alloc(3)]] }, 'ipxe'],
  ['U-Boot', { options: [arch(0x16), vendor('U-Boot.armv8')] }, 'uboot'],
  ['the EFI step of U-Boot', { options: [arch(11), vendor('PXEClient:Arch:0000b:UNDI:003000')] }, 'uboot-efi'],
  ['U-Boot with a pxeuuid', { options: [arch(11), machine] }, 'uboot-efi'],
  ['UEFI by PXE', { broadcast: true, options: [arch(11), machine, vendor('PXEClient:Arch:00011')] }, 'uefi'],
  ['UEFI by HTTP', { broadcast: true, options: [arch(0x13), vendor('HTTPClient:Arch:00019')] }, 'uefi-http'],
  ['our initramfs', { options: [vendor('muster-node')] }, 'node'],
  ['an x86 PC', { broadcast: true, options: [arch(7), machine, vendor('PXEClient:Arch:00007')] }, 'other'],
  ['a laptop', { options: [vendor('MSFT 5.0')] }, 'other'],
  ['an architecture of one byte', { options: [[option.clientArch, Uint8Array.of(11)]] }, 'other'],
];

for (const [name, packet, wanted] of table)
  test(`classify() knows ${name}`, () => assert.equal(classify(boardPacket('discover', packet)), wanted));
