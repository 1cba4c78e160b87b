import { Type, type Static } from 'typebox';
import { closed } from './fields.ts';

/** What the agent reports every few seconds. Shares are 0 to 1. */
export const Sample = Type.Object(
  {
    cpu: Type.Number(),
    cpuPerCore: Type.Array(Type.Number(), { maxItems: 256 }),
    memoryUsedBytes: Type.Number(),
    memoryTotalBytes: Type.Number(),
    temperatureCelsius: Type.Union([Type.Number(), Type.Null()]),
    uptimeSeconds: Type.Number(),
    rxBytesPerSecond: Type.Number(),
    txBytesPerSecond: Type.Number(),
    agentRssBytes: Type.Number(),
    /** Worst delay of the thread that obeys permits since the last sample, ms. */
    permitThreadDelayMs: Type.Number(),
  },
  closed,
);
export type Sample = Static<typeof Sample>;
