// `muster up`: reads the flags, opens device-bound sockets by way of the launcher, runs the controller until a signal.
import { randomBytes } from 'node:crypto';
import { fstatSync } from 'node:fs';
import { flushCompileCache } from 'node:module';
import { getPriority, setPriority, tmpdir } from 'node:os';
import { join } from 'node:path';
import { isatty } from 'node:tty';
import { parseArgs } from 'node:util';
import { errorChain } from '../protocol/error-chain.ts';
import { deviceSocketsVariable, inheritedSockets, withDeviceSockets } from '../boot/device-sockets.ts';
import {
  checkConfiguration,
  ConfigurationError,
  controllerCommand,
  controllerSockets,
  readConfigurationFile,
  readInterfaces,
  resolveConfiguration,
} from './configuration.ts';
import type { ControllerOptions } from './controller.ts';
import { isJournal, openLog } from './log/log.ts';
import { keptSockets, managerVariables, tellManager } from './service-manager.ts';
import { version } from './version.ts';

/** How this process was started. */
export interface Invocation {
  /** The path of `main.ts`. */
  program: string;
  /** What follows it on the command line. */
  argv: readonly string[];
  environment: NodeJS.ProcessEnv;
}

/** A start is in a hurry where it follows a crash: permits run out 3 s after they were asked for. */
const startPriority = -10;

const help = `muster up: serve a rack

  --interface NAME     the network interface that the boards are connected to (required)
  --config FILE        a JSON file with the same keys; flags win over it
  --address CIDR       our address on the interface, as 10.77.0.1/24 (default: what it has)
  --range FROM-TO      addresses to lease (default: the upper three quarters of the network)
  --gateway IP         the default route that boards are given (default: none)
  --uboot METHOD       the boot method of U-Boot boards: ipxe (default) or pxelinux
  --console NAME       the boards' serial console (default: ttyAML0,115200 and ttyAMA0)
  --operator HOST:PORT the dashboard and the operators' API (default 127.0.0.1:8080)
  --two-person-rule    lifting, and stopping everything, need two different operators (default: one is enough)
  --rack NAME          the rack's name on every screen (default rack-1)
  --state-dir DIR      everything that must survive (default /var/lib/muster)
  --cache DIR          downloads and built images
`;

const seeHelp = '(see muster up --help)';
const options = {
  help: { type: 'boolean' },
  config: { type: 'string' },
  'operator-fd': { type: 'string' },
  interface: { type: 'string' },
  address: { type: 'string' },
  range: { type: 'string' },
  gateway: { type: 'string' },
  uboot: { type: 'string' },
  console: { type: 'string' },
  operator: { type: 'string' },
  'two-person-rule': { type: 'boolean' },
  rack: { type: 'string' },
  'state-dir': { type: 'string' },
  state: { type: 'string' },
  cache: { type: 'string' },
} as const;

/** Resolves when the controller serves, or is another program by now. Throws what `failed` is for. */
export async function up(invocation: Invocation): Promise<void> {
  const { program, argv, environment } = invocation;
  // Whatever is made in the state directory holds keys.
  process.umask(0o077);
  const { values, positionals } = parsed(argv);
  if (values.help === true || positionals[0] !== 'up') {
    process.stdout.write(help);
    process.exitCode = values.help === true ? 0 : 2;
    return;
  }
  const [, surplus] = positionals;
  if (surplus !== undefined)
    throw new ConfigurationError(`cannot use ${JSON.stringify(surplus)}: want muster up ${seeHelp}`);
  if (values.state !== undefined) throw new ConfigurationError('there is no option --state, it is --state-dir now');
  const { config, help: _help, 'operator-fd': operatorFd, 'two-person-rule': twoPersonRule, ...named } = values;
  const { 'state-dir': state, ...rest } = named;
  const flags = {
    ...rest,
    ...(state === undefined ? {} : { state }),
    ...(twoPersonRule === undefined ? {} : { twoPersonRule }),
  };
  const file = config === undefined ? {} : readConfigurationFile(config);
  const configuration = resolveConfiguration({ ...file, ...checkConfiguration(flags, 'the flags') }, readInterfaces());

  const wanted = controllerSockets(configuration.address);
  const sockets =
    keptSockets(managerVariables(environment), {
      pid: process.pid,
      interface: configuration.interface,
      sockets: wanted,
    }) ?? inheritedSockets(environment[deviceSocketsVariable]);
  const [dhcpFd, tftpFd, rollCallFd] = [sockets.get('dhcp'), sockets.get('tftp'), sockets.get('udp')];
  if (dhcpFd === undefined || tftpFd === undefined || rollCallFd === undefined) {
    // Becomes the launcher, which opens the sockets and becomes this program again.
    const [launcher = '', ...args] = withDeviceSockets({
      interface: configuration.interface,
      sockets: wanted,
      command: controllerCommand({
        node: process.execPath,
        flags: process.execArgv,
        compileCache: environment['NODE_COMPILE_CACHE'] ?? join(tmpdir(), 'node-compile-cache'),
        args: [program, ...argv],
      }),
    });
    process.execve?.(`/usr/bin/${launcher}`, [launcher, ...args], environment);
    return;
  }
  await serve(
    {
      configuration,
      sockets: { dhcpFd, tftpFd, rollCallFd },
      operatorFd: operatorFd === undefined ? undefined : Number(operatorFd),
    },
    environment,
  );
}

/** Says why, and ends this process: a configuration that cannot be used ends in 2. */
export function failed(error: unknown): never {
  process.stderr.write(`muster: ${errorChain(error)}\n`);
  process.exit(error instanceof ConfigurationError ? 2 : 1);
}

/** Throws a ConfigurationError in our own words. */
function parsed(argv: readonly string[]) {
  try {
    return parseArgs({ args: [...argv], options, allowPositionals: true });
  } catch (cause) {
    const message = cause instanceof Error ? cause.message : String(cause);
    const [, unknown] = /^Unknown option '([^']+)'/.exec(message) ?? [];
    const [, option] = /^Option '(?:-\w, )?(--[\w-]+)/.exec(message) ?? [];
    if (unknown !== undefined) throw new ConfigurationError(`there is no option ${unknown} ${seeHelp}`);
    if (option === undefined) throw new ConfigurationError(`${message} ${seeHelp}`);
    const wants = message.includes('does not take') ? 'takes no value' : 'wants a value';
    throw new ConfigurationError(`${option} ${wants} ${seeHelp}`);
  }
}

/** Of the main thread, where we may: without CAP_SYS_NICE a start is as slow as the machine is busy. */
function prioritize(priority: number): void {
  try {
    setPriority(priority);
  } catch {
    // It goes on as it is.
  }
}

async function serve(
  given: Pick<ControllerOptions, 'configuration' | 'sockets' | 'operatorFd'>,
  environment: NodeJS.ProcessEnv,
): Promise<void> {
  const { configuration } = given;
  const usualPriority = getPriority();
  prioritize(startPriority);
  process.title = 'muster-controller';
  const underJournal = isJournal(environment['JOURNAL_STREAM'], fstatSync(2));
  const log = openLog({
    file: underJournal ? undefined : join(configuration.stateDirectory, 'log/controller.log'),
    style: underJournal ? 'journal' : isatty(2) ? 'terminal' : 'plain',
    now: Date.now,
  });
  process.on('uncaughtExceptionMonitor', (error) =>
    log.lastWords({ level: 'error', subject: 'controller', message: `it crashed: ${error.stack ?? String(error)}` }),
  );
  const manager = tellManager(managerVariables(environment), (message) =>
    log.log({ level: 'error', subject: 'controller', message }),
  );
  // Programs that we start have nothing to tell it.
  delete environment['NOTIFY_SOCKET'];
  const { startController } = await import('./controller.ts');
  const controller = await startController({
    ...given,
    random: randomBytes,
    monotonic: () => performance.now(),
    wallClock: Date.now,
    log,
  }).catch((error: unknown) => {
    log.lastWords({ level: 'error', subject: 'controller', message: errorChain(error) });
    throw error;
  });
  const logInfo = (message: string): void => log.log({ level: 'info', subject: 'controller', message });
  const { startupMs, rack } = controller.status();
  logInfo(
    `version ${version} serves ${rack} on ${configuration.interface} after ${startupMs} ms (process ${process.pid})`,
  );
  prioritize(usualPriority);
  manager.ready(`serves ${rack} on ${configuration.interface}`);
  process.stdout.write(`${JSON.stringify({ ready: true, startupMs, url: controller.operatorUrl })}\n`);
  // For the next start: a process that is killed writes nothing at its end.
  setTimeout(flushCompileCache, 5_000).unref();
  const stop = async (signal: string): Promise<void> => {
    logInfo(`ends: ${signal}`);
    manager.stopping();
    await controller[Symbol.asyncDispose]();
    manager[Symbol.dispose]();
    await log[Symbol.asyncDispose]();
    process.exit(0);
  };
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => void stop(signal));
}
