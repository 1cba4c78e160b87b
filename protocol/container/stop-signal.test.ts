import assert from 'node:assert/strict';
import { test } from 'node:test';
import { stopSignalNumber } from './stop-signal.ts';

test('stopSignalNumber() reads what images and people write', () => {
  const table: [string | undefined, number | undefined][] = [
    [undefined, 15],
    ['', 15],
    ['SIGQUIT', 3],
    ['quit', 3],
    ['WINCH', 28],
    ['9', 9],
    ['64', 64],
    ['SIGRTMIN', 34],
    ['SIGRTMIN+3', 37],
    ['RTMIN+30', 64],
    ['RTMIN+31', undefined],
    ['SIGRTMAX-14', 50],
    ['RTMAX', 64],
    ['SIGCHLD', 17],
    ['SIGSYS', 31],
    ['65', undefined],
    ['0', undefined],
    ['SIGWHAT', undefined],
    ['TERM ', undefined],
  ];
  for (const [name, number] of table) assert.equal(stopSignalNumber(name), number, name);
});
