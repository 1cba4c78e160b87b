/** An IPv4 address in dotted form, `10.77.0.1`. */
export type Ipv4 = string;

/** An address and a port, TCP or UDP: `10.77.0.1:8443`. */
export interface Endpoint {
  host: Ipv4;
  port: number;
}

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

/** `undefined` where the text is not an IPv4 address with a port from 1 to 65,535. */
export function parseEndpoint(text: string): Endpoint | undefined {
  const [, host, digits] = /^([\d.]+):(\d{1,5})$/.exec(text) ?? [];
  const port = Number(digits);
  if (host === undefined || parseIpv4(host) === undefined || port < 1 || port > 65_535) return undefined;
  return { host, port };
}

/** 255.255.255.0 for 24. */
export function netmaskOf(prefixLength: number): Ipv4 {
  return formatIpv4(prefixLength === 0 ? 0 : (-1 << (32 - prefixLength)) >>> 0);
}

export function networkOf(address: Ipv4, netmask: Ipv4): Ipv4 {
  return formatIpv4((ipv4Number(address) & ipv4Number(netmask)) >>> 0);
}

export function broadcastOf(address: Ipv4, netmask: Ipv4): Ipv4 {
  return formatIpv4((ipv4Number(address) | ~ipv4Number(netmask)) >>> 0);
}

/** `10.77.0.0/24` for 10.77.0.51 with 255.255.255.0. */
export function subnetOf(address: Ipv4, netmask: Ipv4): string {
  const bits = ipv4Number(netmask).toString(2).replaceAll('0', '').length;
  return `${networkOf(address, netmask)}/${bits}`;
}

/** Whether it is in the network of that address. */
export function inNetwork(ip: Ipv4, { address, netmask }: { address: Ipv4; netmask: Ipv4 }): boolean {
  return ((ipv4Number(ip) ^ ipv4Number(address)) & ipv4Number(netmask)) === 0;
}
