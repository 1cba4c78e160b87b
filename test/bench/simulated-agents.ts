// A program: as many agents' ends of the roll call as it is told of, one UDP socket each, in one process.
//
//   stdin   one line: {"controller": "10.77.0.1", "port": 5670, "agents": [{"session", "key"}, …]}
//   stdout  one JSON line a second: {"heartbeats", "permits", "refused"} since its start
//
// What they do as real agents do: a heartbeat each 750 ms, a receipt at once for each order in a permit, repeated in every
// heartbeat until a permit no longer asks. What they leave out is the work of stopping: this measures the controller.
import { randomBytes } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { Type, type Static } from 'typebox';
import { Check } from 'typebox/value';
import { MalformedError } from '../../protocol/bytes.ts';
import { decodePermit, encodeHeartbeat, type Receipt } from '../../protocol/roll-call.ts';
import { heartbeatIntervalMs } from '../../protocol/timing.ts';

const Agent = Type.Object({ session: Type.String(), key: Type.String() });
const Orders = Type.Object({ controller: Type.String(), port: Type.Integer(), agents: Type.Array(Agent) });

const counts = { heartbeats: 0, permits: 0, refused: 0 };

async function startAgent(
  { session, key }: Static<typeof Agent>,
  { controller, port, firstAfterMs }: { controller: string; port: number; firstAfterMs: number },
): Promise<void> {
  const socket = createSocket('udp4');
  socket.bind(0);
  await once(socket, 'listening');
  const [sessionBytes, keyBytes] = [Buffer.from(session, 'hex'), Buffer.from(key, 'hex')];
  const startedAt = performance.now();
  let sequence = 0n;
  let permitSequence = 0n;
  let generation = 0n;
  let receipts: Receipt[] = [];

  function beat(): void {
    const heartbeat = {
      session: sessionBytes,
      sequence: ++sequence,
      nonce: randomBytes(16),
      generation,
      permitSequence,
      uptimeSeconds: (performance.now() - startedAt) / 1000,
      load: 0.2,
      customers: [{ customer: 'acme', instances: 1, processes: 2 }],
      receipts,
    };
    counts.heartbeats++;
    socket.send(encodeHeartbeat(heartbeat, keyBytes), port, controller);
  }
  socket.on('message', (bytes) => {
    try {
      const permit = decodePermit(bytes, keyBytes);
      if (permit.sequence <= permitSequence) return;
      counts.permits++;
      permitSequence = permit.sequence;
      generation = permit.generation;
      const isNew = permit.orders.some(({ order }) => !receipts.some((receipt) => receipt.order === order));
      receipts = permit.orders.map(({ order }) => ({ order, stoppedAfterMs: 0, processes: 2 }));
      if (isNew) beat();
    } catch (error) {
      if (!(error instanceof MalformedError)) throw error;
      counts.refused++;
    }
  });
  setTimeout(() => {
    beat();
    setInterval(beat, heartbeatIntervalMs);
  }, firstAfterMs);
}

for await (const line of createInterface({ input: process.stdin })) {
  const orders: unknown = JSON.parse(line);
  if (!Check(Orders, orders)) throw new Error('cannot read the orders: want controller, port and agents');
  const { controller, port, agents } = orders;
  await Promise.all(
    agents.map((agent, index) =>
      // Spread over the interval as boards are that were powered on whenever.
      startAgent(agent, { controller, port, firstAfterMs: (index * heartbeatIntervalMs) / agents.length }),
    ),
  );
  setInterval(() => process.stdout.write(`${JSON.stringify(counts)}\n`), 1_000);
  break;
}
