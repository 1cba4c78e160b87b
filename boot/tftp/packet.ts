// TFTP on the wire (RFC 1350; options RFC 2347, 2348, 2349, 7440). Two bytes say which of the six packets it is:
//
//   1 RRQ    name 0 mode 0 (option 0 value 0)*      3 DATA   block (2) data
//   2 WRQ    the same                               4 ACK    block (2)
//   6 OACK   (option 0 value 0)*                    5 ERROR  code (2) message 0

export type TftpPacket =
  | { op: 'read' | 'write'; path: string; mode: string; options: ReadonlyMap<string, string> }
  | { op: 'data'; block: number; data: Uint8Array }
  | { op: 'ack'; block: number }
  | { op: 'error'; code: number; message: string }
  | { op: 'oack'; options: ReadonlyMap<string, string> };

export const errorCode = {
  undefined: 0,
  fileNotFound: 1,
  accessViolation: 2,
  illegalOperation: 4,
  unknownTransferId: 5,
  optionRefused: 8,
} as const;

const opcode = { read: 1, write: 2, data: 3, ack: 4, error: 5, oack: 6 } as const;

/** Longer requests than U-Boot, EDK2 and iPXE ever send. RFC 2347 allows 512 bytes. */
const maximumRequestBytes = 512;

/** The packet in these bytes, or why they are none. Never throws. */
export function decodeTftp(datagram: Uint8Array): TftpPacket | { refused: string } {
  const bytes = Buffer.from(datagram.buffer, datagram.byteOffset, datagram.byteLength);
  if (bytes.length < 4) return { refused: `${bytes.length} bytes, want at least 4` };
  const op = bytes.readUInt16BE(0);
  switch (op) {
    case opcode.read:
    case opcode.write:
      return decodeRequest(bytes, op === opcode.read ? 'read' : 'write');
    case opcode.data:
      return { op: 'data', block: bytes.readUInt16BE(2), data: bytes.subarray(4) };
    case opcode.ack:
      return { op: 'ack', block: bytes.readUInt16BE(2) };
    case opcode.error:
      return {
        op: 'error',
        code: bytes.readUInt16BE(2),
        message: bytes.subarray(4).toString('latin1').replace(/\0.*$/s, ''),
      };
    case opcode.oack: {
      const options = readOptions(strings(bytes.subarray(2)));
      return options instanceof Map ? { op: 'oack', options } : options;
    }
    default:
      return { refused: `opcode ${op}, want 1 to 6` };
  }
}

function decodeRequest(bytes: Buffer, op: 'read' | 'write'): TftpPacket | { refused: string } {
  if (bytes.length > maximumRequestBytes)
    return { refused: `a request of ${bytes.length} bytes, want at most ${maximumRequestBytes}` };
  const [path, mode, ...rest] = strings(bytes.subarray(2));
  if (path === undefined || mode === undefined || path === '') return { refused: 'a request without a name or a mode' };
  const options = readOptions(rest);
  return options instanceof Map ? { op, path, mode: mode.toLowerCase(), options } : options;
}

/** The NUL-terminated strings; what follows the last NUL is padding, and ignored. */
function strings(bytes: Buffer): string[] {
  const found = bytes.toString('latin1').split('\0');
  found.pop();
  return found;
}

function readOptions(words: string[]): Map<string, string> | { refused: string } {
  const options = new Map<string, string>();
  for (let at = 0; at + 1 < words.length; at += 2) {
    const [name, value] = [words[at]?.toLowerCase() ?? '', words[at + 1] ?? ''];
    if (name === '') break; // some firmware pads its request with NULs
    if (options.has(name)) return { refused: `the option ${name} twice` };
    options.set(name, value);
  }
  return options;
}

export function encodeTftp(packet: TftpPacket): Buffer {
  switch (packet.op) {
    case 'read':
    case 'write':
      return Buffer.concat([u16(opcode[packet.op]), text(packet.path), text(packet.mode), ...pairs(packet.options)]);
    case 'data': {
      const bytes = Buffer.allocUnsafe(4 + packet.data.length);
      bytes.writeUInt16BE(opcode.data, 0);
      bytes.writeUInt16BE(packet.block, 2);
      bytes.set(packet.data, 4);
      return bytes;
    }
    case 'ack':
      return Buffer.concat([u16(opcode.ack), u16(packet.block)]);
    case 'error':
      return Buffer.concat([u16(opcode.error), u16(packet.code), text(packet.message)]);
    case 'oack':
      return Buffer.concat([u16(opcode.oack), ...pairs(packet.options)]);
  }
}

function pairs(options: ReadonlyMap<string, string>): Buffer[] {
  return [...options].flatMap(([name, value]) => [text(name), text(value)]);
}

function text(value: string): Buffer {
  return Buffer.from(`${value}\0`, 'latin1');
}

function u16(value: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16BE(value);
  return bytes;
}
