// What an operator does beside a controller: doctor, support, backup and restore, with the real one.
import assert from 'node:assert/strict';
import { cp, mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Type } from 'typebox';
import { Check } from 'typebox/value';
import { Customer } from '../../protocol/api/customers.ts';
import { KillOrder } from '../../protocol/api/orders.ts';
import { cacheDir, runningNetwork, scratch } from '../failures/attempt.ts';
import { ControllerProcess } from '../qemu/controller-process.ts';
import { runTied } from '../qemu/tied-process.ts';

const cli = fileURLToPath(new URL('../../cli/main.ts', import.meta.url));
const findingsSchema = Type.Object({
  findings: Type.Array(Type.Object({ check: Type.String(), verdict: Type.String(), text: Type.String() })),
});

const secrets = ['SecretOfTheSwitch', 'SecretInAFile', 'SecretInAnAddress', 'SecretOfContainer'];

/** A controller that is not started yet, with secrets in its configuration, and the command line beside it. */
async function besideController() {
  await using stack = new AsyncDisposableStack();
  const directory = stack.use(await scratch()).path;
  const network = stack.use(await runningNetwork({ boards: 0 }));
  const stateDir = join(directory, 'state');
  const config = join(directory, 'config.json');
  await writeFile(join(directory, 'token'), `${secrets[1]}\n`);
  const pdus = {
    left: { kind: 'snmp', host: '127.0.0.1', port: 9, community: secrets[0], controlOid: '1.3.6.1.4.1.318.1.1' },
    site: { kind: 'webhook', url: `http://127.0.0.1:9/${secrets[2]}`, tokenFile: join(directory, 'token') },
  };
  const feeds = [
    { pdu: 'left', outlet: '1', slots: '1-2' },
    { pdu: 'site', outlet: '2', slots: '3-4' },
  ];
  await writeFile(config, JSON.stringify({ power: { pdus, feeds } }));
  const controller = stack.use(
    new ControllerProcess({
      network,
      stateDir,
      cacheDir,
      logPath: join(directory, 'log'),
      flags: ['--config', config],
    }),
  );
  const muster = (...words: string[]) =>
    runTied(network.inside([process.execPath, '--disable-warning=ExperimentalWarning', cli, ...words]), {
      timeoutMs: 60_000,
    });
  const running = stack.move();
  return {
    directory,
    stateDir,
    config,
    controller,
    muster,
    doctor: async (...flags: string[]) => {
      const places = ['--state-dir', stateDir, '--cache', cacheDir];
      const { code, stdout, stderr } = await muster('doctor', '--json', ...places, ...flags);
      const said: unknown = JSON.parse(stdout || '{}');
      assert.ok(Check(findingsSchema, said), stderr);
      return { code, findings: new Map(said.findings.map(({ check, ...rest }) => [check, rest])) };
    },
    /** Whom orders stop. */
    standing: async () => {
      const { orders } = await controller.get('/v1/kill', Type.Object({ orders: Type.Array(KillOrder) }));
      const scopes = orders.filter(({ liftedAt }) => liftedAt === null).map(({ scope }) => scope);
      return scopes.toSorted();
    },
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}
type Beside = Awaited<ReturnType<typeof besideController>>;

async function doctorBeforeAndBeside({ directory, controller, doctor }: Beside): Promise<void> {
  const before = await doctor('--interface', 'br0');
  assert.deepEqual(before.findings.get('ports'), { verdict: 'ok', text: 'all are free' });
  assert.equal(before.findings.get('DHCP servers')?.text, 'nobody else answers on the segment');
  assert.equal(before.findings.get('rights')?.verdict, 'ok');
  const wrong = await doctor('--interface', 'br7', '--config', join(directory, 'none.json'));
  assert.equal(wrong.code, 1);
  assert.match(wrong.findings.get('configuration')?.text ?? '', /none\.json/);
  await controller.start();
  const during = await doctor('--interface', 'br0');
  assert.deepEqual(during.findings.get('ports'), { verdict: 'ok', text: 'a controller of Muster has them' });
}

/** A support file of all that it can have, and no secret in any of it. */
async function supportWithoutSecrets({ directory, stateDir, config, controller }: Beside): Promise<void> {
  const bundle = join(directory, 'help.tar.gz');
  const words = `support --file ${bundle} --config ${config} --state-dir ${stateDir} --url ${controller.url}`;
  const asked = await runTied([process.execPath, cli, ...words.split(' ')], { timeoutMs: 60_000 });
  assert.equal(asked.code, 0, asked.stderr);
  await mkdir(join(directory, 'unpacked'));
  await runTied(['tar', '-xzf', bundle, '-C', join(directory, 'unpacked')]);
  const inside = join(directory, 'unpacked/help');
  const names = await readdir(inside);
  const parts = 'status.json events.json metrics.txt controller.log configuration.json doctor.json'.split(' ');
  for (const name of parts)
    assert.ok(names.includes(name), `${name} is not among ${names.join(', ')}: ${asked.stdout}`);
  const all = (await Promise.all(names.map((name) => readFile(join(inside, name), 'utf8')))).join('\n');
  assert.match(all, /stop acme/);
  const keys = await Promise.all(['tls-key.pem', 'ssh-key'].map((name) => readFile(join(stateDir, name), 'utf8')));
  const lines = keys.flatMap((text) => text.split('\n')).filter((line) => line.length > 0 && !line.startsWith('-----'));
  for (const secret of [...secrets, await controller.token(), ...lines]) assert.ok(!all.includes(secret), secret);
  assert.equal((await stat(bundle)).mode & 0o077, 0);
}

/** From a backup, after which an order was given and a customer removed that it does not know of. */
async function restored({ directory, stateDir, controller, muster, standing }: Beside): Promise<void> {
  await controller.api('POST /v1/backup');
  const kept = join(directory, 'kept');
  await cp(join(stateDir, 'backup'), kept, { recursive: true });
  await controller.api('POST /v1/kill', { customer: 'evil', reason: 'after the backup' });
  await controller.api('DELETE /v1/customers/late');
  const running = await muster('restore', kept, '--state-dir', stateDir);
  assert.equal(running.code, 1);
  assert.match(running.stderr, /stop the controller that uses it first/);
  assert.deepEqual(await standing(), ['acme', 'evil']);
  await controller.stop();

  const tar = join(directory, 'kept.tar');
  await runTied(['tar', '-cf', tar, '-C', directory, 'kept']);
  const { code, stdout, stderr } = await muster('restore', tar, '--state-dir', stateDir);
  assert.equal(code, 0, stderr);
  assert.match(stdout, /order 2 stops evil, by root at .*: after the backup/);
  assert.match(stdout, /the audit log that was there goes on from the backup, and stays/);
  const replaced = (await readdir(stateDir)).find((name) => name.startsWith('replaced-')) ?? '';
  assert.ok((await readdir(join(stateDir, replaced))).includes('inventory.sqlite'));

  await controller.start();
  const { customers } = await controller.get('/v1/customers', Type.Object({ customers: Type.Array(Customer) }));
  assert.ok(customers.some(({ name }) => name === 'late'));
  // Whoever was stopped stays stopped, also by an order that is newer than the backup.
  assert.deepEqual(await standing(), ['acme', 'evil']);
  await controller.stop();
}

async function damagedBackupRefused({ directory, stateDir, controller, muster, standing }: Beside): Promise<void> {
  const kept = join(directory, 'kept');
  const damaged = join(kept, 'inventory.sqlite');
  const bytes = await readFile(damaged);
  await writeFile(damaged, bytes.fill(7, 4_096));
  const refused = await muster('restore', kept, '--state-dir', stateDir);
  assert.equal(refused.code, 1);
  assert.match(refused.stderr, /^muster: cannot /);
  await controller.start();
  assert.deepEqual(await standing(), ['acme', 'evil']);
}

test(
  'doctor, support, backup and restore, beside a running controller and without one',
  { timeout: 500_000 },
  async (t) => {
    await using it = await besideController();
    await t.test('doctor, before a controller runs and beside it', () => doctorBeforeAndBeside(it));
    for (const name of ['acme', 'evil', 'late']) await it.controller.api('POST /v1/customers', { name });
    await it.controller.api('POST /v1/kill', { customer: 'acme', reason: 'before' });
    await t.test('a support file has everything but secrets', () => supportWithoutSecrets(it));
    await t.test('a backup is restored, and who was stopped since stays stopped', () => restored(it));
    await t.test('a damaged backup is refused, and what was there stays', () => damagedBackupRefused(it));
  },
);
