// Asks one run of an instance again and again how it is, from its start to its end. What follows is decided in health.ts,
// how often all of them together may ask in pacer.ts.
import { setTimeout as wait } from 'node:timers/promises';
import { intervalOf, type CheckName } from '../../protocol/workload/checks.ts';
import type { FilledCheck, FilledChecks } from '../../protocol/workload/check-schemas.ts';
import { afterCheck, askedNow, newHealth, type Health } from './health.ts';
import { commandPace, connectionPace, pacer, type Pacer } from './pacer.ts';
import { probe, type Instance } from './probe.ts';

/** What all instances of a node share. */
export interface CheckPaces {
  connections: Pacer;
  commands: Pacer;
}

export function checkPaces(): CheckPaces {
  return { connections: pacer(connectionPace), commands: pacer(commandPace) };
}

export interface CheckingOptions {
  checks: FilledChecks;
  customer: string;
  instance: Instance;
  paces: CheckPaces;
  /** It ran before this agent did. */
  adopted: boolean;
  /** Ready or its reason are others than before. */
  readonly changed: () => void;
  /** Once at most: it is to be ended and started again. */
  readonly restart: (reason: string) => void;
}

export interface Checking extends Disposable {
  readonly ready: boolean;
  /** Why it is not ready, in words; empty where it is. */
  readonly reason: string;
}

export function startChecking(options: CheckingOptions): Checking {
  const { checks, customer, instance, paces, changed, restart } = options;
  const ended = new AbortController();
  const asking = new Set<CheckName>();
  let health = newHealth(checks, options);

  function ask(): void {
    for (const name of askedNow(health)) if (!asking.has(name)) void askOn(name);
  }

  async function askOn(name: CheckName): Promise<void> {
    const check = checks[name];
    if (check === undefined) return;
    asking.add(name);
    const pace = check.exec === undefined ? paces.connections : paces.commands;
    const { signal } = ended;
    try {
      while (askedNow(health).includes(name)) {
        const failure = await pace.paced(() => asked(check), { customer, signal });
        signal.throwIfAborted();
        learn(afterCheck(health, { name, failure }));
        await wait(intervalOf(check, health.streaks[name].hasHeld), undefined, { signal });
      }
    } catch (error) {
      if (!signal.aborted) throw error;
    } finally {
      asking.delete(name);
    }
  }

  /** What the node itself cannot do is no reason for the agent to end: it is the check that does not hold. */
  async function asked(check: FilledCheck): Promise<string | undefined> {
    try {
      return await probe(check, { instance, signal: ended.signal });
    } catch (error) {
      return `cannot be asked: ${error instanceof Error ? error.message.slice(0, 200) : String(error)}`;
    }
  }

  function learn(next: Health): void {
    const before = health;
    health = next;
    if (next.ready !== before.ready || next.reason !== before.reason) changed();
    if (next.restart !== undefined && before.restart === undefined) restart(next.restart);
    if (next.started && !before.started) ask();
  }

  ask();
  return {
    get ready() {
      return health.ready;
    },
    get reason() {
      return health.ready ? '' : health.reason;
    },
    [Symbol.dispose]() {
      ended.abort(new Error('the instance has ended'));
    },
  };
}
