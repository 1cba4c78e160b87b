// What Muster asks of whatever switches a board's power. A driver knows nothing of orders and nodes' states: it
// switches outlets, and reads back whether they are off.
import type { Mac } from '../../protocol/mac.ts';

/** A board that an outlet feeds, as whoever switches it may want to know it. */
export interface Board {
  mac: Mac;
  name: string;
  slot: number;
}

export interface SwitchRequest {
  /** As the configuration names them: an index of the PDU's table, `3` or `1.3`. */
  outlets: readonly string[];
  /** All boards that these outlets feed. */
  boards: readonly Board[];
  /** The kill order behind it; null where an operator asked. */
  order: number | null;
}

export interface PowerDriver {
  /** Resolves when the PDU has taken the command, which is not yet proof of anything. Throws one sentence. */
  turn(state: 'on' | 'off', request: SwitchRequest): Promise<void>;
  /** Asks the PDU whether every one of the outlets is off. Throws one sentence where it does not say. */
  isOff(request: SwitchRequest): Promise<boolean>;
}
