/** A MAC address in its one written form: `02:00:00:c2:00:01`, lower case, colons. */
export type Mac = string;

export const macPattern = '^([0-9a-f]{2}:){5}[0-9a-f]{2}$';

const anyForm =
  /^([0-9a-fA-F]{2})[:-]?([0-9a-fA-F]{2})[:-]?([0-9a-fA-F]{2})[:-]?([0-9a-fA-F]{2})[:-]?([0-9a-fA-F]{2})[:-]?([0-9a-fA-F]{2})$/;

/** Reads any common spelling (colons, hyphens, bare hex, either case); `undefined` where it is not a MAC address. */
export function parseMac(text: string): Mac | undefined {
  return anyForm.exec(text)?.slice(1).join(':').toLowerCase();
}

/** The first six bytes, as BOOTP's `chaddr` carries them. Throws on fewer. */
export function macFromBytes(bytes: Uint8Array): Mac {
  if (bytes.length < 6) throw new Error(`cannot read MAC: ${bytes.length} bytes, want 6`);
  return Buffer.from(bytes.subarray(0, 6))
    .toString('hex')
    .replace(/..(?!$)/g, '$&:');
}

/** The form of iPXE's `${net0/mac:hexhyp}` and of pxelinux: `02-00-00-c2-00-01`. */
export function hyphenated(mac: Mac): string {
  return mac.replaceAll(':', '-');
}
