import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runCommandLine } from '../run.ts';

/** A controller that is asked is a failure: nothing listens there. */
async function refused(line: string): Promise<string> {
  let said = '';
  const code = await runCommandLine(line.split(' '), {
    output: { out: () => undefined, err: (text) => (said += text), tty: false },
    signal: new AbortController().signal,
    variables: { url: 'http://127.0.0.1:9', token: 'x' },
    readToken: () => undefined,
    stateDirectories: [],
    now: () => 0,
    monotonic: () => 0,
    sleep: () => Promise.resolve(),
  });
  assert.equal(code, 2, `${line}: ${said}`);
  return said;
}

test('what is wrong is said by rule and example, before the controller is asked', async () => {
  const table: [line: string, wanted: RegExp][] = [
    ['node move left-3 999999', /"999999" is not a slot of the rack, want a whole number from 1 to 100000/],
    ['node move left-3 first', /"first" is not a slot/],
    ['node rename left-3 Left_3', /"Left_3" is not a node's name, want 1 to 32 of a-z, 0-9 and -, .*like left-3/],
    ['node Left_3', /"Left_3" is not a node, want its name or its MAC address, like .*\(muster nodes lists them\)/],
    ['node power left-3 of', /"of", want on or off/],
    ['customer add Acme', /"Acme" is not a customer's name, want 1 to 12 of a-z, 0-9 and _, a letter first, like acme/],
    ['customer add acme --memory 2K', /--memory is "2K", want a size like 64M or 1G, 16M to 1T/],
    ['customer add acme --processes 3', /--processes is "3", want a whole number, 8 to 32768/],
    ['kill Acme!', /"Acme!" is not a customer's name/],
    ['kill report 0', /"0" is not the number of a kill order, want a whole number from 1 \(muster kills lists them\)/],
    ['deploy acme/Web --image web', /"Web" is not a workload's name/],
    ['deploy acme --image web', /"acme" is not a workload, want CUSTOMER\/NAME, like acme\/web/],
    ['deploy acme/web --image web --port -1', /--port is "-1", want a whole number, 1 to 65535/],
    ['deploy acme/web --image web --replicas 1.5', /--replicas is "1\.5", want a whole number, 0 to 10000/],
    ['deploy acme/web --image web --cpu 0', /--cpu is "0", want a number of cores like 0\.5, 0\.05 to 256/],
    ['deploy acme/web --image Web!', /"Web!" is not an image's name/],
    ['deploy acme/web --no-env A=1', /--no-env is "A=1", want the NAME of a variable/],
    ['deploy acme/web --no-command -- x', /want one of --command, --no-command/],
    [
      'logs acme/web --instance zzz',
      /"zzz" is not an instance's id, want one like web-1a2b3c4d \(muster ps lists them\)/,
    ],
    ['logs acme/web --tail 0', /--tail is "0"/],
    ['events --limit 5000', /--limit is "5000", want a whole number, 1 to 1000/],
    ['operator add Anna', /"Anna" is not an operator's name/],
    ['approve x', /"x" is not the number of a request/],
    ['drill show x', /"x" is not the number of a drill/],
    ['image remove Web!', /"Web!" is not an image's name/],
    ['completion tcsh', /cannot complete in "tcsh", want bash, zsh, fish/],
  ];
  for (const [line, wanted] of table) assert.match(await refused(line), wanted, line);
});
