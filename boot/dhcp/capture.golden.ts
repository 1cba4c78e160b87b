import { answer } from './answer.ts';
import { captures, capturedRequests } from './capture.ts';
import { decodePacket } from './packet.ts';
import { describeAnswer, testWorld } from './world.fixture.ts';

/** Our decision on each captured packet, as text. The dnsmasq of the captures had 10.77.0.1 too. */
export function decisions(): string {
  const lines: string[] = [];
  for (const name of captures) {
    // As wide as the range of that dnsmasq, so that the addresses boards ask for by number exist.
    const world = testWorld({ range: { from: '10.77.0.50', to: '10.77.0.99' } });
    let nowMs = 1_000_000;
    lines.push(name);
    for (const bytes of capturedRequests(name)) {
      nowMs += 1000;
      const packet = decodePacket(bytes);
      if ('refused' in packet) {
        lines.push(`  refused: ${packet.refused}`);
        continue;
      }
      const decided = answer(packet, { world, nowMs });
      for (const lease of decided.leases) world.table.put(lease);
      lines.push(`  ${packet.type} from ${describeAnswer(decided)}`);
    }
  }
  return `${lines.join('\n')}\n`;
}

if (import.meta.main) process.stdout.write(decisions());
