/** A number of a tar header: octal digits, or base 256 where the first bit says so. Throws one sentence; -1 is any negative one. */
export function tarNumber(bytes: Buffer, { what, name }: { what: string; name: string }): number {
  if (((bytes[0] ?? 0) & 0x80) !== 0) {
    // 0xff leads a negative number; none of the fields but mtime may be one, and nobody needs a time before 1970.
    if (bytes[0] === 0xff) return name === 'mtime' ? 0 : -1;
    const value = bytes.subarray(1).reduce((sum, byte) => sum * 256 + byte, (bytes[0] ?? 0) & 0x7f);
    if (!Number.isSafeInteger(value)) throw new Error(`cannot read ${what}: a ${name} of ${value} is too large`);
    return value;
  }
  const digits = bytes
    .toString('latin1')
    .replace(/[\0 ]+$/, '')
    .replace(/^[\0 ]+/, '');
  if (digits === '') return 0;
  if (!/^[0-7]+$/.test(digits))
    throw new Error(`cannot read ${what}: ${name} is ${JSON.stringify(digits)}, want an octal number`);
  return Number.parseInt(digits, 8);
}
