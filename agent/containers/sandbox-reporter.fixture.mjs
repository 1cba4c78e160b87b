// What a run inside a sandbox tells the test outside, on file descriptor 3: a line of JSON as each test begins and ends.
import { writeSync } from 'node:fs';
import { inspect } from 'node:util';

const tell = (line) => writeSync(3, `${JSON.stringify(line)}\n`);

export default async function* reporter(events) {
  for await (const { type, data } of events) {
    const { name } = data;
    // The runner reports the file as a test around its tests.
    if (name === data.file) continue;
    // (`test:start` comes when the test is reported, which is when it ends.)
    if (type === 'test:dequeue') tell({ name, is: 'begun' });
    if (type === 'test:pass') tell({ name, is: data.skip === undefined ? 'passed' : 'skipped' });
    if (type === 'test:fail') {
      const { error } = data.details;
      tell({ name, is: 'failed', why: inspect(error.cause ?? error) });
    }
  }
  // Nothing for the destination that a reporter must have.
  yield '';
}
