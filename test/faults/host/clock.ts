// Fault 10: the controller's wall clock jumps while it works. libfaketime (Debian) stands between it and the C library, and
// reads the offset from a file at each call; the monotonic clock stays as it is, as it does when a real clock is set.
import { globSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { drill } from './drill.ts';
import type { Run } from '../fault.ts';
import type { Rig } from './rig.ts';
import { until } from '../../until.ts';

const toleranceSeconds = 60;

export async function clockSteps(rig: Rig, seconds: number): Promise<Run> {
  const [library] = globSync('/usr/lib/*/faketime/libfaketimeMT.so.1');
  if (library === undefined) throw new Error('cannot step a clock: libfaketime is not installed');
  const offsetFile = join(rig.stateDir, 'clock-offset');
  const set = (offset: number): void => writeFileSync(offsetFile, `${offset < 0 ? '' : '+'}${offset}\n`);
  set(0);
  rig.controllerEnvironment
    .set('LD_PRELOAD', library)
    .set('FAKETIME_TIMESTAMP_FILE', offsetFile)
    .set('FAKETIME_NO_CACHE', '1')
    .set('FAKETIME_DONT_FAKE_MONOTONIC', '1');
  try {
    await rig.controller.restart();
    await rig.allReady();
    return await drill(rig, {
      async before() {
        set(seconds);
        await until('the controller’s clock has jumped', async () => {
          const ahead = (await clockOf(rig)) - Date.now() / 1000;
          return Math.abs(ahead - seconds) < toleranceSeconds;
        });
      },
    });
  } finally {
    rig.controllerEnvironment.clear();
    await rig.controller.restart();
    await rig.allReady();
  }
}

/** What the controller takes for the time, in seconds, by the date in its answers. */
async function clockOf(rig: Rig): Promise<number> {
  const answer = await fetch(`${rig.controller.url}/healthz`, { headers: { connection: 'close' } });
  await answer.arrayBuffer();
  return Date.parse(answer.headers.get('date') ?? '') / 1000;
}
