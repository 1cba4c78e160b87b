// A PDU for tests: Debian's snmpd with one writable integer for each outlet, 1 for on and 2 for off, which a script keeps
// in files. It speaks version 1 and 2c (community `private`) and version 3 (user `muster`, SHA-256, AES).
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import type { SnmpPdu } from './configuration.ts';
import { snmpDriver } from './snmp.ts';

export const controlOid = '1.3.6.1.4.1.318.1.1.12.3.3.1.1.4';
export const v3 = {
  version: '3' as const,
  user: 'muster',
  authProtocol: 'sha256' as const,
  authKey: 'an authentication key',
  privProtocol: 'aes' as const,
  privKey: 'a key for privacy',
};

export interface Pdu extends AsyncDisposable {
  configuration: SnmpPdu;
  state(outlet: number): string;
  /** As somebody does who presses the button. */
  press(outlet: number, state: 'on' | 'off'): void;
  /** What `snmpd` said. */
  said(): string;
}

/** `pass` of snmpd.conf(5): asked with -g OID, or -s OID TYPE VALUE. An outlet that is `stuck` takes the command only. */
const script = (directory: string) => `#!/bin/sh
outlet=\${2##*.}
file=${directory}/outlet.$outlet
case $2 in .${controlOid}.*) ;; *) exit 0 ;; esac
[ -f "$file" ] || exit 0
case $1 in
  -g) printf '%s\\ninteger\\n%s\\n' "$2" "$(cat "$file")" ;;
  -s) if [ "$3" != integer ]; then echo wrong-type; elif [ ! -e "$file.stuck" ]; then echo "$4" >"$file"; fi ;;
esac
`;

/** Serves `outlets` outlets at `address`, port 161. Needs root, and a network namespace of its own. */
export async function startPdu(address: string, outlets: number): Promise<Pdu> {
  const directory = `/run/pdu-${address}`;
  mkdirSync(directory, { recursive: true });
  const file = (outlet: number) => join(directory, `outlet.${outlet}`);
  for (let outlet = 1; outlet <= outlets; outlet++) writeFileSync(file(outlet), '1\n');
  writeFileSync(join(directory, 'pass.sh'), script(directory), { mode: 0o755 });
  const { user, authKey, privKey } = v3;
  const settings = [
    'rwcommunity private',
    `createUser ${user} SHA-256 "${authKey}" AES "${privKey}"`,
    `rwuser ${user} priv`,
    `pass .${controlOid} /bin/sh ${join(directory, 'pass.sh')}`,
  ];
  writeFileSync(join(directory, 'snmpd.conf'), `${settings.join('\n')}\n`);
  const program = spawn(
    '/usr/sbin/snmpd',
    ['-f', '-Lo', '-C', '-c', join(directory, 'snmpd.conf'), `udp:${address}:161`],
    // Its memory of itself (SNMP's boot counter) goes with the directory.
    {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', MIBS: '', SNMP_PERSISTENT_DIR: directory },
    },
  );
  let text = '';
  program.stdout.on('data', (chunk) => (text += String(chunk)));
  program.stderr.on('data', (chunk) => (text += String(chunk)));
  const configuration = {
    kind: 'snmp' as const,
    host: address,
    port: 161,
    security: { version: '2c' as const, community: 'private' },
    controlOid,
    statusOid: controlOid,
    off: 2,
    on: 1,
    statusOff: 2,
    timeoutMs: 5_000,
  };
  const pdu: Pdu = {
    configuration,
    state: (outlet) => readFileSync(file(outlet), 'utf8').trim(),
    press: (outlet, state) => writeFileSync(file(outlet), state === 'on' ? '1\n' : '2\n'),
    said: () => text,
    [Symbol.asyncDispose]: async () => {
      if (program.exitCode === null) {
        program.kill('SIGTERM');
        await once(program, 'exit');
      }
      rmSync(directory, { recursive: true });
    },
  };
  const driver = snmpDriver({ ...configuration, timeoutMs: 300 });
  for (let tries = 0; ; tries++) {
    if (program.exitCode !== null) throw new Error(`snmpd ended with ${program.exitCode}: ${text}`);
    try {
      await driver.isOff({ outlets: ['1'], boards: [], order: null });
      return pdu;
    } catch (error) {
      if (tries < 50) await pause(100);
      else {
        await pdu[Symbol.asyncDispose]();
        throw new Error(`snmpd does not answer: ${text}`, { cause: error });
      }
    }
  }
}
