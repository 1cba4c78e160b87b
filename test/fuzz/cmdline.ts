import { musterWords, parseControllerKeys } from '../../protocol/boot/cmdline.ts';
import { parseMac } from '../../protocol/mac.ts';
import { type Random, mutated } from './random.ts';

const cmdline = [
  'console=ttyAMA0 muster.http=http://10.77.0.1:8480 muster.api=10.77.0.1:8443 muster.udp=10.77.0.1:5670',
  `muster.fp=${'ab'.repeat(32)} muster.token=${'cd'.repeat(32)} muster.root=${'ef'.repeat(32)}`,
].join(' ');

/** Kernel command lines, mutated: read whole, or refused in a sentence that names the key. Returns how many were read. */
export function fuzzCmdline(count: number, random: Random): number {
  let read = 0;
  for (let round = 0; round < count; round++) {
    const text = mutated(Buffer.from(cmdline), random).toString('latin1');
    parseMac(text.slice(0, random.integer(30)));
    try {
      const { api, udp, fingerprint } = parseControllerKeys(musterWords(text));
      for (const { port } of [api, udp])
        if (!(port >= 1 && port <= 65_535)) throw new TypeError(`round ${round}: port ${port} from ${text}`);
      if (!/^[0-9a-f]{64}$/.test(fingerprint)) throw new TypeError(`round ${round}: ${fingerprint} from ${text}`);
      read++;
    } catch (error) {
      if (!(error instanceof Error) || !error.message.startsWith("cannot read the kernel's command line: muster."))
        throw error;
    }
  }
  return read;
}
