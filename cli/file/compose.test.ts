import assert from 'node:assert/strict';
import { test } from 'node:test';
import { composeWishes, isCompose } from './compose.ts';
import { shellWords } from './shell-words.ts';
import { faultLine, readSource } from './source.ts';

function read(text: string, customer: string | undefined = 'acme') {
  const source = readSource(text);
  assert.ok(isCompose(source));
  const wishes = composeWishes(source, {
    customer,
    entrypointOf: (image) => (image === 'web' ? ['/entry'] : undefined),
    readBeside: (path) => (path === '.env' ? '# of all\nA=file\nexport B="two words"\nC=x # why\n\n' : undefined),
  });
  return 'faults' in wishes ? wishes.faults.map((fault) => faultLine('c', fault)) : wishes;
}

test('the useful part of a Compose file becomes workloads, each behind those that it depends on', () => {
  const wishes = read(`
version: "3"
x-common: &common { env_file: .env, restart: unless-stopped }
services:
  web:
    <<: *common
    image: web
    command: serve --name "a b"
    environment: [A=own, "PRICE=$$5"]
    ports: ["8080:80"]
    depends_on: { db: { condition: service_healthy } }
    healthcheck: { test: [CMD, curl, -f, http://127.0.0.1], interval: 1m30s, retries: 5, start_period: 20s }
    deploy: { replicas: 3, update_config: { parallelism: 2, order: start-first }, resources: { limits: { memory: 64m, cpus: "0.5", pids: 20 } } }
  db:
    image: db
    entrypoint: [/bin/db]
    healthcheck: { disable: true }
    command: ["--fast", $$x]
    mem_limit: 1gb
    user: "70:70"
    stop_signal: SIGINT
    stop_grace_period: 1m30s
    cap_drop: [ALL]
    cap_add: [CAP_CHOWN, setuid]
    ports: [{ target: 5432, protocol: tcp }]
`);
  assert.ok('workloads' in wishes, JSON.stringify(wishes));
  assert.deepEqual(wishes.workloads, [
    {
      name: 'db',
      spec: {
        checks: {},
        image: 'db',
        memoryBytes: 2 ** 30,
        user: '70:70',
        stopSignal: 'SIGINT',
        stopGraceMs: 90_000,
        capabilities: ['CHOWN', 'SETUID'],
        port: 5432,
        command: ['/bin/db', '--fast', '$x'],
      },
      after: [],
    },
    {
      name: 'web',
      spec: {
        image: 'web',
        port: 80,
        memoryBytes: 2 ** 26,
        cpu: 0.5,
        processes: 20,
        command: ['/entry', 'serve', '--name', 'a b'],
        env: { A: 'own', B: 'two words', C: 'x', PRICE: '$5' },
        replicas: 3,
        checks: {
          ready: { exec: ['curl', '-f', 'http://127.0.0.1'], intervalMs: 90_000, timeoutMs: 30_000, failures: 5 },
        },
        update: { maxSurge: 2, maxUnavailable: 0 },
      },
      after: ['db'],
    },
  ]);
  assert.deepEqual(
    wishes.notes.map((note) => faultLine('c', note)),
    ['c:10:13: each instance of web is reached at a port of its node, which muster ps shows, not at 8080'],
  );
});

const service = (inside: string) => `services:\n  web:\n    image: web\n    ${inside}\n`;
const wrong: [text: string, said: RegExp][] = [
  ['services: {}', /^c:1:11: "services" is empty/],
  ['services: { web: { build: . } }', /c:1:20: services.web: "build" is not supported: take it out/],
  [`${service('')}networks: { a: {} }`, /^c:5:1: "networks" is not supported: take it out$/],
  [service('privileged: true'), /^c:4:5: services.web: "privileged" is not supported/],
  [service('image: "${TAG}"'), /"image" is there twice: want each key once/],
  [service('command: [run, "${X:-y}"]'), /^c:4:20: "\$\{X:-y\}" has a variable, and none is filled in/],
  [service('environment: [HOME]'), /^c:4:19: "services.web.environment.HOME" has no value/],
  [service('environment: { A: }'), /^c:4:20: "services.web.environment.A" has no value/],
  [service('env_file: nope'), /^c:4:15: cannot read the file "nope" of "env_file"$/],
  [service('ports: ["80", "81"]'), /^c:4:19: "services.web.ports": an instance has one port/],
  [service('ports: ["53:53/udp"]'), /only tcp is led to an instance/],
  [service('ports: ["8000-8010:80"]'), /"services.web.port" is "", want a whole number from 1 to 65535/],
  [service('mem_limit: lots'), /^c:4:16: "services.web.memory" is "lots", want a size like 64M or 1G, 4M to 1T$/],
  [service('restart: "no"'), /^c:4:14: "restart" is no: what ends is started again, want always$/],
  [service('cap_add: [NET_ADMIN]'), /^c:4:14: services.web: nobody gets the capability NET_ADMIN here$/],
  [
    service('stop_grace_period: soon'),
    /"services.web.stopGrace" is "soon", want a duration like 10s or 500ms, 0ms to 5m$/,
  ],
  [service('stop_signal: SIGFOO'), /"services.web.stopSignal" is "SIGFOO"/],
  [service('healthcheck: { interval: 5s }'), /"services.web.healthcheck.test" is missing, want a command/],
  [service('healthcheck: { test: [curl] }'), /^c:4:26: "services.web.healthcheck.test" is not as Compose has it/],
  [
    service('healthcheck: { test: x, interval: 1ms }'),
    /^c:4:39: "services.web.healthcheck.interval" is "1ms", want a duration/,
  ],
  [service('healthcheck: { test: x, retries: many }'), /"services.web.healthcheck.failures" is "many"/],
  [
    service('healthcheck: { test: x, start_interval: 1s }'),
    /there is no "start_interval" in "services.web.healthcheck"/,
  ],
  [service('deploy: { update_config: { delay: 5s } }'), /there is no "delay" in "services.web.deploy.update_config"/],
  [service('deploy: { update_config: { order: random } }'), /order" is "random", want start-first or stop-first/],
  [service('deploy: { update_config: { failure_action: rollback } }'), /"rollback", want pause/],
  [service('deploy: { update_config: { parallelism: all } }'), /update_config.maxUnavailable" is "all"/],
  [service('read_only: true'), /an instance may write 16 MB/],
  [service('command: "unclosed'), /Missing closing "quote/],
  [service("command: it's"), /every quote closed/],
  [service('depends_on: [nope]'), /depends on nope, and there is none of that name/],
  [service('depends_on: [web]'), /depend on each other in a circle: web$/],
  [
    service('depends_on: { web: { condition: done } }'),
    /condition" is "done", want service_started or service_healthy/,
  ],
  [service('deploy: { mode: global }'), /^c:4:15: there is no "mode" in "services.web.deploy": want replicas, /],
  [service('deploy: { replicas: -1 }'), /"services.web.replicas" is -1, want a whole number from 0 to 10000/],
  ['services: { db: { image: db, command: x } }', /there is no image db, and "command" goes behind its entry point/],
  ['services: { Web: { image: web } }', /"Web" is no workload's name/],
];
test('what Muster cannot do is named with its place, and never left out', () => {
  for (const [text, said] of wrong) {
    const source = readSource(text);
    const lines = 'faults' in source ? source.faults.map((fault) => faultLine('c', fault)) : read(text);
    assert.ok(Array.isArray(lines), text);
    assert.ok(
      lines.some((line) => said.test(line)),
      `${text}\n${lines.join('\n')}`,
    );
  }
  const nobody = read(service(''), '');
  assert.ok(Array.isArray(nobody) && /a Compose file names no customer, want --customer NAME/.test(nobody[0] ?? ''));
});

test('a line is taken apart as a shell does, and nothing is filled in', () => {
  const table: [line: string, words: string[] | undefined][] = [
    ['', []],
    ['  a  b\tc ', ['a', 'b', 'c']],
    [`sh -c 'echo "x  $Y"'`, ['sh', '-c', 'echo "x  $Y"']],
    ['a"b c"d \'\'', ['ab cd', '']],
    ['"\\"q\\" \\n" a\\ b', ['"q" \\n', 'a b']],
    ['"open', undefined],
    ["it's", undefined],
  ];
  for (const [line, words] of table) assert.deepEqual(shellWords(line), words, line);
});
