// What changes from second to second, read from /proc and /sys on the agent's thread: 0.3 ms in all, no other program.
import { readdirSync, readFileSync } from 'node:fs';
import { uptime } from 'node:os';
import { performance } from 'node:perf_hooks';
import type { Sample } from '../protocol/api/samples.ts';

interface CpuTime {
  busy: number;
  total: number;
}

/** The first is all cores together. */
export function parseCpuTimes(stat: string): CpuTime[] {
  const times: CpuTime[] = [];
  for (const line of stat.split('\n')) {
    if (!line.startsWith('cpu')) break;
    const fields = line.trim().split(/\s+/).slice(1, 9).map(Number);
    const total = fields.reduce((sum, ticks) => sum + ticks, 0);
    const [, , , idle = 0, wait = 0] = fields;
    times.push({ busy: total - idle - wait, total });
  }
  return times;
}

/** Shares of 0 to 1 between two readings; 0 where no time has passed. */
export function cpuShares(before: readonly CpuTime[], after: readonly CpuTime[]): number[] {
  return after.map(({ busy, total }, index) => {
    const old = before[index] ?? { busy: 0, total: 0 };
    const passed = total - old.total;
    return passed > 0 ? Math.min(1, Math.max(0, (busy - old.busy) / passed)) : 0;
  });
}

export function parseMemory(meminfo: string): { usedBytes: number; totalBytes: number } {
  const bytes = (key: string): number =>
    Number(new RegExp(`^${key}:\\s+(\\d+) kB`, 'm').exec(meminfo)?.[1] ?? 0) * 1024;
  const totalBytes = bytes('MemTotal');
  return { totalBytes, usedBytes: totalBytes - bytes('MemAvailable') };
}

export interface Sampler {
  /** Rates and shares are since the last call. */
  sample: (worstDelayMs: number) => Sample;
}

export function newSampler(interfaceName: string): Sampler {
  const zones = thermalZones();
  let cpu = parseCpuTimes(readFileSync('/proc/stat', 'latin1'));
  let bytes = trafficOf(interfaceName);
  let atMs = performance.now();
  return {
    sample(worstDelayMs) {
      const nowCpu = parseCpuTimes(readFileSync('/proc/stat', 'latin1'));
      const nowBytes = trafficOf(interfaceName);
      const nowMs = performance.now();
      const seconds = Math.max(0.001, (nowMs - atMs) / 1000);
      const [all = 0, ...cores] = cpuShares(cpu, nowCpu);
      const { usedBytes, totalBytes } = parseMemory(readFileSync('/proc/meminfo', 'latin1'));
      const result: Sample = {
        cpu: all,
        cpuPerCore: cores.slice(0, 256),
        memoryUsedBytes: usedBytes,
        memoryTotalBytes: totalBytes,
        temperatureCelsius: hottest(zones),
        uptimeSeconds: uptime(),
        rxBytesPerSecond: Math.max(0, nowBytes.rx - bytes.rx) / seconds,
        txBytesPerSecond: Math.max(0, nowBytes.tx - bytes.tx) / seconds,
        agentRssBytes: process.memoryUsage.rss(),
        permitThreadDelayMs: worstDelayMs,
      };
      cpu = nowCpu;
      bytes = nowBytes;
      atMs = nowMs;
      return result;
    },
  };
}

function trafficOf(interfaceName: string): { rx: number; tx: number } {
  const count = (direction: string): number =>
    Number(readOptional(`/sys/class/net/${interfaceName}/statistics/${direction}_bytes`) ?? 0);
  return { rx: count('rx'), tx: count('tx') };
}

function thermalZones(): string[] {
  try {
    const root = '/sys/class/thermal';
    return readdirSync(root)
      .filter((name) => name.startsWith('thermal_zone'))
      .slice(0, 8)
      .map((name) => `${root}/${name}/temp`);
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return [];
    throw error;
  }
}

function hottest(zones: readonly string[]): number | null {
  const degrees = zones.flatMap((zone) => {
    const text = readOptional(zone);
    return text === undefined ? [] : Number(text) / 1000;
  });
  return degrees.length === 0 ? null : Math.max(...degrees);
}

/** Undefined where there is nothing to read: an interface that went away, a sensor that gives no value now (EAGAIN, ENODATA). */
export function readOptional(file: string): string | undefined {
  try {
    return readFileSync(file, 'latin1');
  } catch (error) {
    if (error instanceof Error && 'code' in error) return undefined;
    throw error;
  }
}
