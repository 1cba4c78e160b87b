// An answer that lists thousands of things becomes bytes in slices: 10,000 instances are two megabytes, and at once some 40 ms of
// the event loop. Handlers answer with the whole list, as with any other.
import type { FastifyInstance } from 'fastify';
import { inSlices, type Sliced, type SliceOptions } from '../../../inventory/slices.ts';

/** So many become bytes between two looks at the clock; a shorter list is no work worth cutting. */
const itemsAtOnce = 32;

export function answerInSlices(app: FastifyInstance, turns?: SliceOptions): void {
  // oxlint-disable-next-line max-params -- the server calls it so
  app.addHook('preSerialization', async (_request, reply, payload) => {
    const name = nameOfLongList(payload);
    const serialize = reply.getSerializationFunction(reply.statusCode.toString());
    if (!isObject(payload) || name === undefined || serialize === undefined) return payload;
    const bytes = await inSlices(bytesOf({ answer: payload, name, serialize }), turns);
    // The server sends bytes as they are; its types know of texts only.
    reply.serializer(() => bytes as unknown as string);
    return payload;
  });
}

/** By the answer's own serializer, which needs all fields each time: what stands around the list is cut off again. */
export function* bytesOf({
  answer,
  name,
  serialize,
}: {
  answer: Readonly<Record<string, unknown>>;
  /** Of the field that is the long list. */
  name: string;
  serialize: (answer: Readonly<Record<string, unknown>>) => string;
}): Sliced<Buffer> {
  const list: unknown = answer[name];
  const items: readonly unknown[] = Array.isArray(list) ? list : [];
  const empty = `"${name}":[]`;
  const around = serialize({ ...answer, [name]: [] });
  const at = around.indexOf(empty) + empty.length - 1;
  const [before, after] = [around.slice(0, at), around.slice(at)];
  const parts = [Buffer.from(before)];
  for (let from = 0; from < items.length; from += itemsAtOnce) {
    const whole = serialize({ ...answer, [name]: items.slice(from, from + itemsAtOnce) });
    const some = whole.slice(before.length, whole.length - after.length);
    parts.push(Buffer.from(from === 0 ? some : `,${some}`));
    yield;
  }
  return Buffer.concat([...parts, Buffer.from(after)]);
}

/** Undefined where there is none, or more than one. */
function nameOfLongList(answer: unknown): string | undefined {
  if (!isObject(answer)) return undefined;
  const long = Object.keys(answer).filter((name) => {
    const value = answer[name];
    return Array.isArray(value) && value.length > itemsAtOnce;
  });
  return long.length === 1 ? long[0] : undefined;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
