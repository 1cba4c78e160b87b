// `muster logs` against the operators' API of a real controller, over a real database of lines.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { controller } from './controller.fixture.ts';

test('logs: all instances together, each in its colour, from a time on, and what comes while it is followed', async (t) => {
  const { muster, inventory, rack, run } = await controller(t);
  await muster('deploy', 'acme/web', '--no-wait', '--image', 'web');
  const now = rack.now();
  const said = (ageMs: number, { instance, text }: { instance: number; text: string }) => ({
    customer: 'acme',
    workload: 'web',
    at: now - ageMs,
    instance: `web-0000000${instance}`,
    stream: 'stdout' as const,
    text,
  });
  inventory.logs.add([
    said(600_000, { instance: 1, text: 'old' }),
    said(60_000, { instance: 1, text: 'one' }),
    said(60_000, { instance: 2, text: 'two \u001b[31m' }),
  ]);
  const texts = (out: string) => out.split('\n').flatMap((line) => /web-\d+ (.*)$/.exec(line)?.[1] ?? []);
  assert.deepEqual(texts((await muster('logs', 'acme/web')).out), ['old', 'one', 'two \u{fffd}[31m']);
  assert.deepEqual(texts((await muster('logs', 'acme/web', '--since', '5m')).out), ['one', 'two \u{fffd}[31m']);
  assert.deepEqual(texts((await muster('logs', 'acme/web', '--since', '5m', '--tail', '1')).out), ['two \u{fffd}[31m']);
  assert.match((await muster('logs', 'acme/web', '--since', 'noon')).err, /--since is "noon", want a duration/);

  const stop = new AbortController();
  let pauses = 0;
  // Lines of one millisecond, more of them than an answer has room for, and none twice.
  const many = Array.from({ length: 2_000 }, (_, at) =>
    said(0, { instance: 1 + (at % 2), text: `line ${at} ${'x'.repeat(900)}` }),
  );
  const followed = await run(['logs', 'acme/web', '-f', '--tail', '1'], {
    colours: true,
    signal: stop.signal,
    sleep: () => {
      pauses += 1;
      if (pauses === 1) inventory.logs.add(many.slice(0, 1_000));
      if (pauses === 2) inventory.logs.add(many.slice(1_000));
      if (pauses === 4) stop.abort();
      return stop.signal.aborted ? Promise.reject(new Error('stopped')) : Promise.resolve();
    },
  });
  const lines = followed.out.trimEnd().split('\n');
  assert.ok(lines[0]?.endsWith(' \u001b[36mweb-00000002\u001b[0m two \u{fffd}[31m'), lines[0]);
  assert.ok(lines[1]?.includes(' \u001b[35mweb-00000001\u001b[0m line 0 x'), lines[1]);
  assert.deepEqual(
    lines.slice(1).map((line) => Number(/ line (\d+) x+$/.exec(line)?.[1])),
    many.map((_, at) => at),
  );
});
