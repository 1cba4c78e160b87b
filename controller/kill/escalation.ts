// Carries on where permits do not help: stops customers by SSH on nodes that have not acknowledged a kill order, and cuts
// the power of those on which that fails. What is due is decided in escalation-decision.ts.
//
//   SSH      the customer's control groups are empty ─► evidence `ssh`
//   power    see power-cut.ts
//
// Each attempt is stored with its outcome; the command that cuts power is stored before it is given. A disk that takes nothing
// holds none of this up: after some tenths of a second it goes on, and what happened is stored when the disk takes it.
import { setTimeout as realPause } from 'node:timers/promises';
import { errorChain } from '../../protocol/error-chain.ts';
import type { Mac } from '../../protocol/mac.ts';
import { everything } from '../../protocol/roll-call.ts';
import type { NodeDocument, OrderDocument } from '../../inventory/store/documents.ts';
import { isDrillOrder } from '../../inventory/drills/drills.ts';
import type { Inventory } from '../../inventory/inventory.ts';
import { stopBySsh } from './emergency-stop.ts';
import { attemptsOf, type Case, decideDue, mayNeedSshSoon, type Situation, sshAfterMs } from './escalation-decision.ts';
import { EscalationRecord } from './escalation-record.ts';
import type { NodeShell } from './node-shell.ts';
import type { Power } from '../power/power.ts';
import { cutPower } from './power-cut.ts';
import type { RollCall } from './roll-call/roll-call.ts';

const closingMs = 500;

export interface Escalation extends AsyncDisposable {
  /** Begins what is due, and returns at once. Called every `killResendMs`, when the roll call has told what it heard. */
  pursue(): void;
}

export interface EscalationOptions {
  inventory: Inventory;
  rollCall: Pick<RollCall, 'askedForMs' | 'heardUpTo' | 'listeningForMs' | 'mayHold' | 'sinceGiven'>;
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
  const record = new EscalationRecord({ inventory, rollCall, pause, onFailure });
  const running = { ssh: new Set<Mac>(), power: new Set<Mac>() };
  const work = new Set<Promise<void>>();
  const parts = { inventory, rollCall, power, running };

  function pursue(): void {
    if (record.hasEnded) return;
    const cases: Case<OrderDocument>[] = [];
    for (const mac of inventory.orders.unacknowledgedNodes()) {
      const node = inventory.nodes.get(mac);
      if (node === undefined) continue;
      for (const order of inventory.orders.unacknowledged(mac)) {
        const sinceGivenMs = rollCall.sinceGiven(order);
        if (mayNeedSshSoon(sinceGivenMs)) shell.prepare();
        if (sinceGivenMs >= sshAfterMs)
          cases.push({ mac, order, situation: situationOf(parts, { node, order, sinceGivenMs }) });
      }
    }
    const due = decideDue(cases, running.ssh.size);
    for (const [mac, orders] of due.ssh) begin({ by: 'ssh', mac }, () => stopThroughSsh(mac, orders));
    if (power === undefined) return;
    for (const [mac, orders] of due.power)
      begin({ by: 'power', mac }, () => cutPower({ inventory, rollCall, power, record, now, pause }, { mac, orders }));
  }

  function begin({ by, mac }: { by: 'ssh' | 'power'; mac: Mac }, act: () => Promise<void>): void {
    running[by].add(mac);
    const done = act()
      .catch((error: unknown) => record.failed(error))
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
      const { processes } = await stopBySsh(shell, { node: target, scopes });
      const detail = `its control groups are empty: ${processes}`;
      for (const order of orders) await record.stopped({ order, mac }, { by: 'ssh', detail, processes });
    } catch (error) {
      for (const order of orders)
        await record.note({ order, mac }, { by: 'ssh', outcome: 'failed', detail: errorChain(error) });
    }
  }

  return {
    pursue,
    [Symbol.asyncDispose]: async () => {
      record.end();
      // What hangs at a board or a PDU is not waited for: the next start goes on from what is stored.
      await Promise.race([Promise.all(work), pause(closingMs)]);
    },
  };
}

function situationOf(
  {
    inventory,
    rollCall,
    power,
    running,
  }: Pick<EscalationOptions, 'inventory' | 'rollCall' | 'power'> & { running: Record<'ssh' | 'power', Set<Mac>> },
  { node, order, sinceGivenMs }: { node: NodeDocument; order: OrderDocument; sinceGivenMs: number },
): Situation {
  const { mac } = node;
  const heardAt = inventory.nodes.lastHeartbeatAt(mac);
  const steps = inventory.orders.escalationSteps(order.number, mac);
  return {
    sinceGivenMs,
    listeningMs: rollCall.listeningForMs(),
    askedMs: rollCall.askedForMs(mac, order.number),
    heardAgoMs: heardAt === undefined ? undefined : rollCall.heardUpTo() - heardAt,
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
