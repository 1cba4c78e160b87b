// The boot process: DHCP, TFTP and boot HTTP, for `boot-process.ts`, which starts it with the channel to the controller and
// the two sockets of the rack's interface. Whatever boards and strangers send is read here, without the controller's keys,
// database or rights, and on other time of the processor than permits.
//
//   node boot/process/main.ts CACHE UID     descriptors 3: the channel, 4: DHCP, 5: TFTP
import { flushCompileCache } from 'node:module';
import { Socket } from 'node:net';
import { getPriority, setPriority } from 'node:os';
import { loadBootArtefacts } from '../artefacts.ts';
import type { TokenAnswer } from '../host.ts';
import { startBoot } from '../server.ts';
import { openChannel } from './channel.ts';
import { BootIsTold, type BootSays, type NodeFacts } from './message.ts';
import { Outbox } from './outbox.ts';

const descriptors = { channel: 3, dhcp: 4, tftp: 5 };
/** Behind permits, where there is too little of the processor for both. */
const niceness = 5;
const flushIntervalMs = 50;
const reportIntervalMs = 1_000;
/** The controller's disk may hang. */
const answerLimitMs = 10_000;
const tokensLimit = 64;
/** The board asks again in a second. */
const busy: TokenAnswer = { refused: 'the controller is busy', held: true };

type Start = Extract<BootIsTold, { type: 'start' }>;

process.title = 'muster-boot';
// A Ctrl-C in the terminal and a service manager's end are for the controller, with which it ends.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => undefined);
const [cacheDir = '', uid = ''] = process.argv.slice(2);
const nodes = new Map<string, NodeFacts>();
const saving = new Map<number, PromiseWithResolvers<void>>();
const asking = new Map<number, (answer: TokenAnswer) => void>();
const started = Promise.withResolvers<Start>();
let lastId = 0;

const channel = openChannel<typeof BootIsTold, BootSays>(new Socket({ fd: descriptors.channel }), {
  schema: BootIsTold,
  bytesLimit: { line: 16 * 2 ** 20, second: 64 * 2 ** 20 },
  now: () => performance.now(),
  heard,
  // With its controller it ends: boards ask again.
  ended: () => process.exit(0),
});
const outbox = new Outbox({ now: () => performance.now(), send: (note) => channel.send(note) });

function heard(message: BootIsTold): void {
  switch (message.type) {
    case 'start':
      know(message.nodes);
      started.resolve(message);
      break;
    case 'nodes':
      know(message.nodes);
      break;
    case 'saved':
      if (message.failed === undefined) saving.get(message.id)?.resolve();
      else saving.get(message.id)?.reject(new Error(message.failed));
      break;
    case 'token':
      asking.get(message.id)?.(message.answer);
      break;
    case 'noted':
      outbox.noted();
      break;
  }
}

function know(told: [string, NodeFacts][]): void {
  for (const [mac, facts] of told) {
    if (facts.isBoard || facts.refused !== undefined || facts.holder !== undefined) nodes.set(mac, facts);
    else nodes.delete(mac);
  }
}

async function save(leases: Extract<BootSays, { type: 'save' }>['leases']): Promise<void> {
  const id = ++lastId;
  const saved = Promise.withResolvers<void>();
  saving.set(id, saved);
  const timer = setTimeout(
    () => saved.reject(new Error(`the controller has not stored them within ${answerLimitMs} ms`)),
    answerLimitMs,
  );
  channel.send({ type: 'save', id, leases });
  try {
    await saved.promise;
  } finally {
    clearTimeout(timer);
    saving.delete(id);
  }
}

async function joinToken(mac: string, ip: string): Promise<TokenAnswer> {
  if (asking.size >= tokensLimit) return busy;
  const id = ++lastId;
  const { promise, resolve } = Promise.withResolvers<TokenAnswer>();
  asking.set(id, resolve);
  const timer = setTimeout(() => resolve(busy), answerLimitMs);
  channel.send({ type: 'join-token', id, mac, ip });
  const answer = await promise;
  clearTimeout(timer);
  asking.delete(id);
  return answer;
}

/** From now on this process is nobody: its files and sockets are open, and it needs no others. */
function dropRights(): void {
  flushCompileCache();
  if (process.getuid?.() !== 0) return;
  process.setgroups?.([]);
  process.setgid?.(Number(uid));
  process.setuid?.(Number(uid));
}

async function main(): Promise<void> {
  // Whoever started us with less must not get more by it, and may not.
  if (getPriority() < niceness) setPriority(niceness);
  const artefacts = await loadBootArtefacts({ cacheDir });
  const { settings, leases } = await started.promise;
  dropRights();
  const { reservations, ...rest } = settings;
  const server = await startBoot(
    {
      ...rest,
      reservations: new Map(reservations),
      sockets: { dhcpFd: descriptors.dhcp, tftpFd: descriptors.tftp },
      artefacts,
      now: Date.now,
    },
    {
      leases: { load: async () => leases, save },
      joinToken,
      placeHolder: (mac) => nodes.get(mac)?.holder,
      isBoard: (mac) => nodes.get(mac)?.isBoard === true,
      refusal: (mac) => nodes.get(mac)?.refused,
      stage: (event) => outbox.event(event),
      trouble: (message) => outbox.trouble(message),
      log: (line) => outbox.line(line),
    },
  );
  channel.send({ type: 'ready', http: server.http });
  setInterval(() => outbox.flush(), flushIntervalMs);
  setInterval(() => {
    const { dhcp, tftp, http } = server.counters;
    channel.send({
      type: 'report',
      counters: { dhcp: { ...dhcp }, tftp: { ...tftp }, http: { ...http } },
      neighbours: server.neighbours(),
    });
  }, reportIntervalMs);
}

function fail(error: unknown): void {
  const message = error instanceof Error ? error.message : String(error);
  channel.send({ type: 'failed', message: message.slice(0, 2_000) });
  // The controller ends what has failed.
}

main().catch(fail);
