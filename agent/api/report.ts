// What the controller should know, over TLS: instances at once when they change (gathered for 100 ms), a sample and logs
// every 2 s. While the controller cannot be reached nothing piles up here: the runtime bounds its log lines itself, and of
// those taken from it one batch is kept until it is delivered.
import { performance } from 'node:perf_hooks';
import type { InstanceReport, Report } from '../../protocol/api/agent.ts';
import type { NodeFacts } from '../../protocol/api/nodes.ts';
import type { Sample } from '../../protocol/api/samples.ts';
import { reportedInstancesLimit } from '../../protocol/desired-state.ts';
import { inWords, type ControllerClient } from './controller-client.ts';
import type { Runtime, RuntimeLogLine } from '../containers/runtime.ts';
import type { AgentSession } from '../agent-session.ts';

const gatherMs = 100;
const intervalMs = 2_000;
/** Between two reports while log lines wait. */
const backlogMs = 250;
const callDeadlineMs = 5_000;
/** What one report carries of logs: building its JSON holds the agent's thread up. */
const batchLines = 500;
const batchBytes = 128 * 1024;
const sliceLines = 50;

export interface ReporterOptions {
  client: ControllerClient;
  mac: string;
  session: () => AgentSession;
  runtime: Pick<Runtime, 'reports' | 'takeLogs' | 'onChange'>;
  appliedGeneration: () => number;
  sample: () => Sample;
  log: (text: string) => void;
}

export interface Reporter extends Disposable {
  /** Reports soon, as when instances change. */
  hurry: () => void;
  /** Reports these facts, once. */
  tell: (facts: NodeFacts) => void;
}

export function startReporter(options: ReporterOptions): Reporter {
  const { client, runtime, log } = options;
  const next = contents(options);
  const ended = new AbortController();
  const path = `/v1/nodes/${options.mac}/report`;
  let timer: NodeJS.Timeout | undefined;
  let dueMs = Infinity;
  let sending = false;
  let again = false;
  let failures = 0;

  function schedule(waitMs: number): void {
    const atMs = performance.now() + waitMs;
    if (ended.signal.aborted || atMs >= dueMs) return;
    dueMs = atMs;
    clearTimeout(timer);
    timer = setTimeout(() => void send(), waitMs);
  }

  async function send(): Promise<void> {
    dueMs = Infinity;
    again = sending;
    if (sending) return;
    sending = true;
    let nextMs = intervalMs;
    try {
      const { report: body, isFull } = next.gather();
      const { status, body: answer } = await client.call({
        method: 'POST',
        path,
        body,
        session: options.session(),
        deadlineMs: callDeadlineMs,
        limitBytes: 64 * 1024,
        signal: ended.signal,
      });
      if (status < 200 || status > 299) throw new Error(`status ${status}: ${answer.toString('utf8', 0, 200)}`);
      next.delivered(body);
      failures = 0;
      if (isFull) nextMs = backlogMs;
    } catch (error) {
      if (ended.signal.aborted) return;
      if (failures % 15 === 0) log(`report not delivered: ${inWords(error)}`);
      failures += 1;
    } finally {
      sending = false;
    }
    schedule(again ? gatherMs : nextMs);
    again = false;
  }

  const hurry = (): void => schedule(gatherMs);
  runtime.onChange(hurry);
  hurry();
  return {
    hurry,
    tell(found) {
      next.tell(found);
      hurry();
    },
    [Symbol.dispose]() {
      ended.abort();
      clearTimeout(timer);
    },
  };
}

/** What reports say. The lines of logs and the facts that one could not deliver are in the next one too. */
function contents(options: Pick<ReporterOptions, 'runtime' | 'appliedGeneration' | 'sample'>) {
  const { runtime } = options;
  let sampleDueMs = 0;
  let logs: RuntimeLogLine[] = [];
  let facts: NodeFacts | null = null;
  return {
    /** Full: more lines of logs may wait than one report takes. */
    gather(): { report: Report; isFull: boolean } {
      if (logs.length === 0) logs = takeBatch(runtime);
      const nowMs = performance.now();
      const withSample = nowMs >= sampleDueMs;
      if (withSample) sampleDueMs = nowMs + intervalMs - gatherMs;
      const instances: InstanceReport[] = runtime.reports().slice(0, reportedInstancesLimit);
      const report = {
        generation: options.appliedGeneration(),
        instances,
        sample: withSample ? options.sample() : null,
        facts,
        logs: logs.map(({ at, ...line }) => ({ agoMs: Math.max(0, nowMs - at), ...line })),
      };
      return { report, isFull: logs.length >= sliceLines };
    },
    delivered(report: Report): void {
      logs = [];
      if (report.facts === facts) facts = null;
    },
    tell(found: NodeFacts): void {
      facts = found;
    },
  };
}

/** In slices, as only the lines' sum of lengths says how many there should be. */
function takeBatch(runtime: Pick<Runtime, 'takeLogs'>): RuntimeLogLine[] {
  const batch: RuntimeLogLine[] = [];
  for (let bytes = 0; bytes < batchBytes && batch.length < batchLines;) {
    const slice = runtime.takeLogs(sliceLines);
    batch.push(...slice);
    for (const { text } of slice) bytes += text.length + 100;
    if (slice.length < sliceLines) break;
  }
  return batch;
}
