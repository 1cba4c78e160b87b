import type { Diagnosis, Node, NodePatch, NodePower } from '../../protocol/api/nodes.ts';
import { checkedName, checkedNode, checkedNumber } from '../arguments/argument.ts';
import { FailedError, UsageError, type Call, type Command, type Context } from '../command.ts';
import { durationText, sizeText, timeText } from '../print/figures.ts';
import { nodeNames, orMeant } from '../arguments/meant.ts';
import { durationOption } from '../arguments/limits.ts';
import { liveLine, printDone, printJson, printList } from '../print/print.ts';
import type { Tone } from '../print/screen.ts';
import { labelsText } from '../../protocol/workload/labels.ts';
import { printable } from '../../protocol/printable.ts';
import type { Column } from '../print/table.ts';

const nodePath = (node: string): string => `/v1/nodes/${encodeURIComponent(node)}`;

const stateTones: Partial<Record<Node['state'], Tone>> = { ready: 'good', silent: 'bad', lost: 'bad' };

function columns(now: number): Column<Node>[] {
  return [
    { heading: 'SLOT', right: true, value: ({ slot }) => String(slot) },
    { heading: 'NAME', value: ({ name }) => name },
    { heading: 'MAC', value: ({ mac }) => mac, yields: 2 },
    { heading: 'IP', value: ({ ip }) => ip ?? '-', yields: 5 },
    {
      heading: 'STATE',
      value: ({ state, fenced, placement }) =>
        `${state}${fenced ? ', fenced' : ''}${placement === 'open' ? '' : `, ${placement}`}`,
      tone: ({ state, fenced, placement }) => (fenced || placement !== 'open' ? 'warning' : stateTones[state]),
    },
    { heading: 'FOR', right: true, value: ({ since }) => durationText(now - since), yields: 1 },
    { heading: 'STAGE', value: ({ stage }) => stage, yields: 6 },
    {
      heading: 'CPU',
      right: true,
      value: ({ sample }) => (sample === null ? '-' : `${Math.round(sample.cpu * 100)}%`),
      yields: 3,
    },
    {
      heading: 'MEMORY',
      right: true,
      value: ({ sample }) =>
        sample === null ? '-' : `${sizeText(sample.memoryUsedBytes)}/${sizeText(sample.memoryTotalBytes)}`,
      yields: 4,
    },
    { heading: 'RUNS', right: true, value: ({ instances }) => String(instances) },
    { heading: 'CUSTOMERS', value: ({ customers }) => customers.join(' '), yields: 7, cut: true },
  ];
}

const placementTexts: Record<Node['placement'], string> = {
  open: 'open: it gets instances',
  cordoned: 'cordoned: it keeps its instances and gets no more',
  draining: 'draining: its instances are replaced elsewhere, and it gets no more',
};

function details(node: Node, now: number): string {
  const { facts, sample } = node;
  const lines: [string, string][] = [
    ['name', node.name],
    ['mac', node.mac],
    ['slot', String(node.slot)],
    ['state', `${node.state} for ${durationText(now - node.since)} (${node.reason})`],
    ['stage', node.stage],
    ['fenced', node.fenced ? 'yes: it gets no kernel, no workloads and no permits' : 'no'],
    ['placement', placementTexts[node.placement]],
    ['labels', labelsText(node.labels)],
    ['firmware', node.firmware ?? '-'],
    ['address', node.ip ?? '-'],
    ['serial', node.serial ?? '-'],
    ['boot', node.bootDurationMs === null ? '-' : `took ${durationText(node.bootDurationMs)}`],
    ['heard', node.lastHeartbeatAt === null ? 'never' : `${timeText(node.lastHeartbeatAt)} UTC`],
    ['runs', `${node.instances} instances of ${node.customers.length === 0 ? 'nobody' : node.customers.join(', ')}`],
  ];
  if (facts !== null) {
    lines.push(['model', facts.model], ['cpu', `${facts.cores} × ${facts.cpu}`], ['kernel', facts.kernel]);
    for (const { name, mac, ip, speedMbps } of facts.interfaces) {
      lines.push([`port ${name}`, `${mac} ${ip}${speedMbps === null ? '' : ` ${speedMbps} Mbit/s`}`]);
    }
  }
  if (sample !== null) {
    lines.push([
      'load',
      `${Math.round(sample.cpu * 100)}% (${sample.cpuPerCore.map((core) => Math.round(core * 100)).join(' ')})`,
    ]);
    lines.push(['memory', `${sizeText(sample.memoryUsedBytes)} of ${sizeText(sample.memoryTotalBytes)}`]);
    if (sample.temperatureCelsius !== null) lines.push(['temperature', `${sample.temperatureCelsius} °C`]);
    lines.push(['network', `${sizeText(sample.rxBytesPerSecond)}/s in, ${sizeText(sample.txBytesPerSecond)}/s out`]);
    lines.push(['up', durationText(sample.uptimeSeconds * 1000)]);
    lines.push([
      'agent',
      `${sizeText(sample.agentRssBytes)}, late by ${durationText(sample.permitThreadDelayMs)} at most`,
    ]);
  }
  const width = Math.max(...lines.map(([label]) => label.length));
  return lines.map(([label, value]) => `${label.padEnd(width)}  ${printable(value)}\n`).join('');
}

async function change(
  context: Context,
  { node: given, patch, said }: { node: string | undefined; patch: NodePatch; said: string },
): Promise<void> {
  const name = checkedNode(given);
  const node = await context.api.ask<Node>({ method: 'PATCH', path: nodePath(name), body: patch });
  printDone(context, { json: node, text: `${node.name} (${node.mac}) ${said}` });
}

function labelOf(text: string): [string, string | null] {
  const [, gone] = /^([a-z][a-z0-9-]{0,30})-$/.exec(text) ?? [];
  if (gone !== undefined) return [gone, null];
  const [, name, value] = /^([a-z][a-z0-9-]{0,30})=(.{1,200})$/.exec(text) ?? [];
  if (name !== undefined && value !== undefined) return [name, value];
  throw new UsageError(`a label is ${JSON.stringify(text)}, want LABEL=VALUE, like zone=a, or LABEL- to take it away`);
}

const drainPollMs = 300;

async function drain(context: Context, call: Call): Promise<number> {
  const path = nodePath(checkedNode(call.positionals[0]));
  const waitMs = durationOption(call, 'timeout') ?? 600_000;
  let node = await context.api.ask<Node>({ method: 'PATCH', path, body: { placement: 'draining' } });
  const name = `${node.name} (${node.mac})`;
  const line = liveLine(context);
  const startedMs = context.monotonic();
  while (call.flag('wait', true) && node.instances > 0) {
    if (node.placement !== 'draining') {
      line.end();
      throw new FailedError(`${name} is no longer being drained: somebody has said otherwise`, { code: 'conflict' });
    }
    if (context.monotonic() - startedMs >= waitMs) {
      line.end();
      const text = `${name} still has ${node.instances} instances after ${durationText(waitMs)}: they go on there (muster ps says what they wait for)`;
      throw new FailedError(text, { code: 'not-drained' });
    }
    line.show(`${node.name}: ${node.instances} instances to be replaced elsewhere`);
    await context.sleep(drainPollMs);
    node = await context.api.ask<Node>({ path });
  }
  line.end();
  const said =
    node.instances === 0 ? 'is drained: it has no instances' : `is being drained of ${node.instances} instances`;
  printDone(context, { json: node, text: `${name} ${said}` });
  return 0;
}

const nodeStates: readonly Node['state'][] = ['seen', 'loading', 'joining', 'ready', 'silent', 'lost'];

function stateOf(call: Call): Node['state'] | undefined {
  const text = call.text('state');
  const state = nodeStates.find((each) => each === text);
  if (text === undefined || state !== undefined) return state;
  throw new UsageError(
    `--state is ${JSON.stringify(text)}, want one of ${nodeStates.join(', ')} (the controller's directory is --state-dir)`,
  );
}

export const nodeCommands: Command[] = [
  {
    words: ['nodes'],
    usage: '',
    summary: 'list the nodes of the rack',
    options: { state: { type: 'string', value: nodeStates.join('|'), help: 'in that state only' } },
    run: async (context, call) => {
      const { nodes } = await context.api.ask<{ nodes: Node[] }>({ path: '/v1/nodes' });
      const state = stateOf(call);
      const wanted = nodes.filter((node) => state === undefined || node.state === state);
      const rows = wanted.toSorted((a, b) => a.slot - b.slot);
      printList(context, {
        name: 'nodes',
        rows,
        columns: columns(context.now()),
        none:
          state !== undefined
            ? `no node is ${state}`
            : 'no node has been seen yet: switch a board on, on the network of muster up',
      });
    },
  },
  {
    words: ['node'],
    usage: 'NAME|MAC',
    summary: 'show all about one node',
    takes: [1, 1],
    run: async (context, call) => {
      const name = checkedNode(call.positionals[0]);
      const known = () => nodeNames(context.api);
      const node = await context.api.ask<Node>({ path: nodePath(name) }).catch(orMeant(name, known));
      if (context.json) printJson(context, node);
      else context.output.out(details(node, context.now()));
    },
  },
  {
    words: ['node', 'rename'],
    usage: 'NAME|MAC NEW-NAME',
    summary: 'give a node another name',
    takes: [2, 2],
    run: (context, call) => {
      const patch = { name: checkedName('node name', call.positionals[1]) };
      return change(context, { node: call.positionals[0], patch, said: 'has that name now' });
    },
  },
  {
    words: ['node', 'move'],
    usage: 'NAME|MAC SLOT',
    summary: 'say in which slot of the rack the board of a node sits',
    takes: [2, 2],
    run: (context, call) => {
      const slot = checkedNumber(call.positionals[1], { what: 'a slot of the rack', from: 1, to: 100_000 });
      return change(context, { node: call.positionals[0], patch: { slot }, said: `sits in slot ${slot} now` });
    },
  },
  {
    words: ['node', 'fence'],
    usage: 'NAME|MAC',
    summary: 'keep a node out: no kernel, no workloads, no permits',
    takes: [1, 1],
    run: (context, call) => change(context, { node: call.positionals[0], patch: { fenced: true }, said: 'is fenced' }),
  },
  {
    words: ['node', 'unfence'],
    usage: 'NAME|MAC',
    summary: 'let a fenced node work again',
    takes: [1, 1],
    run: (context, call) =>
      change(context, { node: call.positionals[0], patch: { fenced: false }, said: 'is no longer fenced' }),
  },
  {
    words: ['node', 'cordon'],
    usage: 'NAME|MAC',
    summary: 'give a node no more instances; those that it has go on',
    takes: [1, 1],
    run: (context, call) =>
      change(context, { node: call.positionals[0], patch: { placement: 'cordoned' }, said: 'gets no more instances' }),
  },
  {
    words: ['node', 'drain'],
    usage: 'NAME|MAC',
    summary: 'replace the instances of a node elsewhere, and wait until it has none',
    details: `Each is replaced as by a change of its workload: the new one is ready before the old one goes. muster node uncordon
ends it, before or after.`,
    takes: [1, 1],
    options: {
      wait: { type: 'boolean', help: 'wait until it has none (the default); --no-wait does not' },
      timeout: { type: 'string', value: 'DURATION', help: 'how long to wait (default 10m)' },
    },
    run: drain,
  },
  {
    words: ['node', 'uncordon'],
    usage: 'NAME|MAC',
    summary: 'let a cordoned or drained node get instances again',
    takes: [1, 1],
    run: (context, call) =>
      change(context, { node: call.positionals[0], patch: { placement: 'open' }, said: 'gets instances again' }),
  },
  {
    words: ['node', 'label'],
    usage: 'NAME|MAC LABEL=VALUE|LABEL-',
    summary: 'give a node labels, or take some away, for workloads that ask for them',
    details: 'To take one away: muster node label node-7 zone-',
    takes: [2, 17],
    run: (context, call) => {
      const labels = Object.fromEntries(call.positionals.slice(1).map(labelOf));
      return change(context, { node: call.positionals[0], patch: { labels }, said: 'has these labels now' });
    },
  },
  {
    words: ['node', 'remove'],
    also: ['node', 'rm'],
    usage: 'NAME|MAC',
    summary: 'forget a node that is gone for good',
    takes: [1, 1],
    run: async (context, call) => {
      const name = checkedNode(call.positionals[0]);
      await context.api.ask({ method: 'DELETE', path: nodePath(name) });
      printDone(context, { json: { removed: name }, text: `${name} is forgotten` });
    },
  },
  {
    words: ['node', 'diagnose'],
    usage: 'NAME|MAC',
    summary: 'ask a node by SSH how it is: kernel log, processes, memory, leash',
    takes: [1, 1],
    run: async (context, call) => {
      const name = checkedNode(call.positionals[0]);
      const path = `${nodePath(name)}/diagnosis`;
      const answers = await context.api.ask<Diagnosis>({ path, timeoutMs: 90_000 });
      if (context.json) printJson(context, answers);
      else
        for (const [question, answer] of Object.entries(answers))
          context.output.out(`== ${question}\n${answer.split('\n').map(printable).join('\n')}\n`);
    },
  },
  {
    words: ['node', 'reboot'],
    usage: 'NAME|MAC',
    summary: 'start a node again, by SSH',
    takes: [1, 1],
    run: async (context, call) => {
      const name = checkedNode(call.positionals[0]);
      await context.api.ask({ method: 'POST', path: `${nodePath(name)}/reboot` });
      printDone(context, { json: { rebooted: name }, text: `${name} starts again` });
    },
  },
  {
    words: ['node', 'power'],
    usage: 'NAME|MAC [on|off]',
    summary: 'show or switch the power of a node, where a PDU is configured',
    options: {
      neighbours: { type: 'boolean', help: 'switch off the other nodes connected to the same outlet as well' },
    },
    takes: [1, 2],
    run: async (context, call) => {
      const name = checkedNode(call.positionals[0]);
      const [, state] = call.positionals;
      if (state !== undefined && state !== 'on' && state !== 'off')
        throw new UsageError(`cannot switch the power ${JSON.stringify(state)}, want on or off`);
      const path = `${nodePath(name)}/power`;
      const body = { state, ...(call.flag('neighbours') ? { neighbours: true } : {}) };
      const power = await context.api.ask<NodePower>({
        path,
        timeoutMs: 60_000,
        ...(state === undefined ? {} : { method: 'POST' as const, body }),
      });
      const { off, outlets, neighbours } = power;
      const others = neighbours.length === 0 ? '' : `, and with it ${neighbours.join(', ')}`;
      printDone(context, {
        json: power,
        text: `${name}: ${outlets.join(' and ')} is ${off ? 'off' : 'on'}${others}`,
      });
    },
  },
];
