// The agent's own lines on the serial console. Such a line may be slow (115,200 baud) or stuck, and writing to a full pipe
// blocks the writer: so the writes happen off the agent's thread, from a queue that rather loses lines than time.
import { write, writeSync } from 'node:fs';

const queueLimit = 200;
const lineLimit = 500;

export interface SerialConsole {
  say: (text: string) => void;
  /** For the last words before an exit: waits until they are written. */
  sayNow: (text: string) => void;
}

export function serialConsole(file: number): SerialConsole {
  let queue: string[] = [];
  let lost = 0;
  let writing = false;

  function drain(): void {
    if (writing || queue.length === 0) return;
    if (lost > 0) queue.push(line(`${lost} lines lost here: the console is too slow`));
    const chunk = queue.join('');
    queue = [];
    lost = 0;
    writing = true;
    // An error means that nobody reads any more: there is nowhere left to tell it.
    write(file, chunk, () => {
      writing = false;
      drain();
    });
  }

  return {
    say(text) {
      if (queue.length < queueLimit) queue.push(line(text));
      else lost += 1;
      drain();
    },
    sayNow(text) {
      writeSync(file, queue.join('') + line(text));
      queue = [];
    },
  };
}

function line(text: string): string {
  return `muster agent: ${text.replaceAll(/\p{Cc}+/gu, ' ').slice(0, lineLimit)}\n`;
}
