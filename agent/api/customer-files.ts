// What the container runtime fetches from the controller: images, and what containers are started with.
import { Value } from 'typebox/value';
import { Problem } from '../../protocol/api/problem.ts';
import { configurationLimitBytes } from '../../protocol/desired-state.ts';
import type { AgentSession } from '../agent-session.ts';
import type { RuntimeOptions } from '../containers/runtime.ts';
import type { ControllerClient } from './controller-client.ts';

/** No image of a customer is larger: it must fit a board's memory. */
const imageLimitBytes = 1024 ** 3;
const configurationDeadlineMs = 10_000;

export interface CustomerFilesOptions {
  client: ControllerClient;
  mac: string;
  /** Undefined until the node has joined. */
  session: () => AgentSession | undefined;
}

export function customerFiles(
  options: CustomerFilesOptions,
): Pick<RuntimeOptions, 'fetchSquashfs' | 'fetchConfiguration'> {
  const { client, mac } = options;
  function sessionFor(file: string): AgentSession {
    const session = options.session();
    if (session === undefined) throw new Error(`cannot fetch ${file}: not joined`);
    return session;
  }
  return {
    async fetchSquashfs(sha256, { destination, signal }) {
      const session = sessionFor(`image ${sha256}`);
      const path = `/v1/squashfs/${sha256}`;
      await client.download({ path, session, destination, sha256, limitBytes: imageLimitBytes, signal });
    },
    async fetchConfiguration(sha256, signal) {
      const { status, body } = await client.call({
        method: 'GET',
        path: `/v1/nodes/${mac}/configurations/${sha256}`,
        session: sessionFor(`configuration ${sha256}`),
        deadlineMs: configurationDeadlineMs,
        limitBytes: configurationLimitBytes,
        signal,
      });
      if (status !== 200)
        throw new Error(saidIn(body) ?? `cannot fetch configuration ${sha256}: status ${status}, want 200`);
      return body;
    },
  };
}

/** The controller's own sentence, where it sent one. */
function saidIn(body: Buffer): string | undefined {
  try {
    const problem: unknown = JSON.parse(body.toString('utf8'));
    return Value.Check(Problem, problem) ? problem.detail : undefined;
  } catch {
    // Not ours: the status is all there is to say.
    return undefined;
  }
}
