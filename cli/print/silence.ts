// What `onSilence: hold` means, said wherever such a customer is shown.
import { printable } from '../../protocol/printable.ts';

/** A sentence for the customers that hold; empty where there are none. */
export function holdNote(holding: readonly string[]): string {
  const names = holding.slice(0, 6).map(printable).join(', ');
  const more = holding.length > 6 ? ` and ${holding.length - 6} more` : '';
  return holding.length === 0
    ? ''
    : `hold on silence: ${names}${more}; on a node that hears no controller they run on, and no bound holds there\n`;
}
