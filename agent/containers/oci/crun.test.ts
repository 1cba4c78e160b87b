import assert from 'node:assert/strict';
import { test } from 'node:test';
import { reasonOf } from './crun.ts';

test('reasonOf() tells a status as it is, and a cause where the kernel has counted it', () => {
  const table: [Parameters<typeof reasonOf>, string][] = [
    [[{ code: 0 }, 0], 'exited with 0'],
    [[{ code: 255 }, 0], 'exited with 255'],
    [[{ code: 137 }, 0], 'exited with 137, as after SIGKILL'],
    [[{ code: 137 }, 1], 'out of memory'],
    [[{ code: 139 }, 0], 'exited with 139, as after SIGSEGV'],
    [[{ code: 145 }, 0], 'exited with 145'],
    [[{ code: 1 }, 1], 'exited with 1; one of its processes was killed for want of memory'],
    [[{ code: 1 }, 3], 'exited with 1; 3 of its processes were killed for want of memory'],
    [[{ crun: 'crun was ended by SIGKILL' }, 0], 'crun was ended by SIGKILL'],
  ];
  for (const [given, reason] of table) assert.equal(reasonOf(...given), reason);
});
