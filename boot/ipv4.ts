/** An IPv4 address in dotted form, `10.77.0.1`. */
export type Ipv4 = string;

export const anyAddress: Ipv4 = '0.0.0.0';
export const broadcastAddress: Ipv4 = '255.255.255.255';

const dotted = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/;

/** The address as an unsigned 32-bit number; `undefined` where the text is not an address. */
export function parseIpv4(text: string): number | undefined {
  const match = dotted.exec(text);
  if (match === null) return undefined;
  let number = 0;
  for (const part of match.slice(1)) {
    const octet = Number(part);
    if (octet > 255) return undefined;
    number = number * 256 + octet;
  }
  return number;
}

/** As `parseIpv4`, for text that has been checked before: throws where it was not. */
export function ipv4Number(text: Ipv4): number {
  const number = parseIpv4(text);
  if (number === undefined) throw new Error(`cannot read IPv4 address: '${text}', want four numbers from 0 to 255`);
  return number;
}

export function formatIpv4(number: number): Ipv4 {
  return `${number >>> 24}.${(number >>> 16) & 255}.${(number >>> 8) & 255}.${number & 255}`;
}

export function sameNetwork(one: Ipv4, other: Ipv4, netmask: Ipv4): boolean {
  const mask = ipv4Number(netmask);
  return ((ipv4Number(one) ^ ipv4Number(other)) & mask) === 0;
}
