// The kernel's command line of a node: how the boot server tells a board's initramfs and agent where the controller is,
// how to know it, and the token to join with. It passes through iPXE or through U-Boot's shell on its way, so every value
// is checked to be a plain word, at both ends by the same table.
import { type Endpoint, parseEndpoint } from '../ipv4.ts';
import { sha256Pattern } from '../names.ts';

/** What a node is told, key by key in `docs/BOOTING.md`. */
export interface NodeCmdline {
  /** `ttyAMA0` or `ttyAML0,115200n8`; the last one becomes /dev/console. */
  console: readonly string[];
  /** `http://10.77.0.1:8480`, where the root image is. */
  http: string;
  /** `10.77.0.1:8443`, the controller's TLS API. */
  api: string;
  /** `10.77.0.1:5670`, where heartbeats go. */
  udp: string;
  /** SHA-256 of the controller's certificate in DER, in hex. */
  fingerprint: string;
  /** The one-time join token of this start of the board, in hex. */
  token: string;
  /** SHA-256 of the root image, in hex. */
  root: string;
  /** The controller's ed25519 public key, base64 of the blob as OpenSSH writes it. */
  ssh: string;
}

/** The part of it that an agent reads. */
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

interface Form<T> {
  want: string;
  parse: (text: string) => T | undefined;
}

const sha256 = new RegExp(sha256Pattern);
const sshKey = /^[A-Za-z0-9+/]{40,200}={0,2}$/;
const endpoint: Form<Endpoint> = { want: 'address:port', parse: parseEndpoint };
const hash: Form<string> = {
  want: '64 hex digits',
  parse: (text) => (sha256.test(text.toLowerCase()) ? text.toLowerCase() : undefined),
};
const url: Form<string> = {
  want: 'http://address:port',
  parse: (text) =>
    text.startsWith('http://') && parseEndpoint(text.slice('http://'.length)) !== undefined ? text : undefined,
};
const key: Form<string> = {
  want: 'an SSH public key in base64',
  parse: (text) => (sshKey.test(text) ? text : undefined),
};

const words = [
  { key: 'http', field: 'http', form: url },
  { key: 'api', field: 'api', form: endpoint },
  { key: 'udp', field: 'udp', form: endpoint },
  { key: 'fp', field: 'fingerprint', form: hash },
  { key: 'token', field: 'token', form: hash },
  { key: 'root', field: 'root', form: hash },
  { key: 'ssh', field: 'ssh', form: key },
] as const;

const consolePattern = /^[a-zA-Z]{2,8}[0-9]{0,3}(,[0-9]{1,7}[noe]?[78]?)?$/;

/** arm64 kernels take 2,048 characters; U-Boot's pxelinux cuts off at 512, and refuses what is longer. */
export const cmdlineLengthLimit = 511;

/** Throws, naming the key, where a value is not what its key wants. */
export function encodeCmdline(node: NodeCmdline): string {
  const line: string[] = [];
  for (const name of node.console) {
    if (!consolePattern.test(name))
      throw new Error(`cannot write console=: '${name}', want a name like ttyAMA0,115200`);
    line.push(`console=${name}`);
  }
  // A board whose kernel panics comes back from the network instead of standing still.
  line.push('panic=5');
  for (const { key: name, field, form } of words) {
    const value = node[field];
    const read = form.parse(value);
    // One way to write a hash: what the shells on the way compare is text.
    if (read === undefined || (typeof read === 'string' && read !== value))
      throw new Error(`cannot write muster.${name}: '${value}', want ${form.want}`);
    line.push(`muster.${name}=${value}`);
  }
  const text = line.join(' ');
  if (text.length > cmdlineLengthLimit)
    throw new Error(`cannot write kernel command line: ${text.length} characters, want at most ${cmdlineLengthLimit}`);
  return text;
}

/** The words `muster.<key>=<value>` by key; of a key that stands twice the last counts, as for the kernel. */
export function musterWords(cmdline: string): Map<string, string> {
  const found = new Map<string, string>();
  for (const word of cmdline.split(/\s+/)) {
    const [, name, value] = /^muster\.([a-z]+)=(.*)$/.exec(word) ?? [];
    if (name !== undefined && value !== undefined) found.set(name, value);
  }
  return found;
}

/** Throws one error that names every key that is missing or wrong. */
export function parseControllerKeys(found: ReadonlyMap<string, string>): ControllerKeys {
  const problems: string[] = [];
  function read<T>(name: string, { want, parse }: Form<T>): T | undefined {
    const text = found.get(name);
    const value = text === undefined ? undefined : parse(text);
    if (value === undefined)
      problems.push(`muster.${name} is ${text === undefined ? 'missing' : JSON.stringify(text)}, want ${want}`);
    return value;
  }
  const api = read('api', endpoint);
  const udp = read('udp', endpoint);
  const fingerprint = read('fp', hash);
  const token = found.has('token') ? read('token', hash) : undefined;
  if (api === undefined || udp === undefined || fingerprint === undefined || problems.length > 0)
    throw new Error(`cannot read the kernel's command line: ${problems.join('; ')}`);
  return { api, udp, fingerprint, token };
}
