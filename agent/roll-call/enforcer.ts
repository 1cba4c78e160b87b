// Does what the permit keeper decides: kills, tells the leash, lets customers run. In the same turn of the event loop, with
// nothing awaited before a kill.
import { everything } from '../../protocol/roll-call.ts';
import type { Runtime } from '../containers/runtime.ts';
import type { Machine } from '../machine.ts';
import type { Vouch } from './leash.ts';
import { newKeeper, nextTickMs, step, type Action, type Keeper, type KeeperEvent } from './permit-keeper.ts';
import { newTimer } from './timer.ts';

export interface EnforcerOptions {
  runtime: Pick<Runtime, 'allowCustomer' | 'stopCustomer' | 'stopEverything' | 'isStopping' | 'loads'>;
  /** Tells the leash; must not wait. */
  vouch: (vouches: Vouch[]) => void;
  /** A permit speaks of a newer desired generation. Must not wait. */
  onGeneration: (generation: bigint) => void;
  /** A receipt should leave. */
  beatSoon: () => void;
  log: (text: string) => void;
  machine: Pick<Machine, 'now' | 'later'>;
}

export interface Enforcer extends Disposable {
  apply: (event: KeeperEvent) => void;
  keeper: () => Keeper;
}

export function newEnforcer(options: EnforcerOptions): Enforcer {
  const { runtime, log, machine } = options;
  const tick = newTimer(machine);
  const vouchesOf = vouching((customer) => runtime.isStopping(customer));
  const running = runtime.loads().map(({ customer }) => customer);
  let keeper = newKeeper(running, machine.now());
  let ended = false;

  function apply(event: KeeperEvent): void {
    if (ended) return;
    const next = step(keeper, event);
    keeper = next.keeper;
    perform(next.actions);
    tick.cancel();
    const tickMs = nextTickMs(keeper);
    if (tickMs !== undefined)
      tick.set(() => apply({ type: 'tick', nowMs: machine.now() }), Math.max(1, tickMs - machine.now()));
  }

  function perform(actions: readonly Action[]): void {
    // All kills first: nothing that follows may delay one.
    for (const action of actions) if (action.type === 'stop') stop(action);
    const vouches = vouchesOf(actions);
    if (vouches.length > 0) options.vouch(vouches);
    for (const action of actions) {
      if (action.type === 'allow') runtime.allowCustomer(action.customer);
      else if (action.type === 'fetch') options.onGeneration(action.generation);
      else if (action.type === 'beat') options.beatSoon();
    }
  }

  function stop({ scope, reason, orders }: Extract<Action, { type: 'stop' }>): void {
    const { processes, gone } =
      scope === everything ? runtime.stopEverything(reason) : runtime.stopCustomer(scope, reason);
    log(`stop ${scope}: ${reason}, ${processes} processes`);
    if (orders.length > 0)
      void gone.then(({ afterMs }) => apply({ type: 'stopped', orders, stoppedAfterMs: afterMs, processes }));
  }

  return {
    apply,
    keeper: () => keeper,
    [Symbol.dispose]() {
      ended = true;
      tick.cancel();
    },
  };
}

/**
 * What the leash is to hear of some actions. The last word on a customer counts: a held one may be vouched for by the very
 * step that then forbids it.
 * Nobody vouches for a customer that is not gone yet, also when its order is lifted meanwhile: what hangs in the kernel
 * goes only with the board, which the watchdog resets only while the leash wants it gone.
 */
function vouching(isStopping: (customer: string) => boolean): (actions: readonly Action[]) => Vouch[] {
  /** What the leash will hear of customers once they are gone. */
  const withheld = new Map<string, Vouch>();
  return (actions) => {
    const vouches = new Map<string, Vouch>();
    for (const action of actions) {
      if (action.type === 'vouch') vouches.set(action.customer, action);
      const vouch = action.type === 'allow' ? withheld.get(action.customer) : undefined;
      if (vouch !== undefined && !vouches.has(vouch.customer)) vouches.set(vouch.customer, vouch);
    }
    for (const [customer, vouch] of vouches) {
      withheld.delete(customer);
      if (vouch.untilMs === 0 || !isStopping(customer)) continue;
      withheld.set(customer, vouch);
      vouches.set(customer, { customer, untilMs: 0 });
    }
    return [...vouches.values()];
  };
}
