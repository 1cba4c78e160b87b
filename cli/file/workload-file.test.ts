import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import type { WorkloadSpec } from '../../protocol/api/workloads.ts';
import { faultLine, readSource } from './source.ts';
import { fileSchema, fileText, wishesOf } from './workload-file.ts';

function wishes(text: string, customer?: string) {
  const read = wishesOf(readSource(text), { customer });
  return 'faults' in read ? read.faults.map((fault) => faultLine('f', fault)) : read;
}

test('a file is read into what the API takes: sizes by words, scalars as they are written, anchors followed', () => {
  const file = `
customer: acme
workloads:
  web: &web
    image: web:1.4
    memory: 64M
    env: { VERSION: 1.10, YES: yes, ON: true, QUOTED: "x" }
    command: [sleep, 60]
  job:
    <<: *web
    memory: 1048576000
    replicas: 0
`;
  const env = { VERSION: '1.10', YES: 'yes', ON: 'true', QUOTED: 'x' };
  const web = { image: 'web:1.4', memoryBytes: 2 ** 26, env, command: ['sleep', '60'] };
  assert.deepEqual(wishes(file), {
    customer: 'acme',
    workloads: [
      { name: 'web', spec: web, after: [] },
      { name: 'job', spec: { ...web, memoryBytes: 1_048_576_000, replicas: 0 }, after: [] },
    ],
    notes: [],
  });
});

const minimal = 'workloads: { web: { image: a } }';
const wrong: [text: string, ...said: RegExp[]][] = [
  ['', /^f:1:1: there is nothing in the file$/],
  ['- a', /^f:1:1: want a map with the keys customer and workloads$/],
  ['customer: acme\ncustomer: bolt', /^f:2:1: "customer" is there twice: want each key once$/],
  ['customer: "acme\nx', /^f:2:2: Missing closing "quote$/],
  ['customer: acme\nworkloads: {}', /^f:1:1: "workloads" is empty, want at least one$/],
  [
    'customer: acme\nworkload: {}',
    /^f:2:1: there is no "workload" here: did you mean workloads\? want customer, workloads$/,
    /^f:1:1: "workloads" is missing, want an object$/,
  ],
  [minimal, /^f:1:1: "customer" is missing, want a customer’s name/],
  [
    'customer: acme\nworkloads:\n  web:\n    image: a\n    memory: 64Q\n    port: http\n    cpu: 0.01',
    /^f:5:13: "workloads.web.memory" is "64Q", want a size like 64M or 1G, 4M to 1T$/,
    /^f:6:11: "workloads.web.port" is "http", want a whole number from 1 to 65535$/,
    /^f:7:10: "workloads.web.cpu" is 0.01, want a number from 0.05 to 256$/,
  ],
  [
    'customer: acme\nworkloads:\n  Web: { image: a }\n  x: { prot: 80 }\n  y: [1]\n  z:',
    /^f:3:3: "Web" in "workloads" is no such name: want a workload’s name/,
    /^f:4:8: there is no "prot" in "workloads.x": did you mean port\? want image, /,
    /^f:4:6: "workloads.x.image" is missing, want an image’s name/,
    /^f:5:6: "workloads.y" is a list of 1, want an object$/,
    /^f:6:5: "workloads.z" is empty, want an object$/,
  ],
  [
    'customer: acme\nworkloads: { web: { image: a, env: { 1X: a, B: , C: [] }, command: sh } }',
    /^f:2:38: "1X" in "workloads.web.env" is no such name: want letters, digits and _/,
    /^f:2:48: "workloads.web.env.B" is empty, want text of at most 4096 characters$/,
    /^f:2:53: "workloads.web.env.C" is a list of 0, want text/,
    /^f:2:68: "workloads.web.command" is "sh", want a list of at most 64 items$/,
  ],
  ['a: &a [*a]', /nested too deep/],
  [`x: ${'['.repeat(40)}${']'.repeat(40)}`, /nested too deep/],
  [
    `a: &a [${'1,'.repeat(50)}]\nb: &b [${'*a,'.repeat(50)}]\nc: &c [${'*b,'.repeat(50)}]\nd: [${'*c,'.repeat(50)}]`,
    /there is too much in it, with what aliases repeat/,
  ],
  [Array.from({ length: 60_000 }, (_, at) => `k${at}: 1`).join('\n'), /there is too much in it/],
  [`x: ${'y'.repeat(1024 * 1024)}`, /^f:1:1: the file is larger than 1048576 bytes/],
];
test('what is wrong is said by line, column, key and what is wanted', () => {
  for (const [text, ...said] of wrong) {
    const lines = wishes(text);
    assert.ok(Array.isArray(lines), text.slice(0, 200));
    assert.equal(lines.length, said.length, `${text.slice(0, 200)}\n${lines.join('\n')}`);
    said.forEach((each, at) => assert.match(lines[at] ?? '', each));
  }
});

test('whose it is may be said outside, and not otherwise than inside', () => {
  const read = wishes(minimal, 'bolt');
  assert.ok('customer' in read && read.customer === 'bolt');
  assert.deepEqual(wishes(`customer: acme\n${minimal}`, 'bolt'), [
    'f:1:11: "customer" is acme, and --customer says bolt',
  ]);
});

test('what is written is read back to the same, whatever is in it', () => {
  const nasty = ['', ' x ', 'yes', '1.10', '~', '#', 'a: b', '\u001b[31m', '\u202e', 'l1\nl2\n', '\ttab', '${X}', '木'];
  const env = Object.fromEntries(nasty.map((value, at) => [`V${at}`, value]));
  const specs: [string, WorkloadSpec][] = [
    ['web', { image: 'a/b:1.0', replicas: 3, env, command: nasty, memoryBytes: 2 ** 26 + 1, cpu: 0.5, port: 1 }],
    ['y', { image: 'x', replicas: 0, memoryBytes: 2 ** 40, processes: 7, env: { Limit_Ms: '5', __proto__x: '1' } }],
  ];
  const read = wishes(fileText({ customer: 'acme', workloads: specs }));
  assert.ok('workloads' in read, JSON.stringify(read));
  assert.deepEqual(
    read.workloads.map(({ name, spec }) => [name, spec]),
    specs,
  );
  assert.match(
    fileText({ customer: 'acme', workloads: [['w', { image: 'x', replicas: 1, memoryBytes: 2 ** 25 }]] }),
    /memory: 32M\n/,
  );
});

test('docs/workloads.schema.json is the schema of files (UPDATE_GOLDEN=1 writes it anew)', async () => {
  const path = join(import.meta.dirname, '../../docs/workloads.schema.json');
  const text = `${JSON.stringify(fileSchema(), null, 2)}\n`;
  if (process.env['UPDATE_GOLDEN'] === '1') await writeFile(path, text);
  assert.equal(await readFile(path, 'utf8'), text);
});
