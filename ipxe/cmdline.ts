// The kernel command line of a node: how the boot server tells a board's initramfs and agent where they are and whom to
// trust. It passes through iPXE or through U-Boot's shell on its way, so every value is checked to be a plain word.

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

const endpoint = /^\d{1,3}(\.\d{1,3}){3}:\d{1,5}$/;
const sha256 = /^[0-9a-f]{64}$/;

const keys = [
  { key: 'http', field: 'http', want: /^http:\/\/\d{1,3}(\.\d{1,3}){3}:\d{1,5}$/ },
  { key: 'api', field: 'api', want: endpoint },
  { key: 'udp', field: 'udp', want: endpoint },
  { key: 'fp', field: 'fingerprint', want: sha256 },
  { key: 'token', field: 'token', want: /^[0-9a-f]{16,128}$/ },
  { key: 'root', field: 'root', want: sha256 },
  { key: 'ssh', field: 'ssh', want: /^[A-Za-z0-9+/]{40,200}={0,2}$/ },
] as const;

const consolePattern = /^[a-zA-Z]{2,8}[0-9]{0,3}(,[0-9]{1,7}[noe]?[78]?)?$/;

/** arm64 kernels take 2,048 characters; U-Boot's pxelinux cuts off at 512, and refuses what is longer. */
export const maximumCmdlineLength = 511;

/** Throws, naming the key, where a value is not what its key wants. */
export function nodeCmdline(node: NodeCmdline): string {
  const words: string[] = [];
  for (const name of node.console) {
    if (!consolePattern.test(name))
      throw new Error(`cannot write console=: '${name}', want a name like ttyAMA0,115200`);
    words.push(`console=${name}`);
  }
  // A board whose kernel panics comes back from the network instead of standing still.
  words.push('panic=5');
  for (const { key, field, want } of keys) {
    const value = node[field];
    if (!want.test(value)) throw new Error(`cannot write muster.${key}: '${value}', want ${want.source}`);
    words.push(`muster.${key}=${value}`);
  }
  const line = words.join(' ');
  if (line.length > maximumCmdlineLength)
    throw new Error(
      `cannot write kernel command line: ${line.length} characters, want at most ${maximumCmdlineLength}`,
    );
  return line;
}
