// A program, started in the rack's network: a client of a published workload, which sends requests at a steady pace, each on a
// connection of its own, to one ready endpoint after the other, as a proxy would.
//
//   node client.ts PER_SECOND    reads the endpoints that are ready as lines of JSON, says one line of JSON when its input ends
import { get } from 'node:http';
import { createInterface } from 'node:readline';

const gapMs = 1_000 / Number(process.argv[2]);
const patienceMs = 5_000;
const toldFailures = 20;

let endpoints: readonly string[] = [];
let isOver = false;
let underWay = 0;
const done = { requests: 0, failures: 0, worstMs: 0, first: [] as string[] };

function ask(url: string): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  get(url, { agent: false, timeout: patienceMs }, (answer) => {
    answer
      .on('error', reject)
      .on('end', () => (answer.statusCode === 200 ? resolve() : reject(new Error(`status ${answer.statusCode}`))))
      .resume();
  })
    .on('error', reject)
    .on('timeout', () => reject(new Error(`no answer in ${patienceMs} ms`)));
  return promise;
}

async function request(): Promise<void> {
  const url = endpoints[done.requests % endpoints.length];
  if (url === undefined) return;
  done.requests++;
  underWay++;
  const began = performance.now();
  try {
    await ask(url);
  } catch (error) {
    done.failures++;
    if (done.first.length < toldFailures) done.first.push(`${url}: ${String(error)}`);
  }
  done.worstMs = Math.max(done.worstMs, performance.now() - began);
  underWay--;
}

// What a busy machine held back is sent at once, so that the pace is what was asked for.
const began = performance.now();
let sent = 0;
const timer = setInterval(() => {
  for (; !isOver && sent < (performance.now() - began) / gapMs; sent++) void request();
  if (!isOver || underWay > 0) return;
  clearInterval(timer);
  process.stdout.write(`${JSON.stringify(done)}\n`);
}, gapMs);

const lines = createInterface({ input: process.stdin });
lines.on('line', (line) => (endpoints = JSON.parse(line) as string[]));
lines.on('close', () => (isOver = true));
