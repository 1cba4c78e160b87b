import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { EscalationStep } from '../../protocol/api/orders.ts';
import { attemptsOf, type Case, decideDue, decideEscalation, type Situation } from './escalation-decision.ts';

const never = { ended: 0, lastAfterMs: undefined, open: false };
const failedAt = (lastAfterMs: number, ended = 1) => ({ ended, lastAfterMs, open: false });
const begunAt = (lastAfterMs: number) => ({ ended: 0, lastAfterMs, open: true });
/** Talks, does not acknowledge, has an outlet, and the controller has been up all the time. */
const talking: Situation = {
  sinceGivenMs: 0,
  listeningMs: 3_600_000,
  askedMs: 3_600_000,
  heardAgoMs: 400,
  holds: false,
  ssh: never,
  power: never,
  running: { ssh: false, power: false },
  isSuspect: true,
  mayCutPower: true,
};
const silent = { heardAgoMs: 1_700 };
const mute = { heardAgoMs: undefined };

const table: [string, Partial<Situation>, '' | 'ssh' | 'power' | 'ssh power'][] = [
  ['it has time to acknowledge', { sinceGivenMs: 1_499 }, ''],
  ['SSH is next', { sinceGivenMs: 1_500 }, 'ssh'],
  ['one attempt at a time', { sinceGivenMs: 2_600, running: { ssh: true, power: false } }, ''],
  ['not twice within a second', { sinceGivenMs: 2_600, ssh: failedAt(1_700) }, ''],
  ['again after a second', { sinceGivenMs: 2_700, ssh: failedAt(1_700) }, 'ssh'],
  ['power is not touched before 4.5 s', { sinceGivenMs: 4_499, ssh: failedAt(3_500, 3) }, ''],
  ['power is cut at 4.5 s', { sinceGivenMs: 4_500, ssh: failedAt(4_000, 3) }, 'power'],
  ['also while SSH hangs', { sinceGivenMs: 4_500, running: { ssh: true, power: false } }, 'power'],
  ['both are tried again', { sinceGivenMs: 9_600, ssh: failedAt(8_500, 5), power: failedAt(4_500) }, 'ssh power'],
  ['power at most every five seconds', { sinceGivenMs: 9_400, ssh: failedAt(9_000), power: failedAt(4_500) }, ''],
  ['without an outlet SSH goes on alone', { sinceGivenMs: 60_000, mayCutPower: false }, 'ssh'],
  ['pauses grow', { sinceGivenMs: 20_000, ssh: failedAt(16_500, 7), mayCutPower: false }, ''],
  ['and end after a minute at most', { sinceGivenMs: 90_000, ssh: failedAt(30_000, 40), mayCutPower: false }, 'ssh'],

  ['silence will tell by itself', { sinceGivenMs: 2_000, ...silent }, ''],
  ['silence will tell, later too', { sinceGivenMs: 3_600_000, ...silent }, ''],
  ['never heard: silence will tell', { sinceGivenMs: 60_000, ...mute }, ''],
  ['one lost heartbeat is no silence', { sinceGivenMs: 4_500, heardAgoMs: 1_600 }, 'ssh power'],
  ['on hold silence tells nothing: SSH may reach it', { sinceGivenMs: 2_000, ...silent, holds: true }, 'ssh'],
  ['on hold and silent: power', { sinceGivenMs: 4_500, ...silent, holds: true, ssh: failedAt(4_000) }, 'power'],
  ['on hold and never heard', { sinceGivenMs: 60_000, ...mute, holds: true }, 'ssh power'],
  [
    'on hold and never heard, and nothing is placed there: gone for long, its bank is spared',
    { sinceGivenMs: 60_000, ...mute, holds: true, isSuspect: false },
    'ssh',
  ],

  ['after a restart it has time to acknowledge', { sinceGivenMs: 60_000, listeningMs: 1_400 }, ''],
  ['then SSH', { sinceGivenMs: 60_000, listeningMs: 1_500 }, 'ssh'],
  ['then power', { sinceGivenMs: 60_000, listeningMs: 4_500 }, 'ssh power'],
  [
    'sooner where an earlier controller had tried SSH',
    { sinceGivenMs: 60_000, listeningMs: 1_500, ssh: failedAt(2_000) },
    'ssh power',
  ],
  ['of many orders one that waits to be asked for', { sinceGivenMs: 60_000, askedMs: 0 }, ''],
  ['what was not listened to is no silence', { sinceGivenMs: 60_000, listeningMs: 1_550, ...mute, holds: true }, ''],
  [
    'a cut that was under way is taken up at once, whatever is heard',
    { sinceGivenMs: 60_000, listeningMs: 100, ...mute, isSuspect: false, power: begunAt(4_000) },
    'power',
  ],
  [
    'but not twice',
    { sinceGivenMs: 4_100, ...silent, power: begunAt(4_000), running: { ssh: false, power: true } },
    '',
  ],
  ['a wall clock that was set back', { sinceGivenMs: 5_000, ssh: failedAt(3_600_000), mayCutPower: false }, 'ssh'],
];

for (const [name, situation, wanted] of table)
  test(`escalation: ${name}`, () => {
    const { ssh, power } = decideEscalation({ ...talking, ...situation });
    assert.equal([ssh ? 'ssh' : '', power ? 'power' : ''].filter((word) => word !== '').join(' '), wanted);
  });

test('attempts are read from the stored steps, each way by itself', () => {
  const step = (done: Omit<EscalationStep, 'detail'>) => ({ ...done, detail: '' });
  const steps = [
    step({ by: 'ssh', outcome: 'failed', afterMs: 1_700 }),
    step({ by: 'ssh', outcome: 'failed', afterMs: 2_900 }),
    step({ by: 'power', outcome: 'tried', afterMs: 4_000 }),
  ];
  assert.deepEqual(attemptsOf(steps, 'ssh'), { ended: 2, lastAfterMs: 2_900, open: false });
  assert.deepEqual(attemptsOf(steps, 'power'), { ended: 0, lastAfterMs: 4_000, open: true });
  steps.push(step({ by: 'power', outcome: 'failed', afterMs: 9_000 }));
  assert.deepEqual(attemptsOf(steps, 'power'), failedAt(9_000));
  assert.deepEqual(attemptsOf([], 'ssh'), never);
});

test('of many nodes those come first that have waited longest for SSH, and no more than there are connections for', () => {
  const cases: Case<number>[] = Array.from({ length: 20 }, (_, index) => ({
    mac: `02:00:00:c2:00:${(10 + index).toString(16)}`,
    order: index,
    situation: { ...talking, sinceGivenMs: 60_000, ssh: failedAt(50_000 - 1_000 * index), mayCutPower: false },
  }));
  const { ssh, power } = decideDue(cases, 6);
  assert.deepEqual([...ssh.values()].flat(), [19, 18, 17, 16, 15, 14, 13, 12, 11, 10]);
  assert.equal(power.size, 0);
  assert.equal(decideDue(cases, 16).ssh.size, 0);
});

test('orders on one node are carried out together', () => {
  const mac = '02:00:00:c2:00:01';
  const situation = { ...talking, sinceGivenMs: 60_000, ssh: failedAt(50_000) };
  const { ssh, power } = decideDue(
    [3, 7].map((order) => ({ mac, order, situation })),
    0,
  );
  assert.deepEqual([...ssh], [[mac, [3, 7]]]);
  assert.deepEqual([...power], [[mac, [3, 7]]]);
});
