// A disk that runs full under a controller: changes are refused, orders and removals are stored in the reserve, nothing is
// half-kept, a controller starts there, and room is all it needs.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readdir, rm, stat, statfs, writeFile } from 'node:fs/promises';
import { request, type IncomingMessage } from 'node:http';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import { Type } from 'typebox';
import { ApiError, connect } from '../../cli/api/api.ts';
import { Customer } from '../../protocol/api/customers.ts';
import { KillOrder } from '../../protocol/api/orders.ts';
import { Status } from '../../protocol/api/status.ts';
import { ControllerProcess } from '../qemu/controller-process.ts';
import { until } from '../until.ts';
import { cacheDir, runningNetwork, scratch } from './attempt.ts';

/** A controller whose state is on a disk of 16 MiB, and what fills that and looks at it. */
async function controllerOnSmallDisk() {
  await using stack = new AsyncDisposableStack();
  const state = stack.use(await scratch());
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=16m', 'muster-failures', state.path]);
  stack.defer(() => void execFileSync('umount', ['--lazy', state.path]));
  const log = stack.use(await scratch());
  const network = stack.use(await runningNetwork({ boards: 0 }));
  const stateDir = join(state.path, 'state');
  const logPath = join(log.path, 'log');
  const controller = stack.use(new ControllerProcess({ network, stateDir, cacheDir, logPath, flags: [] }));
  await controller.start();
  const ballast = join(state.path, 'ballast');
  const reserveBytes = async () => (await stat(join(stateDir, 'reserve')).catch(() => undefined))?.size;
  const running = stack.move();
  return {
    controller,
    fill: async (leaveBytes: number) => {
      const { bavail, bsize } = await statfs(state.path);
      // The controller writes meanwhile (an order's audit entries follow it by moments): then the room is gone sooner.
      await writeFile(ballast, Buffer.alloc(Math.max(0, bavail * bsize - leaveBytes))).catch((error: unknown) => {
        if (!(error instanceof Error && 'code' in error && error.code === 'ENOSPC')) throw error;
      });
    },
    makeRoom: () => rm(ballast),
    hasReserve: () => until('the reserve is 1 MiB', async () => (await reserveBytes()) === 2 ** 20, { everyMs: 50 }),
    incoming: () => readdir(join(stateDir, 'images', 'incoming')),
    customers: async () => {
      const answer = await controller.get('/v1/customers', Type.Object({ customers: Type.Array(Customer) }));
      return answer.customers.map(({ name }) => name).toSorted();
    },
    orders: async () => (await controller.get('/v1/kill', Type.Object({ orders: Type.Array(KillOrder) }))).orders,
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}

/** Adds customers until one is refused; gives the refusal, and adds the others to `stored`. */
async function addUntilRefused(controller: ControllerProcess, stored: string[]): Promise<string> {
  for (let i = 0; i < 2_000; i++) {
    const name = `c${i}`;
    try {
      await controller.api('POST /v1/customers', { name });
      stored.push(name);
    } catch (error) {
      return String(error);
    }
  }
  return '';
}

/** A small archive, sent whole. */
async function upload(controller: ControllerProcess): Promise<{ status: number; said: string }> {
  const sending = request(`${controller.url}/v1/images?name=big`, {
    method: 'POST',
    agent: false,
    headers: { authorization: `Bearer ${await controller.token()}`, 'content-type': 'application/octet-stream' },
  });
  sending.end(Buffer.alloc(2 ** 20));
  const answer = await new Promise<IncomingMessage>((resolve, reject) => {
    sending.once('response', resolve).once('error', reject);
  });
  return { status: answer.statusCode ?? 0, said: await text(answer) };
}

/** There is room, and an archive needs more: its sender reads why, though it is not done sending. */
async function uploadTooMuch(controller: ControllerProcess): Promise<void> {
  const token = await controller.token();
  const api = connect({
    url: controller.url,
    token: () => ({ token, from: 'the test' }),
    signal: AbortSignal.timeout(60_000),
  });
  const piece = Buffer.alloc(2 ** 18);
  const stream = Readable.from(Array.from({ length: 400 }, () => piece));
  await assert.rejects(
    api.ask({ method: 'POST', path: '/v1/images', query: { name: 'huge' }, stream }),
    // Whoever else stores something in that moment finds the disk full first.
    (error) => error instanceof ApiError && error.status === 507 && /no room for it|disk is full/.test(error.message),
  );
}

test(
  'a full disk: changes are refused in one sentence, orders and removals are stored, room is all that it needs',
  { timeout: 300_000 },
  async () => {
    await using small = await controllerOnSmallDisk();
    const { controller, customers, orders } = small;
    await controller.api('POST /v1/customers', { name: 'first' });
    await controller.api('POST /v1/customers', { name: 'second' });
    const stored = ['first'];
    await small.hasReserve();
    await small.fill(64 * 1024);
    const refusal = await addUntilRefused(controller, stored);
    const sentence = /: 507 \{.*"detail":"[^"]*the disk is full; nothing was changed, make room and try again[^"]*"/;
    assert.match(refusal, sentence);
    await controller.api('POST /v1/kill', { customer: 'first', reason: 'r' });
    await controller.api('DELETE /v1/customers/second');
    const [order] = await orders();
    assert.deepEqual([order?.liftedAt, order?.stored], [null, true], 'it stands, on disk');
    const { problems } = await controller.get('/v1/status', Status);
    assert.match(problems.join('\n'), /the disk is full: .* everything else is refused until 2 MiB are free/);
    assert.deepEqual(await customers(), stored.toSorted());
    const refused = await upload(controller);
    assert.equal(refused.status, 507);
    assert.match(refused.said, /the disk is full/);
    assert.deepEqual(await small.incoming(), []);

    await small.makeRoom();
    await controller.api('POST /v1/customers', { name: 'last' });
    stored.push('last');
    await small.hasReserve();
    assert.deepEqual((await controller.get('/v1/status', Status)).problems, []);
    await uploadTooMuch(controller);
    assert.deepEqual(await small.incoming(), []);
    await small.hasReserve();

    await small.fill(0);
    await controller.kill9();
    await controller.start();
    await controller.api('POST /v1/lift', { customer: 'first', reason: '' });
    await small.makeRoom();
    assert.deepEqual(await customers(), stored.toSorted());
    assert.deepEqual(
      (await orders()).map(({ number, liftedAt, stored: isStored }) => [number, liftedAt !== null, isStored]),
      [[1, true, true]],
    );
    await controller.stop();
  },
);
