// What a node is told on its kernel's command line: where the controller is, how to know it, and the token to join with.
import { sha256Pattern } from '../protocol/names.ts';

export interface Endpoint {
  host: string;
  port: number;
}

export interface ControllerKeys {
  /** TLS, for join, desired state, reports and images. */
  api: Endpoint;
  /** UDP, for heartbeats and permits. */
  udp: Endpoint;
  /** sha256 of the controller's DER certificate, hex. */
  fingerprint: string;
  /** Good for one join; undefined where an agent only continues a session. */
  token: string | undefined;
}

const sha256 = new RegExp(sha256Pattern);

/** The words `muster.<key>=<value>` by key; of a key that stands twice the last counts, as for the kernel. */
export function musterWords(cmdline: string): Map<string, string> {
  const words = new Map<string, string>();
  for (const word of cmdline.split(/\s+/)) {
    const [, key, value] = /^muster\.([a-z]+)=(.*)$/.exec(word) ?? [];
    if (key !== undefined && value !== undefined) words.set(key, value);
  }
  return words;
}

/** Throws one error that names every key that is missing or wrong. */
export function parseControllerKeys(words: ReadonlyMap<string, string>): ControllerKeys {
  const problems: string[] = [];
  function read<T>(key: string, want: string, parse: (text: string) => T | undefined): T | undefined {
    const text = words.get(key);
    const value = text === undefined ? undefined : parse(text);
    if (value === undefined)
      problems.push(`muster.${key} is ${text === undefined ? 'missing' : JSON.stringify(text)}, want ${want}`);
    return value;
  }
  const api = read('api', 'address:port', parseEndpoint);
  const udp = read('udp', 'address:port', parseEndpoint);
  const fingerprint = read('fp', '64 hex digits', parseHash);
  const token = words.has('token') ? read('token', '64 hex digits', parseHash) : undefined;
  if (api === undefined || udp === undefined || fingerprint === undefined || problems.length > 0)
    throw new Error(`cannot read the kernel's command line: ${problems.join('; ')}`);
  return { api, udp, fingerprint, token };
}

function parseHash(text: string): string | undefined {
  const hash = text.toLowerCase();
  return sha256.test(hash) ? hash : undefined;
}

/** IPv4 only, as everything that a board does before it has an operating system. */
export function parseEndpoint(text: string): Endpoint | undefined {
  const [, host, digits] = /^((?:\d{1,3}\.){3}\d{1,3}):(\d{1,5})$/.exec(text) ?? [];
  const port = Number(digits);
  if (host === undefined || port < 1 || port > 65_535) return undefined;
  return host.split('.').every((octet) => Number(octet) <= 255) ? { host, port } : undefined;
}
