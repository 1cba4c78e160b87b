import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Check } from 'typebox/value';
import { BootSays } from './message.ts';
import { Outbox } from './outbox.ts';

type Note = Extract<BootSays, { type: 'note' }>;

function outbox(): { box: Outbox; notes: Note[]; pass: (ms: number) => void } {
  let now = 0;
  const notes: Note[] = [];
  const box = new Outbox({
    now: () => now,
    send: (note) => {
      assert.ok(Check(BootSays, note));
      notes.push(note);
    },
  });
  return { box, notes, pass: (ms) => (now += ms) };
}

const mac = '02:00:00:c2:00:01';

test('signs of life go together, in order, and the next batch when the last was noted', () => {
  const { box, notes } = outbox();
  for (let number = 0; number < 100; number++) box.event({ mac, stage: 'tftp', detail: `file ${number}` });
  box.trouble('another server is here');
  box.flush();
  box.flush();
  assert.equal(notes.length, 1);
  box.noted();
  box.flush();
  assert.deepEqual(
    notes.flatMap(({ events }) => events.map(({ detail }) => detail)),
    Array.from({ length: 100 }, (_, number) => `file ${number}`),
  );
  assert.deepEqual(
    notes.map(({ troubles }) => troubles),
    [['another server is here'], []],
  );
  box.noted();
  box.flush();
  assert.equal(notes.length, 2, 'nothing waits any more');
});

test('a board that asks ten times within five seconds is one event, and another one later', () => {
  const { box, notes, pass } = outbox();
  for (let count = 0; count < 10; count++) {
    box.event({ mac, stage: 'dhcp-discover', firmware: 'uboot' });
    box.event({ mac, stage: 'dhcp-ack', firmware: 'uboot', ip: '10.77.0.50' });
    pass(400);
  }
  pass(1_000);
  box.event({ mac, stage: 'dhcp-discover', firmware: 'uboot' });
  box.flush();
  assert.deepEqual(
    notes[0]?.events.map(({ stage }) => stage),
    ['dhcp-discover', 'dhcp-ack', 'dhcp-discover'],
  );
});

test('what is too much is left out, before a line is made, and said', () => {
  const { box, notes, pass } = outbox();
  let made = 0;
  for (let number = 0; number < 5_000; number++) {
    box.line(() => `line ${made++}`);
    box.event({ mac, stage: 'tftp', detail: `file ${number}` });
  }
  for (let batch = 0; batch < 100; batch++) {
    pass(50);
    box.flush();
    box.noted();
  }
  assert.equal(made, 1_000);
  const lines = notes.flatMap((note) => note.lines);
  assert.equal(lines.length, 1_001);
  assert.ok(lines.includes('too much at once: 4000 lines and 904 signs of life were left out'));
  assert.equal(notes.flatMap(({ events }) => events).length, 4_096);
});

test('whatever a board sends fits what the controller lets the process say', () => {
  const { box, notes } = outbox();
  box.event({ mac, stage: 'tftp', detail: 'x'.repeat(5_000) });
  box.line(() => 'x'.repeat(5_000));
  for (let count = 0; count < 100; count++) box.trouble('x'.repeat(5_000));
  box.flush();
  assert.equal(notes.length, 1);
});
