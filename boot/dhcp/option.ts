import dhcpOptions from 'dhcp/lib/options.js';

// The DHCP options we read or write, by RFC 2132 number where no other is named.
export const option = {
  pad: 0,
  netmask: 1,
  router: 3,
  hostname: 12,
  broadcast: 28,
  requestedAddress: 50,
  leaseSeconds: 51,
  overload: 52,
  messageType: 53,
  serverId: 54,
  parameterList: 55,
  message: 56,
  maxMessageSize: 57,
  renewalSeconds: 58,
  rebindingSeconds: 59,
  vendorClass: 60,
  clientId: 61,
  tftpServer: 66,
  bootFile: 67,
  userClass: 77, // RFC 3004; iPXE writes plain text, without the length bytes
  relayAgent: 82, // RFC 3046
  clientArch: 93, // RFC 4578
  clientInterface: 94, // RFC 4578
  clientMachine: 97, // RFC 4578
  ipxe: 175, // iPXE's own, encapsulated
  end: 255,
} as const;

export const messageTypes = {
  1: 'discover',
  2: 'offer',
  3: 'request',
  4: 'decline',
  5: 'ack',
  6: 'nak',
  7: 'release',
  8: 'inform',
} as const;

export type MessageType = (typeof messageTypes)[keyof typeof messageTypes];

const numbers = new Map(Object.entries(messageTypes).map(([number, name]) => [name, Number(number)]));
const names = new Map(Object.entries(messageTypes).map(([number, name]) => [Number(number), name]));

export function messageTypeNumber(type: MessageType): number {
  return numbers.get(type) ?? 0;
}

export function messageTypeName(number: number): MessageType | undefined {
  return names.get(number);
}

/** What a server says. */
export function isReply(type: MessageType): boolean {
  return type === 'offer' || type === 'ack' || type === 'nak';
}

// RFC 3004 and later, which the `dhcp` package's table does not know.
const newerNames: Record<number, string> = {
  77: 'User Class',
  82: 'Relay Agent Information',
  93: 'Client System Architecture',
  94: 'Client Network Interface',
  97: 'Client Machine Identifier',
  175: 'iPXE',
};

/** What a person calls the option: `67 Bootfile Name`. The names are the `dhcp` package's. */
export function optionName(number: number): string {
  const name = dhcpOptions.opts[String(number)]?.name ?? newerNames[number];
  return name === undefined ? String(number) : `${number} ${name}`;
}
