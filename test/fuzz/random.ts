// Randomness that can be had again: a failing test prints its seed, and the seed makes the same inputs.

export interface Random {
  /** From 0 to `below - 1`. */
  integer(below: number): number;
  bytes(length: number): Buffer;
  pick<T>(from: readonly [T, ...T[]]): T;
  /** True once in `times`. */
  once(times: number): boolean;
}

/** Marsaglia's xorshift32. */
export function seededRandom(seed: number): Random {
  // Zero is the one state that xorshift never leaves. Small seeds are spread first, or they begin alike.
  let state = Math.imul((seed >>> 0) + 1, 0x9e3779b1) >>> 0 || 1;
  const next = (): number => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    state >>>= 0;
    return state;
  };
  const random: Random = {
    integer: (below) => next() % below,
    bytes: (length) => {
      const bytes = Buffer.allocUnsafe(length);
      for (let at = 0; at < length; at++) bytes[at] = next() >>> 24;
      return bytes;
    },
    pick: (from) => from[next() % from.length] ?? from[0],
    once: (times) => next() % times === 0,
  };
  return random;
}

/** What a hostile or broken wire makes of a packet: flipped, cut, lengthened, or with a run of it overwritten. */
export function mutated(packet: Uint8Array, random: Random): Buffer {
  let bytes = Buffer.from(packet);
  const changes = 1 + random.integer(4);
  for (let change = 0; change < changes; change++) {
    const at = bytes.length === 0 ? 0 : random.integer(bytes.length);
    switch (random.integer(6)) {
      case 0:
        if (bytes.length > 0) bytes[at] = (bytes[at] ?? 0) ^ (1 << random.integer(8));
        break;
      case 1:
        if (bytes.length > 0) bytes[at] = random.pick([0, 1, 3, 52, 127, 128, 254, 255]);
        break;
      case 2:
        bytes = bytes.subarray(0, at);
        break;
      case 3:
        bytes = Buffer.concat([bytes, random.bytes(random.integer(64))]);
        break;
      case 4:
        random.bytes(random.integer(8)).copy(bytes, at);
        break;
      default:
        bytes = Buffer.concat([bytes.subarray(0, at), random.bytes(random.integer(8)), bytes.subarray(at)]);
    }
  }
  return bytes.subarray(0, 65_507);
}
