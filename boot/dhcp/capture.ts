// Reads the packets of real machines that the tests of this room are made of: classic pcap, Ethernet, IPv4, UDP.

import { readFileSync } from 'node:fs';

export interface CapturedDatagram {
  seconds: number;
  sourcePort: number;
  destinationPort: number;
  payload: Buffer;
}

const layout = { magic: 0xa1b2c3d4, fileHeader: 24, recordHeader: 16, ethernet: 14, udp: 8 };

/** The datagrams in `testdata/NAME`. */
export function captured(name: string): CapturedDatagram[] {
  const file = readFileSync(new URL(`testdata/${name}`, import.meta.url));
  if (file.readUInt32LE(0) !== layout.magic) throw new Error(`cannot read ${name}: not a little-endian pcap`);
  const datagrams: CapturedDatagram[] = [];
  let start: number | undefined;
  for (let at = layout.fileHeader; at < file.length;) {
    const seconds = file.readUInt32LE(at) + file.readUInt32LE(at + 4) / 1e6;
    const length = file.readUInt32LE(at + 8);
    const frame = file.subarray(at + layout.recordHeader, at + layout.recordHeader + length);
    at += layout.recordHeader + length;
    start ??= seconds;
    const ipv4 = frame.readUInt16BE(12) === 0x0800 && frame.readUInt8(layout.ethernet + 9) === 17;
    if (!ipv4) continue;
    const udp = layout.ethernet + (frame.readUInt8(layout.ethernet) & 15) * 4;
    datagrams.push({
      seconds: seconds - start,
      sourcePort: frame.readUInt16BE(udp),
      destinationPort: frame.readUInt16BE(udp + 2),
      payload: frame.subarray(udp + layout.udp, udp + frame.readUInt16BE(udp + 4)),
    });
  }
  return datagrams;
}

/** What a board sent to the DHCP server, in order. */
export function capturedRequests(name: string): Buffer[] {
  return captured(name).flatMap(({ destinationPort, payload }) => (destinationPort === 67 ? [payload] : []));
}

export const captures = [
  'uboot-2023.01-c2env-bootscr-ipxe.pcap',
  'uboot-2023.01-c2env-pxelinux.pcap',
  'uboot-2023.01-efi-ipxe.pcap',
  'uboot-2025.01-default.pcap',
  'uefi-http-boot.pcap',
  'uefi-pxe-ipxe-http.pcap',
] as const;
