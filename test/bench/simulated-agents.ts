// A program: as many agents' ends of the roll call as it is told of, one UDP socket each, in one process.
//
//   stdin   one line: {"controller": "10.77.0.1", "port": 5670, "heartbeatMs": 750, "agents": [{"session", "key"}, …]}
//   stdout  one JSON line a second: {"heartbeats", "permits", "refused"} since its start, and since the line before
//           {"oldestMs"}: how old the oldest permit of any agent became, from when its nonce was sent, and {"answersMs"}:
//           how long after its heartbeat each permit came
//
// What they do as real agents do: regular heartbeats, a receipt at once for each order in a permit, repeated in every
// heartbeat, and when a permit still asks for it, until none does. What they leave out is the work of stopping: this
// measures the controller. All of them share its processor, so they are written to cost little.
import { createSecretKey, randomBytes } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { createInterface } from 'node:readline';
import { Type, type Static } from 'typebox';
import { Check } from 'typebox/value';
import { MalformedError } from '../../protocol/bytes.ts';
import { decodePermit, encodeHeartbeat, type Receipt } from '../../protocol/roll-call.ts';
import { receiptRepeatMs } from '../../protocol/timing.ts';

const Agent = Type.Object({ session: Type.String(), key: Type.String() });
const Orders = Type.Object({
  controller: Type.String(),
  port: Type.Integer(),
  heartbeatMs: Type.Integer({ minimum: 1 }),
  agents: Type.Array(Agent),
});

const counts = { heartbeats: 0, permits: 0, refused: 0, oldestMs: 0 };
let answersMs: number[] = [];
/** Of each agent that has had one: how old its permit is. */
const ages: (() => number)[] = [];
/** Heartbeats that may still be answered. */
const openBeats = 8;

function startAgent(
  { session, key }: Static<typeof Agent>,
  {
    controller,
    port,
    heartbeatMs,
    firstAfterMs,
  }: { controller: string; port: number; heartbeatMs: number; firstAfterMs: number },
): void {
  // oxlint-disable-next-line max-params -- as dns.lookup has it
  const socket = createSocket({ type: 'udp4', lookup: (address, _options, found) => found(null, address, 4) });
  // With a look-up that answers at once, `bind` is done when it returns.
  socket.bind(0);
  const [sessionBytes, keyObject] = [Buffer.from(session, 'hex'), createSecretKey(key, 'hex')];
  const startedAt = performance.now();
  let sequence = 0n;
  let permitSequence = 0n;
  let generation = 0n;
  let receipts: Receipt[] = [];
  let lastBeatMs = 0;
  const sentMs = new Map<string, number>();
  let permittedFromMs: number | undefined;
  let answered = '';

  function beat(): void {
    const nonce = randomBytes(16);
    const heartbeat = {
      session: sessionBytes,
      sequence: ++sequence,
      nonce,
      generation,
      permitSequence,
      uptimeSeconds: (performance.now() - startedAt) / 1000,
      load: 0.2,
      customers: [{ customer: 'acme', instances: 1, processes: 2 }],
      receipts,
    };
    counts.heartbeats++;
    lastBeatMs = performance.now();
    sentMs.set(nonce.toString('latin1'), lastBeatMs);
    for (const [oldest] of sentMs) if (sentMs.size > openBeats) sentMs.delete(oldest);
    socket.send(encodeHeartbeat(heartbeat, keyObject), port, controller);
  }
  socket.on('message', (bytes) => {
    try {
      const permit = decodePermit(bytes, keyObject);
      if (permit.sequence <= permitSequence) return;
      counts.permits++;
      const nonce = permit.nonce.toString('latin1');
      const fromMs = sentMs.get(nonce);
      // Permits that were sent unasked answer a nonce once more.
      if (fromMs !== undefined && nonce !== answered)
        answersMs.push(Math.round(10 * (performance.now() - fromMs)) / 10);
      answered = nonce;
      if (permittedFromMs === undefined) ages.push(() => performance.now() - (permittedFromMs ?? 0));
      else counts.oldestMs = Math.max(counts.oldestMs, performance.now() - permittedFromMs);
      permittedFromMs = Math.max(permittedFromMs ?? 0, fromMs ?? 0);
      permitSequence = permit.sequence;
      generation = permit.generation;
      const isNew = permit.orders.some(({ order }) => !receipts.some((receipt) => receipt.order === order));
      receipts = permit.orders.map(({ order }) => ({ order, stoppedAfterMs: 0, processes: 2 }));
      if (isNew || (receipts.length > 0 && performance.now() - lastBeatMs >= receiptRepeatMs)) beat();
    } catch (error) {
      if (!(error instanceof MalformedError)) throw error;
      counts.refused++;
    }
  });
  setTimeout(() => {
    beat();
    setInterval(beat, heartbeatMs);
  }, firstAfterMs);
}

for await (const line of createInterface({ input: process.stdin })) {
  const orders: unknown = JSON.parse(line);
  if (!Check(Orders, orders)) throw new Error('cannot read the orders: want controller, port and agents');
  const { controller, port, heartbeatMs, agents } = orders;
  // Spread over the interval as boards are that were powered on whenever.
  for (const [index, agent] of agents.entries())
    startAgent(agent, { controller, port, heartbeatMs, firstAfterMs: (index * heartbeatMs) / agents.length });
  setInterval(() => {
    counts.oldestMs = Math.round(ages.reduce((oldest, age) => Math.max(oldest, age()), counts.oldestMs));
    process.stdout.write(`${JSON.stringify({ ...counts, answersMs })}\n`);
    counts.oldestMs = 0;
    answersMs = [];
  }, 1_000);
  break;
}
