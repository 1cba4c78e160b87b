// The secrets that a controller makes for itself at its first start, in files that only root can read.
import { createHash, X509Certificate } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import ssh2 from 'ssh2';

export interface Credentials {
  /** The TLS certificate that agents pin, PEM. */
  certificate: string;
  key: string;
  /** SHA-256 of the certificate's DER, hex. */
  fingerprint: string;
  /** OpenSSH private key for `node-ssh`. */
  sshPrivateKey: string;
  /** The blob of the public key as `authorized_keys` has it, base64. */
  sshPublicKey: string;
  /** What operators send as a bearer token. */
  operatorToken: string;
}

/**
 * `address`: the rack's, for a certificate that is made now. What only a first start needs is loaded only then: starting fast is a safety property
 * here.
 */
export async function loadCredentials(
  directory: string,
  { random, address }: { random: (bytes: number) => Buffer; address: string },
): Promise<Credentials> {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const file = (name: string) => join(directory, name);
  if (!existsSync(file('tls-certificate.pem')) || !existsSync(file('tls-key.pem'))) {
    // Boards have no clock before they are up, so the certificate is valid from long ago; the pin is what is trusted.
    const { generate } = await import('selfsigned');
    const made = await generate([{ name: 'commonName', value: 'muster' }], {
      keyType: 'ec',
      curve: 'P-256',
      algorithm: 'sha256',
      notBeforeDate: new Date('2000-01-01'),
      notAfterDate: new Date('2100-01-01'),
      extensions: [
        { name: 'basicConstraints', cA: false, critical: true },
        { name: 'keyUsage', digitalSignature: true, keyEncipherment: true, critical: true },
        { name: 'extKeyUsage', serverAuth: true, clientAuth: true },
        // Boards go by the pin; who pushes images trusts the file, and its client wants the name that it asked for in it.
        {
          name: 'subjectAltName',
          altNames: [
            { type: 2, value: 'muster' },
            { type: 7, ip: address },
          ],
        },
      ],
    });
    write(file('tls-key.pem'), made.private);
    write(file('tls-certificate.pem'), made.cert);
  }
  if (!existsSync(file('ssh-key'))) write(file('ssh-key'), newSshKeys({ comment: 'muster' }).private);
  // An empty one, as a full disk or an editor leaves it, would let nobody in as root.
  if (!existsSync(file('operator-token')) || readFileSync(file('operator-token'), 'utf8').trim() === '')
    write(file('operator-token'), random(24).toString('hex') + '\n');
  const certificate = readFileSync(file('tls-certificate.pem'), 'utf8');
  const sshPrivateKey = readFileSync(file('ssh-key'), 'utf8');
  const parsed = ssh2.utils.parseKey(sshPrivateKey);
  if (parsed instanceof Error)
    throw new Error(
      `cannot read ${file('ssh-key')}: remove it, and a new one is made for boards that boot from then on`,
      {
        cause: parsed,
      },
    );
  const operatorToken = readFileSync(file('operator-token'), 'utf8').trim();
  if (!/^[!-~]{1,200}$/.test(operatorToken))
    throw new Error(
      `cannot use ${file('operator-token')}: it holds ${operatorToken.length} characters, want at most 200 of visible ASCII in one line; remove it, and a new one is made`,
    );
  return {
    certificate,
    key: readFileSync(file('tls-key.pem'), 'utf8'),
    fingerprint: createHash('sha256').update(new X509Certificate(certificate).raw).digest('hex'),
    sshPrivateKey,
    sshPublicKey: parsed.getPublicSSH().toString('base64'),
    operatorToken,
  };
}

/** The package loses a zero at the front of a public key: one pair in 256 cannot be read again (mscdex/ssh2#1390). */
export function newSshKeys({ comment = '' }: { comment?: string } = {}): { private: string; public: string } {
  for (let attempt = 1; attempt <= 20; attempt++) {
    const pair = ssh2.utils.generateKeyPairSync('ed25519', { comment });
    if (![pair.private, pair.public].some((text) => ssh2.utils.parseKey(text) instanceof Error)) return pair;
  }
  throw new Error('cannot make an SSH key: none of 20 could be read again, want one');
}

/** Whole or not at all: a crash between the two files of a pair makes a new pair at the next start. */
function write(path: string, text: string): void {
  writeFileSync(`${path}.new`, text, { mode: 0o600, flush: true });
  renameSync(`${path}.new`, path);
}
