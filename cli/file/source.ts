// YAML (and so JSON) as values that know where they stand: what is wrong with a file is said by line and column. What comes in
// is bounded: its size, its depth, and what aliases may make of it.
import { isAlias, isMap, isScalar, isSeq, LineCounter, parseDocument, type Document } from 'yaml';
import { printable } from '../../protocol/printable.ts';

export interface Place {
  /** From 1. */
  line: number;
  column: number;
}

export type Value = MapValue | ListValue | ScalarValue;
export interface MapValue {
  kind: 'map';
  at: Place;
  entries: Entry[];
}
export interface ListValue {
  kind: 'list';
  at: Place;
  items: Value[];
}
export interface ScalarValue {
  kind: 'scalar';
  at: Place;
  value: string | number | boolean | null;
  /** As it is written: `1.10` is no number of a version. */
  text: string;
}
export interface Entry {
  key: string;
  at: Place;
  value: Value;
}

/** Something that is wrong, or has to be known: where, and what. */
export interface Fault {
  at: Place;
  text: string;
}

/** What a file says, or why it says nothing. */
export type Source = { value: Value } | { faults: Fault[] };

export const fileLimitBytes = 1024 * 1024;
const depthLimit = 32;
/** With everything that aliases repeat. */
const valueLimit = 50_000;

export function readSource(text: string): Source {
  const start = { line: 1, column: 1 };
  if (Buffer.byteLength(text) > fileLimitBytes)
    return {
      faults: [{ at: start, text: `the file is larger than ${fileLimitBytes} bytes: large data belongs in an image` }],
    };
  const lines = new LineCounter();
  // Whether keys are there twice is looked at below: the package compares each with each, minutes for a megabyte of them.
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, uniqueKeys: false, strict: true });
  const placeOf = (offset = 0): Place => {
    const { line, col } = lines.linePos(offset);
    return { line: Math.max(1, line), column: Math.max(1, col) };
  };
  const wrong = [...document.errors, ...document.warnings];
  if (wrong.length > 0)
    return { faults: wrong.slice(0, 20).map(({ pos, message }) => ({ at: placeOf(pos[0]), text: message })) };
  if (document.contents === null) return { faults: [{ at: start, text: 'there is nothing in the file' }] };
  const reader = new Reader(document, placeOf);
  const value = reader.read(document.contents, 0);
  return reader.faults.length > 0 ? { faults: reader.faults.slice(0, 20) } : { value };
}

/** `acme.yaml:12:5: "prot" …` */
export function faultLine(file: string, { at, text }: Fault): string {
  return printable(`${file}:${at.line}:${at.column}: ${text}`);
}

export function entryOf(map: MapValue, key: string): Entry | undefined {
  return map.entries.find((entry) => entry.key === key);
}

class Reader {
  readonly faults: Fault[] = [];
  readonly #document: Document;
  readonly #placeOf: (offset?: number) => Place;
  #count = 0;
  #isGivenUp = false;

  constructor(document: Document, placeOf: (offset?: number) => Place) {
    this.#document = document;
    this.#placeOf = placeOf;
  }

  read(node: unknown, depth: number): Value {
    const at = this.#placeOf(offsetOf(node));
    const nothing: ScalarValue = { kind: 'scalar', at, value: null, text: '' };
    this.#count += 1;
    if (depth > depthLimit || this.#count > valueLimit) {
      if (!this.#isGivenUp)
        this.faults.push({
          at,
          text: depth > depthLimit ? 'it is nested too deep' : 'there is too much in it, with what aliases repeat',
        });
      this.#isGivenUp = true;
      return nothing;
    }
    if (isAlias(node)) {
      const target = node.resolve(this.#document);
      // Where it is used is where somebody looks for it.
      return target === undefined ? nothing : { ...this.read(target, depth + 1), at };
    }
    if (isSeq(node)) return { kind: 'list', at, items: node.items.map((item) => this.read(item, depth + 1)) };
    if (isMap(node)) return { kind: 'map', at, entries: this.#entries(node.items, depth) };
    if (!isScalar(node)) return nothing;
    const { value, source } = node;
    if (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean')
      return { kind: 'scalar', at, value, text: source ?? String(value) };
    return nothing;
  }

  #entries(items: readonly { key: unknown; value: unknown }[], depth: number): Entry[] {
    const own: Entry[] = [];
    const merged: Entry[] = [];
    const names = new Set<string>();
    for (const { key, value } of items) {
      const name = this.read(key, depth + 1);
      if (name.kind !== 'scalar' || name.value === null) {
        if (!this.#isGivenUp) this.faults.push({ at: name.at, text: 'a key is no word' });
        continue;
      }
      const read = value === null ? emptyAfter(name) : this.read(value, depth + 1);
      if (name.text === '<<') merged.push(...this.#merged(read));
      else {
        if (names.has(name.text) && !this.#isGivenUp)
          this.faults.push({ at: name.at, text: `${JSON.stringify(name.text)} is there twice: want each key once` });
        names.add(name.text);
        own.push({ key: name.text, at: name.at, value: read });
      }
    }
    // What stands there itself goes before what is merged in, and the first of those before the others.
    for (const entry of merged) if (!names.has(entry.key) && names.add(entry.key)) own.push(entry);
    return own;
  }

  #merged(value: Value): Entry[] {
    if (value.kind === 'list') return value.items.flatMap((item) => this.#merged(item));
    if (value.kind === 'map') return value.entries;
    this.faults.push({ at: value.at, text: 'only a map can be merged with <<' });
    return [];
  }
}

function emptyAfter({ at }: ScalarValue): ScalarValue {
  return { kind: 'scalar', at, value: null, text: '' };
}

function offsetOf(node: unknown): number | undefined {
  if (typeof node !== 'object' || node === null || !('range' in node)) return undefined;
  const { range } = node;
  const first: unknown = Array.isArray(range) ? range[0] : undefined;
  return typeof first === 'number' ? first : undefined;
}
