// U-Boot's legacy image format, as `mkimage` writes it, as far as scripts need it. Big endian:
//
//    0 magic 27 05 19 56   4 CRC-32 of this header with 0 here   8 time   12 size of the data   16 load   20 entry
//   24 CRC-32 of the data  28 system  29 machine  30 kind  31 compression   32 name (32)   64 data

import { crc32 } from 'node:zlib';

const headerBytes = 64;
const magic = 0x27051956;
const machineArm64 = 22;

// `include/image.h` of U-Boot.
const systemLinux = 5;
const kindScript = 6;

/** A script for `source`, such as `boot.scr.uimg`. */
export function ubootScript(text: string): Buffer {
  const body = Buffer.from(text, 'ascii');
  // A script's data opens with a table of lengths, closed by a zero.
  const table = Buffer.alloc(8);
  table.writeUInt32BE(body.length, 0);
  return image(Buffer.concat([table, body]));
}

function image(data: Uint8Array): Buffer {
  const header = Buffer.alloc(headerBytes);
  header.writeUInt32BE(magic, 0);
  header.writeUInt32BE(data.length, 12);
  header.writeUInt32BE(crc32(data), 24);
  header.writeUInt8(systemLinux, 28);
  header.writeUInt8(machineArm64, 29);
  header.writeUInt8(kindScript, 30);
  header.write('muster', 32, 'ascii');
  // No time of building: the same content is the same file.
  header.writeUInt32BE(crc32(header), 4);
  return Buffer.concat([header, data]);
}
