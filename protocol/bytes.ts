// Reading and writing the fixed binary layouts of the roll call. Big endian, lengths checked before every read.

export class MalformedError extends Error {}

export class ByteReader {
  readonly #bytes: Buffer;
  readonly #what: string;
  #at = 0;

  constructor(what: string, bytes: Uint8Array) {
    this.#what = what;
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  #take(length: number): number {
    const at = this.#at;
    if (at + length > this.#bytes.length)
      throw new MalformedError(`cannot parse ${this.#what}: ${this.#bytes.length} bytes, want at least ${at + length}`);
    this.#at += length;
    return at;
  }

  u8(): number {
    return this.#bytes.readUInt8(this.#take(1));
  }
  u16(): number {
    return this.#bytes.readUInt16BE(this.#take(2));
  }
  u32(): number {
    return this.#bytes.readUInt32BE(this.#take(4));
  }
  u64(): bigint {
    return this.#bytes.readBigUInt64BE(this.#take(8));
  }
  bytes(length: number): Buffer {
    const at = this.#take(length);
    return this.#bytes.subarray(at, at + length);
  }
  /** One length byte, then ASCII. */
  text(): string {
    return this.bytes(this.u8()).toString('latin1');
  }
}

export class ByteWriter {
  readonly #bytes: Buffer;
  #at = 0;

  /** Writes over what is there; throws RangeError where it has no room. */
  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  u8(value: number): this {
    this.#at = this.#bytes.writeUInt8(value, this.#at);
    return this;
  }
  u16(value: number): this {
    this.#at = this.#bytes.writeUInt16BE(value, this.#at);
    return this;
  }
  u32(value: number): this {
    this.#at = this.#bytes.writeUInt32BE(value, this.#at);
    return this;
  }
  u64(value: bigint): this {
    this.#at = this.#bytes.writeBigUInt64BE(value, this.#at);
    return this;
  }
  bytes(value: Uint8Array): this {
    this.#bytes.set(value, this.#at);
    this.#at += value.length;
    return this;
  }
  text(value: string): this {
    this.u8(value.length);
    this.#at += this.#bytes.write(value, this.#at, 'latin1');
    return this;
  }
  /** What was written, in the writer's own memory. */
  finish(): Buffer {
    return this.#bytes.subarray(0, this.#at);
  }
}
