import { createHmac } from 'node:crypto';
import { type Random, mutated } from './random.ts';

const signatureBytes = 32;

/** The body mutated and signed anew with the right key: what a board does that was taken over, or has a bug. */
export function signedGarbage(signed: Uint8Array, { key, random }: { key: Uint8Array; random: Random }): Buffer {
  const body = mutated(signed.subarray(0, signed.length - signatureBytes), random);
  // Most of what is cut or shifted in the head fails before the fields are read: the head is often put back.
  const whole = random.once(4) ? body : Buffer.concat([signed.subarray(0, 48), body.subarray(48)]);
  // A sequence far up would only silence its own sender for the rest of the session, and end the test early.
  if (whole.length >= 32) signed.slice(24, 32).forEach((byte, at) => whole.writeUInt8(byte, 24 + at));
  return Buffer.concat([whole, createHmac('sha256', key).update(whole).digest()]);
}
