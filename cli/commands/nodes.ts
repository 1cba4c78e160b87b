import { Type } from 'typebox';
import { Diagnosis, Node, type NodePatch, NodePower } from '../../protocol/api/nodes.ts';
import { Nothing } from '../api.ts';
import { UsageError, type Call, type Command, type Context } from '../command.ts';
import { durationText, sizeText, timeText } from '../figures.ts';
import { printDone, printJson, printList } from '../print.ts';
import { printable } from '../../protocol/printable.ts';
import type { Column } from '../table.ts';

const nodePath = (node: string): string => `/v1/nodes/${encodeURIComponent(node)}`;

function columns(now: number): Column<Node>[] {
  return [
    { heading: 'SLOT', right: true, value: ({ slot }) => String(slot) },
    { heading: 'NAME', value: ({ name }) => name },
    { heading: 'MAC', value: ({ mac }) => mac },
    { heading: 'IP', value: ({ ip }) => ip ?? '-' },
    { heading: 'STATE', value: ({ state, fenced }) => `${state}${fenced ? ', fenced' : ''}` },
    { heading: 'FOR', right: true, value: ({ since }) => durationText(now - since) },
    { heading: 'STAGE', value: ({ stage }) => stage },
    {
      heading: 'CPU',
      right: true,
      value: ({ sample }) => (sample === null ? '-' : `${Math.round(sample.cpu * 100)}%`),
    },
    {
      heading: 'MEMORY',
      right: true,
      value: ({ sample }) =>
        sample === null ? '-' : `${sizeText(sample.memoryUsedBytes)}/${sizeText(sample.memoryTotalBytes)}`,
    },
    { heading: 'RUNS', right: true, value: ({ instances }) => String(instances) },
    { heading: 'CUSTOMERS', value: ({ customers }) => customers.join(' ') },
  ];
}

function details(node: Node, now: number): string {
  const { facts, sample } = node;
  const lines: [string, string][] = [
    ['name', node.name],
    ['mac', node.mac],
    ['slot', String(node.slot)],
    ['state', `${node.state} for ${durationText(now - node.since)} (${node.reason})`],
    ['stage', node.stage],
    ['fenced', node.fenced ? 'yes: it gets no kernel, no workloads and no permits' : 'no'],
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
  call: Call,
  { patch, said }: { patch: NodePatch; said: string },
): Promise<void> {
  const [name = ''] = call.positionals;
  const node = await context.api.ask({ method: 'PATCH', path: nodePath(name), body: patch, answer: Node });
  printDone(context, call, { json: node, text: `${node.name} (${node.mac}) ${said}` });
}

export const nodeCommands: Command[] = [
  {
    words: ['nodes'],
    usage: '',
    summary: 'list the boards of the rack',
    run: async (context, call) => {
      const { nodes } = await context.api.ask({ path: '/v1/nodes', answer: Type.Object({ nodes: Type.Array(Node) }) });
      const rows = nodes.toSorted((a, b) => a.slot - b.slot);
      printList(context, call, {
        name: 'nodes',
        rows,
        columns: columns(context.now()),
        none: 'no board has been seen yet',
      });
    },
  },
  {
    words: ['node'],
    usage: 'NAME|MAC',
    summary: 'show all about one board',
    takes: [1, 1],
    run: async (context, call) => {
      const [name = ''] = call.positionals;
      const node = await context.api.ask({ path: nodePath(name), answer: Node });
      if (call.json) printJson(context, node);
      else context.output.out(details(node, context.now()));
    },
  },
  {
    words: ['node', 'rename'],
    usage: 'NAME|MAC NEW-NAME',
    summary: 'give a board another name',
    takes: [2, 2],
    run: (context, call) =>
      change(context, call, { patch: { name: call.positionals[1] ?? '' }, said: 'has that name now' }),
  },
  {
    words: ['node', 'move'],
    usage: 'NAME|MAC SLOT',
    summary: 'say in which slot of the rack a board sits',
    takes: [2, 2],
    run: (context, call) => {
      const slot = Number(call.positionals[1]);
      if (!Number.isInteger(slot) || slot < 1)
        throw new UsageError(`cannot move a board to slot "${call.positionals[1]}", want a number from 1`);
      return change(context, call, { patch: { slot }, said: `sits in slot ${slot} now` });
    },
  },
  {
    words: ['node', 'fence'],
    usage: 'NAME|MAC',
    summary: 'keep a board out: no kernel, no workloads, no permits',
    takes: [1, 1],
    run: (context, call) => change(context, call, { patch: { fenced: true }, said: 'is fenced' }),
  },
  {
    words: ['node', 'unfence'],
    usage: 'NAME|MAC',
    summary: 'let a fenced board work again',
    takes: [1, 1],
    run: (context, call) => change(context, call, { patch: { fenced: false }, said: 'is no longer fenced' }),
  },
  {
    words: ['node', 'remove'],
    usage: 'NAME|MAC',
    summary: 'forget a board that is gone for good',
    takes: [1, 1],
    run: async (context, call) => {
      const [name = ''] = call.positionals;
      await context.api.ask({ method: 'DELETE', path: nodePath(name), answer: Nothing });
      printDone(context, call, { json: { removed: name }, text: `${name} is forgotten` });
    },
  },
  {
    words: ['node', 'diagnose'],
    usage: 'NAME|MAC',
    summary: 'ask a board by SSH how it is: kernel log, processes, memory, leash',
    takes: [1, 1],
    run: async (context, call) => {
      const [name = ''] = call.positionals;
      const path = `${nodePath(name)}/diagnosis`;
      const answers = await context.api.ask({ path, answer: Diagnosis, timeoutMs: 90_000 });
      if (call.json) printJson(context, answers);
      else
        for (const [question, answer] of Object.entries(answers))
          context.output.out(`== ${question}\n${answer.split('\n').map(printable).join('\n')}\n`);
    },
  },
  {
    words: ['node', 'reboot'],
    usage: 'NAME|MAC',
    summary: 'start a board again, by SSH',
    takes: [1, 1],
    run: async (context, call) => {
      const [name = ''] = call.positionals;
      await context.api.ask({ method: 'POST', path: `${nodePath(name)}/reboot`, answer: Nothing });
      printDone(context, call, { json: { rebooted: name }, text: `${name} starts again` });
    },
  },
  {
    words: ['node', 'power'],
    usage: 'NAME|MAC [on|off]',
    summary: 'show or switch the power of a board, where a PDU is configured',
    options: {
      neighbours: { type: 'boolean', help: 'switch off the other boards on the same outlet as well' },
    },
    takes: [1, 2],
    run: async (context, call) => {
      const [name = '', state] = call.positionals;
      if (state !== undefined && state !== 'on' && state !== 'off')
        throw new UsageError(`cannot switch the power "${state}", want on or off`);
      const path = `${nodePath(name)}/power`;
      const body = { state, ...(call.flag('neighbours') ? { neighbours: true } : {}) };
      const power = await context.api.ask({
        path,
        answer: NodePower,
        timeoutMs: 60_000,
        ...(state === undefined ? {} : { method: 'POST' as const, body }),
      });
      const { off, outlets, neighbours } = power;
      const others = neighbours.length === 0 ? '' : `, and with it ${neighbours.join(', ')}`;
      printDone(context, call, {
        json: power,
        text: `${name}: ${outlets.join(' and ')} is ${off ? 'off' : 'on'}${others}`,
      });
    },
  },
];
