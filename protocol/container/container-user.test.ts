import assert from 'node:assert/strict';
import { test } from 'node:test';
import { resolveUser } from './container-user.ts';

const accounts = {
  passwd: 'root:x:0:0::/root:/bin/sh\napp:x:1000:1001::/:/bin/sh\nlarge:x:70000:70000::/:\n',
  group:
    'root:x:0:root\nbin:x:1:root,daemon\napp:x:1001:\nvideo:x:44:app\naudio:x:29:bin,app\r\nfar:x:70000:app\nodd:x:x:app\n',
};

test('resolveUser() takes names and numbers, and the groups that /etc/group lists the user in', () => {
  const table: [string, { uid: number; gid: number; groups: number[] }][] = [
    ['', { uid: 0, gid: 0, groups: [1] }],
    ['root', { uid: 0, gid: 0, groups: [1] }],
    ['app', { uid: 1000, gid: 1001, groups: [44, 29] }],
    ['1000', { uid: 1000, gid: 1001, groups: [44, 29] }],
    ['1234', { uid: 1234, gid: 0, groups: [] }],
    // A group beside the user: no others.
    ['app:video', { uid: 1000, gid: 44, groups: [] }],
    ['app:7', { uid: 1000, gid: 7, groups: [] }],
    [':7', { uid: 0, gid: 7, groups: [] }],
    ['app:', { uid: 1000, gid: 1001, groups: [44, 29] }],
  ];
  for (const [user, wanted] of table) assert.deepEqual(resolveUser(user, accounts), wanted, user);
  assert.deepEqual(resolveUser('', { passwd: '', group: '' }), { uid: 0, gid: 0, groups: [] });
});

test('resolveUser() says what is not there or cannot be', () => {
  const table: [string, RegExp][] = [
    ['nobody', /user "nobody" of the image: "nobody" is not in its \/etc\/passwd/],
    ['app:wheel', /"wheel" is not in its \/etc\/group/],
    ['large', /id "70000", want 0 to 65535/],
    ['70000', /id "70000", want 0 to 65535/],
    ['app:70000', /id "70000", want 0 to 65535/],
  ];
  for (const [user, message] of table) assert.throws(() => resolveUser(user, accounts), message, user);
  const group = Array.from({ length: 1_100 }, (_, id) => `g${id}:x:${id + 2_000}:app`).join('\n');
  assert.throws(() => resolveUser('app', { ...accounts, group }), /in 1100 groups, want at most 1024/);
});
