/** How long work tells people where it is: one step is started, runs, and is done with its size or time in `detail`. */
export interface Progress {
  step(name: string): { done(detail?: string): void };
}

/** Progress as lines: `name …` when a step starts, `name: 3.2 s, detail` when it is done. */
export function lineProgress({ write, nowMs }: { write: (line: string) => void; nowMs: () => number }): Progress {
  return {
    step(name) {
      const startedMs = nowMs();
      write(`${name} …`);
      return {
        done(detail) {
          const seconds = ((nowMs() - startedMs) / 1000).toFixed(1);
          write(`${name}: ${seconds} s${detail === undefined ? '' : `, ${detail}`}`);
        },
      };
    },
  };
}

export const silentProgress: Progress = { step: () => ({ done: () => undefined }) };

export function megabytes(sizeBytes: number): string {
  return `${(sizeBytes / 1e6).toFixed(1)} MB`;
}
