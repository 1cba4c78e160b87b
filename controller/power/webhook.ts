// Power that somebody else's program switches: it is told by HTTP which boards, and says itself when they are off.
//
//   POST {"action": "off" | "on" | "status", "order": 3 | null, "outlets": ["2"], "nodes": [{"mac", "name", "slot"}, …]}
//   2xx  {"off": true}: all of them are off. `off` may leave it out and have `status` say it later.
import { request as requestHttp, type IncomingMessage } from 'node:http';
import { request as requestHttps } from 'node:https';
import type { WebhookPdu } from './configuration.ts';
import type { PowerDriver, SwitchRequest } from './driver.ts';

const answerLimitBytes = 65_536;

export function webhookDriver(hook: WebhookPdu): PowerDriver {
  return {
    turn: async (state, request) => void (await post(hook, { action: state, request })),
    isOff: async (request) => saysOff(await post(hook, { action: 'status', request })),
  };
}

async function post(
  hook: WebhookPdu,
  { action, request }: { action: 'on' | 'off' | 'status'; request: SwitchRequest },
): Promise<string> {
  const { order, outlets, boards: nodes } = request;
  const body = JSON.stringify({ action, order, outlets, nodes });
  // The whole exchange: an answer that dribbles in is as good as none.
  const signal = AbortSignal.timeout(hook.timeoutMs);
  const where = new URL(hook.url).origin;
  try {
    return await exchange(hook, { body, signal });
  } catch (cause) {
    const late = signal.aborted ? `: no whole answer within ${hook.timeoutMs} ms` : '';
    throw new Error(`cannot have ${where} do "${action}"${late}`, { cause });
  }
}

function exchange(hook: WebhookPdu, { body, signal }: { body: string; signal: AbortSignal }): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const isTls = hook.url.startsWith('https:');
  const outgoing = (isTls ? requestHttps : requestHttp)(hook.url, {
    method: 'POST',
    signal,
    agent: false,
    ...(isTls && hook.ca !== undefined ? { ca: hook.ca } : {}),
    headers: {
      'content-type': 'application/json',
      'content-length': Buffer.byteLength(body),
      ...(hook.token === undefined ? {} : { authorization: `Bearer ${hook.token}` }),
    },
  });
  outgoing.on('error', reject);
  outgoing.on('response', (answer) => {
    const { statusCode = 0 } = answer;
    const settle = statusCode >= 200 && statusCode < 300 ? read(answer) : refused(answer, statusCode);
    settle.then(resolve, reject).finally(() => outgoing.destroy());
  });
  outgoing.end(body);
  return promise;
}

function refused(answer: IncomingMessage, status: number): Promise<never> {
  // A redirection is not followed: the token is for this address.
  answer.destroy();
  return Promise.reject(new Error(`it answered ${status}, want 2xx`));
}

async function read(answer: IncomingMessage): Promise<string> {
  const parts: Buffer[] = [];
  let bytes = 0;
  for await (const part of answer as AsyncIterable<Buffer>) {
    bytes += part.length;
    if (bytes > answerLimitBytes) throw new Error(`it answered more than ${answerLimitBytes} bytes`);
    parts.push(part);
  }
  return Buffer.concat(parts).toString();
}

/** Only `{"off": true}` is evidence: that a request was accepted is none. */
function saysOff(answer: string): boolean {
  try {
    const said: unknown = JSON.parse(answer);
    return typeof said === 'object' && said !== null && 'off' in said && said.off === true;
  } catch {
    return false;
  }
}
