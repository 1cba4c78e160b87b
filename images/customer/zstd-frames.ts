/**
 * A zstd stream cut at the ends of its frames. RFC 8878, 3.1: frames one after another are the contents one after another,
 * skippable ones are nothing. `zstd:chunked` layers, pzstd and `cat a.zst b.zst` have them. Node's decompressor takes what
 * follows a frame within one write for rubbish and ends without a word, and goes on with the next frame in the next write.
 *
 *     frame      28 b5 2f fd │ descriptor │ window │ dictionary │ content size │ blocks … │ checksum
 *     block      3 bytes, little endian: last (1 bit), type (2 bits: raw, run, compressed), size (21 bits)
 *     skippable  5x 2a 4d 18 │ size (4 bytes) │ …
 */
import { Transform } from 'node:stream';

/** What we wait for: a frame's magic number, a skippable frame's size, a descriptor, a block's header, or the end of bytes. */
type State = 'magic' | 'size' | 'descriptor' | 'block';

export const skippableMagic = /^5[0-9a-f]2a4d18$/;
export const frameMagic = '28b52ffd';

export class ZstdFrames extends Transform {
  #state: State = 'magic';
  /** Of what the state waits for, so far. */
  #head = Buffer.alloc(0);
  /** How many bytes pass, or are dropped, before the state's own. */
  #pass = 0;
  #drops = false;
  #checksum = false;
  #endsFrame = false;
  /** Of the frame, not yet written. */
  readonly #pending: Buffer[] = [];

  // oxlint-disable-next-line max-params -- Node's signature
  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    try {
      for (let at = 0; at < chunk.length;) at = this.#step(chunk, at);
      this.#write();
      done();
    } catch (error) {
      done(error instanceof Error ? error : new Error(String(error)));
    }
  }

  override _flush(done: (error?: Error | null) => void): void {
    const whole = this.#state === 'magic' && this.#pass === 0 && this.#head.length === 0;
    done(whole ? null : new Error('it ends within a zstd frame'));
  }

  #step(chunk: Buffer, at: number): number {
    if (this.#pass > 0) {
      const bytes = Math.min(this.#pass, chunk.length - at);
      if (!this.#drops) this.#pending.push(chunk.subarray(at, at + bytes));
      this.#pass -= bytes;
      if (this.#pass === 0) this.#passed();
      return at + bytes;
    }
    const wanted = this.#state === 'block' ? 3 : this.#state === 'descriptor' ? 1 : 4;
    const bytes = Math.min(wanted - this.#head.length, chunk.length - at);
    this.#head = Buffer.concat([this.#head, chunk.subarray(at, at + bytes)]);
    if (this.#head.length === wanted) {
      const head = this.#head;
      this.#head = Buffer.alloc(0);
      this.#decide(head);
    }
    return at + bytes;
  }

  #decide(head: Buffer): void {
    if (this.#state === 'size') {
      this.#drops = true;
      this.#wait('magic', head.readUInt32LE());
      return;
    }
    if (this.#state === 'magic' && skippableMagic.test(head.toString('hex'))) {
      this.#state = 'size';
      return;
    }
    this.#drops = false;
    this.#pending.push(head);
    if (this.#state === 'magic') {
      if (head.toString('hex') !== frameMagic)
        throw new Error(`after a zstd frame come the bytes ${head.toString('hex')}, want another frame or the end`);
      this.#state = 'descriptor';
    } else if (this.#state === 'descriptor') {
      const [descriptor = 0] = head;
      const single = (descriptor & 0x20) !== 0;
      this.#checksum = (descriptor & 0x04) !== 0;
      const dictionary = [0, 1, 2, 4][descriptor & 0x03] ?? 0;
      const contentSize = [single ? 1 : 0, 2, 4, 8][descriptor >> 6] ?? 0;
      this.#wait('block', (single ? 0 : 1) + dictionary + contentSize);
    } else {
      const word = head.readUIntLE(0, 3);
      this.#endsFrame = (word & 1) !== 0;
      const run = ((word >> 1) & 3) === 1;
      this.#wait(
        this.#endsFrame ? 'magic' : 'block',
        (run ? 1 : word >> 3) + (this.#endsFrame && this.#checksum ? 4 : 0),
      );
    }
  }

  #wait(next: State, pass: number): void {
    this.#state = next;
    this.#pass = pass;
    if (pass === 0) this.#passed();
  }

  #passed(): void {
    this.#drops = false;
    if (!this.#endsFrame) return;
    this.#endsFrame = false;
    this.#write();
  }

  /** One write never holds more than one frame. */
  #write(): void {
    if (this.#pending.length === 0) return;
    this.push(Buffer.concat(this.#pending));
    this.#pending.length = 0;
  }
}
