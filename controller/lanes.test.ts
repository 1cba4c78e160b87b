import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Lanes } from './lanes.ts';

test('lanes: in order, but one owner leaves a place for others', async () => {
  const lanes = new Lanes({ most: 3, mostOfOne: 2, mostWaiting: 3 });
  const begun: string[] = [];
  const turns = new Map<string, Disposable>();
  const enter = (what: string, owner: string) =>
    lanes.enter(owner)?.then((turn) => {
      begun.push(what);
      turns.set(what, turn);
    });
  const entered = ['a1', 'a2', 'a3', 'a4'].map((what) => enter(what, 'anna'));
  entered.push(enter('b1', 'ben'));
  await Promise.all([entered[0], entered[1], entered[4]]);
  assert.deepEqual(begun, ['a1', 'a2', 'b1']);
  entered.push(enter('c1', 'carl'));
  assert.equal(lanes.waiting, 3);
  assert.equal(lanes.enter('dora'), undefined, 'three wait already');
  turns.get('b1')?.[Symbol.dispose]();
  await entered[5];
  assert.deepEqual(begun, ['a1', 'a2', 'b1', 'c1'], 'anna has two already');
  turns.get('a1')?.[Symbol.dispose]();
  await entered[2];
  assert.deepEqual(begun, ['a1', 'a2', 'b1', 'c1', 'a3']);
});
