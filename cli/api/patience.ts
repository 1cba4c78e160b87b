// Following what goes on through a restart of the controller.
import { ApiError } from './api.ts';
import type { Context } from '../command.ts';

/** A controller that is restarted is back within seconds, on a machine that starts again within a minute. */
const unreachableLimitMs = 60_000;
const againMs = 500;

interface Patient<Answer> {
  readonly ask: () => Promise<Answer>;
  /** Is told once that there is no answer. */
  readonly tell: (text: string) => void;
}

/** Asks until there is an answer, or a refusal, or the limit is over: then the last failure is thrown. */
export async function askPatiently<Answer>(context: Context, { ask, tell }: Patient<Answer>): Promise<Answer> {
  const startedMs = context.monotonic();
  for (let isTold = false; ; isTold = true) {
    try {
      return await ask();
    } catch (error) {
      const unanswered = error instanceof ApiError && error.status === 0;
      if (!unanswered || context.monotonic() - startedMs > unreachableLimitMs) throw error;
      if (!isTold) tell(`the controller at ${context.api.url} does not answer, asking on …`);
      await context.sleep(againMs);
    }
  }
}
