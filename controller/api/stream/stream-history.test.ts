import assert from 'node:assert/strict';
import { test } from 'node:test';
import { charactersLimit, messagesLimit, streamHistory } from './stream-history.ts';

test('whoever names the last message that it heard gets those after it', () => {
  const history = streamHistory(7);
  assert.equal(history.lastId(), '7-0');
  assert.equal(history.add('node', { mac: 'a' }), 'id: 7-1\nevent: node\ndata: {"mac":"a"}\n\n');
  const second = history.add('event', { id: 1 });
  assert.deepEqual(history.after('7-1'), { texts: [second] });
  assert.deepEqual(history.after('7-2'), { texts: [] });
  for (const id of ['7-3', '7--1', '', 'x', '7-1\n', '7-1 ', `7-${'1'.repeat(30)}`])
    assert.deepEqual(history.after(id), { reset: 'the id is none of this stream' }, id);
  assert.deepEqual(history.after('6-2'), { reset: 'the controller was started again' });
});

test('it keeps so many messages, of so many characters, and says when one is asked for more', () => {
  const history = streamHistory(1);
  for (let i = 0; i < messagesLimit + 5; i++) history.add('node', i);
  assert.deepEqual(history.after('1-4'), { reset: 'what came since is remembered no more' });
  const kept = history.after('1-5');
  assert.equal('texts' in kept ? kept.texts.length : 0, messagesLimit);
  history.add('node', 'x'.repeat(charactersLimit / 2));
  history.add('node', 'x'.repeat(charactersLimit / 2));
  const [, last] = history.lastId().split('-').map(Number);
  assert.ok('reset' in history.after(`1-${Number(last) - 2}`));
  assert.ok('texts' in history.after(`1-${Number(last) - 1}`));
});

test('what was not recorded is never passed over in silence', () => {
  const history = streamHistory(1);
  const atSnapshot = history.lastId();
  history.forget();
  history.forget();
  assert.ok('reset' in history.after(atSnapshot));
  assert.equal(history.lastId(), '1-1');
  history.forget();
  assert.ok('reset' in history.after('1-1'));
  const text = history.add('node', {});
  assert.deepEqual(history.after('1-2'), { texts: [text] });
});
