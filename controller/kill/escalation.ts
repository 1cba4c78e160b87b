// Carries on where permits do not help: stops customers by SSH on nodes that have not confirmed a kill order, and cuts
// the power of those on which that fails. What is due is decided in escalation-decision.ts.
//
//   SSH      the customer's control groups are empty ─► evidence `ssh`
//   power    the PDU takes the command ─► fenced ─► the PDU says off ─► nothing more is heard of it ─► evidence `power`
//
// A PDU that says "off" of a board that goes on talking was told the wrong outlet: that is no evidence, and an event.
// Each attempt is stored with its outcome; the command that cuts power is stored before it is given. A disk that takes nothing
// holds none of this up: after some tenths of a second it goes on, and what happened is stored when the disk takes it.
import { setTimeout as realPause } from 'node:timers/promises';
import type { EscalationStep } from '../../protocol/api/orders.ts';
import type { Mac } from '../../protocol/mac.ts';
import { everything } from '../../protocol/roll-call.ts';
import type { NodeDocument, OrderDocument } from '../../inventory/store/documents.ts';
import { isDrillOrder } from '../../inventory/drills/drills.ts';
import type { Inventory } from '../../inventory/inventory.ts';
import { StorageError } from '../../inventory/store/store.ts';
import { stopBySsh } from './emergency-stop.ts';
import { attemptsOf, decideEscalation, silentAfterMs, sshAfterMs } from './escalation-decision.ts';
import { chain } from '../api/http.ts';
import type { NodeShell } from './node-shell.ts';
import type { Power } from '../power/power.ts';
import type { RollCall } from './roll-call.ts';

/** A node that has not confirmed by now is slow, or will need an SSH connection a second later. */
const prepareAfterMs = sshAfterMs - 1_000;
/** SSH connections at once. */
const connectionLimit = 16;
/** How long a PDU may take from the command until it says that it is done: some wait before they switch. */
const switchingMs = 5_000;
const readBackEveryMs = 200;
/** Heartbeats that had left the board before its power went may still be on their way to us. */
const stragglersMs = 300;
const namesShown = 8;
const closingMs = 500;
/** How long is waited for the disk. */
const storingMs = 700;
const storeAgainMs = 1_000;

export interface Escalation extends AsyncDisposable {
  /** Begins what is due, and returns at once. Called every `killResendMs`, after the roll call's `pursue`. */
  pursue(): void;
}

export interface EscalationOptions {
  inventory: Inventory;
  rollCall: Pick<RollCall, 'askedForMs' | 'listeningForMs' | 'mayHold' | 'sinceGiven'>;
  shell: NodeShell;
  /** Undefined where no PDU is configured. */
  power: Power | undefined;
  /** Monotonic ms, the clock of heartbeats. */
  now: () => number;
  pause?: (ms: number) => Promise<unknown>;
  /** A change that could not be stored. */
  onFailure: (error: unknown) => void;
}

export function startEscalation(options: EscalationOptions): Escalation {
  const { inventory, rollCall, shell, power, now, onFailure, pause = realPause } = options;
  const running = { ssh: new Set<Mac>(), power: new Set<Mac>() };
  const work = new Set<Promise<void>>();
  /** Boards that were told about: `3 02:00:…` loses its power for order 3. */
  const announced = new Set<string>();
  /** Boards whose fence is on its way to disk. */
  const fencing = new Map<Mac, Promise<void>>();
  let ended = false;

  function pursue(): void {
    if (ended) return;
    const due = { ssh: new Map<Mac, OrderDocument[]>(), power: new Map<Mac, OrderDocument[]>() };
    for (const mac of inventory.orders.unconfirmedNodes()) {
      const node = inventory.nodes.get(mac);
      if (node === undefined) continue;
      for (const order of inventory.orders.unconfirmed(mac)) {
        const sinceGivenMs = rollCall.sinceGiven(order);
        if (sinceGivenMs < sshAfterMs) {
          // Later no more: a node may stay unconfirmed for weeks, and the process ends when nobody has needed it.
          if (sinceGivenMs >= prepareAfterMs) shell.prepare();
          continue;
        }
        const decision = decideEscalation(situationOf(node, order, sinceGivenMs));
        for (const by of ['ssh', 'power'] as const)
          if (decision[by]) due[by].set(mac, [...(due[by].get(mac) ?? []), order]);
      }
    }
    // Who has waited longest comes first: with many unreachable nodes each attempt costs its whole time limit.
    const waiting = [...due.ssh].toSorted(([a, [first]], [b, [second]]) => lastTried(a, first) - lastTried(b, second));
    for (const [mac, orders] of waiting.slice(0, Math.max(0, connectionLimit - running.ssh.size)))
      begin('ssh', mac, () => stopThroughSsh(mac, orders));
    for (const [mac, orders] of due.power) begin('power', mac, () => cutPower(mac, orders));
  }

  function situationOf(node: NodeDocument, order: OrderDocument, sinceGivenMs: number) {
    const { mac } = node;
    const heardAt = inventory.nodes.lastHeartbeatAt(mac);
    const steps = inventory.orders.escalationSteps(order.number, mac);
    return {
      sinceGivenMs,
      listeningMs: rollCall.listeningForMs(),
      askedMs: rollCall.askedForMs(mac, order.number),
      heardAgoMs: heardAt === undefined ? undefined : now() - heardAt,
      holds: rollCall.mayHold(mac, order.scope),
      ssh: attemptsOf(steps, 'ssh'),
      power: attemptsOf(steps, 'power'),
      running: { ssh: running.ssh.has(mac), power: running.power.has(mac) },
      isSuspect:
        heardAt !== undefined ||
        inventory.instances.on(mac).some(({ customer }) => [customer, everything].includes(order.scope)),
      // A drill measures: it may be late, and costs nobody a board.
      mayCutPower: power?.automatic === true && power.outletsOf(node).length > 0 && !isDrillOrder(order),
    };
  }

  function lastTried(mac: Mac, order: OrderDocument | undefined): number {
    const steps = order === undefined ? [] : inventory.orders.escalationSteps(order.number, mac);
    return steps.findLast(({ by }) => by === 'ssh')?.afterMs ?? 0;
  }

  function begin(by: 'ssh' | 'power', mac: Mac, act: () => Promise<void>): void {
    running[by].add(mac);
    const done = act()
      .catch((error: unknown) => {
        if (!ended) onFailure(error);
      })
      .finally(() => {
        running[by].delete(mac);
        work.delete(done);
      });
    work.add(done);
  }

  async function stopThroughSsh(mac: Mac, orders: OrderDocument[]): Promise<void> {
    try {
      const node = inventory.nodes.get(mac);
      if (node?.ip == null) throw new Error('it has no address');
      const scopes = orders.map(({ scope }) => scope);
      const target = { mac, ip: node.ip, hostKey: node.sshHostKey };
      const { processes } = await stopBySsh(shell, target, scopes);
      for (const order of orders) {
        await note(order, mac, { by: 'ssh', outcome: 'stopped', detail: `its control groups are empty: ${processes}` });
        await shortly(
          inventory.orders.saveReceipt({ number: order.number, mac, receipt: evidence(order, 'ssh', processes) }),
        );
      }
    } catch (error) {
      for (const order of orders) await note(order, mac, { by: 'ssh', outcome: 'failed', detail: chain(error) });
    }
  }

  async function cutPower(mac: Mac, orders: OrderDocument[]): Promise<void> {
    const board = inventory.nodes.get(mac);
    const [order] = orders;
    if (board === undefined || order === undefined || power === undefined) return;
    const outlets = power.outletsOf(board).join(' and ');
    const neighbours = power.neighboursOf(board);
    const loss =
      neighbours.length === 0 ? '' : `; ${listed(neighbours.map(({ name }) => name))} lose power with it, by design`;
    const numbers = orders.map(({ number }) => number).join(', ');
    try {
      for (const each of orders)
        await note(each, mac, { by: 'power', outcome: 'tried', detail: `switches off ${outlets}${loss}` });
      for (const neighbour of neighbours)
        announce(
          order,
          neighbour.mac,
          `loses its power: ${board.name} on ${outlets} does not confirm order ${numbers}`,
        );
      await power.turn('off', board, order.number);
      // Before it is known to be off: a PDU may take longer than we wait, and whoever reads that it is off may switch it
      // on again.
      await fence(mac, `order ${numbers}`);
      announce(order, mac, `fenced: its power was cut by order ${numbers}`);
      const offAt = await untilOff(board, order);
      await untilSettled(offAt);
      if (isHeardSince(mac, offAt)) {
        const wrong = `${outlets} is off, and ${board.name} goes on talking: the configuration names a wrong outlet`;
        announce(order, mac, wrong);
        throw new Error(wrong);
      }
      for (const each of [board, ...neighbours.filter((neighbour) => !isHeardSince(neighbour.mac, offAt))])
        for (const pending of inventory.orders.unconfirmed(each.mac)) {
          const detail = each === board ? `${outlets} is off${loss}` : `lost its power with ${board.name}`;
          await note(pending, each.mac, { by: 'power', outcome: 'stopped', detail });
          await shortly(
            inventory.orders.saveReceipt({
              number: pending.number,
              mac: each.mac,
              receipt: evidence(pending, 'power', 0),
            }),
          );
        }
    } catch (error) {
      // The attempt stays open, for the next start to take up.
      if (ended) return;
      for (const each of orders) await note(each, mac, { by: 'power', outcome: 'failed', detail: chain(error) });
    }
  }

  async function fence(mac: Mac, by: string): Promise<void> {
    const stored = fencing.get(mac) ?? untilFenced(mac, by).finally(() => fencing.delete(mac));
    fencing.set(mac, stored);
    await shortly(stored);
  }

  async function untilFenced(mac: Mac, by: string): Promise<void> {
    for (;;)
      try {
        await inventory.nodes.patch(mac, { fenced: true }, { by });
        return;
      } catch (error) {
        if (ended || !(error instanceof StorageError)) throw error;
        await pause(storeAgainMs);
      }
  }

  /** What counts already, or is tried until it is stored. */
  async function shortly(stored: Promise<void>): Promise<void> {
    stored.catch((error: unknown) => {
      if (!ended) onFailure(error);
    });
    await Promise.race([stored, pause(storingMs)]);
  }

  /** When the PDU said that the board is off. Throws the last thing that it said instead. */
  async function untilOff(board: NodeDocument, order: OrderDocument): Promise<number> {
    let trouble: unknown;
    for (const deadline = now() + switchingMs; now() < deadline; await rest()) {
      try {
        if ((await power?.isOff(board, order.number)) === true) return now();
        trouble = new Error('it does not say that the outlet is off');
      } catch (error) {
        trouble = error;
      }
    }
    throw trouble;
  }

  /** Until a board that still had power must have been heard again. A pause of ours makes it longer. */
  async function untilSettled(offAt: number): Promise<void> {
    const settledMs = stragglersMs + silentAfterMs;
    while (Math.min(now() - offAt, rollCall.listeningForMs()) < settledMs) await rest();
  }

  async function rest(): Promise<void> {
    await pause(readBackEveryMs);
    if (ended) throw new Error('the controller was stopped meanwhile');
  }

  function isHeardSince(mac: Mac, offAt: number): boolean {
    return (inventory.nodes.lastHeartbeatAt(mac) ?? -Infinity) > offAt + stragglersMs;
  }

  function announce({ number }: OrderDocument, mac: Mac, text: string): void {
    const key = `${number} ${mac} ${text}`;
    if (announced.has(key)) return;
    announced.add(key);
    inventory.events.add({ kind: 'node', subject: mac, message: text });
  }

  function note(order: OrderDocument, mac: Mac, step: Omit<EscalationStep, 'afterMs'>): Promise<void> {
    const detail = step.detail.slice(0, 500);
    return inventory.orders.addEscalationStep({
      number: order.number,
      mac,
      step: { ...step, detail, afterMs: sinceGiven(order) },
    });
  }

  function evidence(order: OrderDocument, by: 'ssh' | 'power', processes: number) {
    return { evidence: by, confirmedAfterMs: sinceGiven(order), stoppedAfterMs: null, processes };
  }

  function sinceGiven(order: OrderDocument): number {
    return Math.round(10 * rollCall.sinceGiven(order)) / 10;
  }

  return {
    pursue,
    [Symbol.asyncDispose]: async () => {
      ended = true;
      // What hangs at a board or a PDU is not waited for: the next start goes on from what is stored.
      await Promise.race([Promise.all(work), pause(closingMs)]);
    },
  };
}

function listed(names: string[]): string {
  const more = names.length - namesShown;
  return more <= 0 ? names.join(', ') : `${names.slice(0, namesShown).join(', ')} and ${more} more`;
}
