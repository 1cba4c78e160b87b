import { Type, type Static } from 'typebox';
import { closed, told } from './fields.ts';

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
    permitThreadDelayMs: told('Worst delay of the thread that obeys permits since the last sample, ms.', Type.Number()),
  },
  { ...closed, title: 'Sample', description: 'What the agent reports every few seconds. Shares are 0 to 1.' },
);
export type Sample = Static<typeof Sample>;
