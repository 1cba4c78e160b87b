// Names and numbers among the arguments: what is wrong is said by the rule and an example, before the controller is asked.
import { parseMac } from '../../protocol/mac.ts';
import {
  customerPattern,
  imageNamePattern,
  instancePattern,
  nodeNamePattern,
  operatorPattern,
  workloadPattern,
} from '../../protocol/names.ts';
import { UsageError } from '../command.ts';

interface NameRule {
  what: string;
  pattern: string;
  rule: string;
}

const rules = {
  customer: {
    what: "a customer's name",
    pattern: customerPattern,
    rule: '1 to 12 of a-z, 0-9 and _, a letter first, like acme',
  },
  workload: {
    what: "a workload's name",
    pattern: workloadPattern,
    rule: '1 to 30 of a-z, 0-9 and -, a letter first, like web',
  },
  image: {
    what: "an image's name",
    pattern: imageNamePattern,
    rule: '1 to 100 of a-z, 0-9 and ._/-, with a tag after : or without, like web or team/web:1.2',
  },
  'node name': {
    what: "a node's name",
    pattern: nodeNamePattern,
    rule: '1 to 32 of a-z, 0-9 and -, no - at either end, like left-3',
  },
  instance: {
    what: "an instance's id",
    pattern: instancePattern,
    rule: 'one like web-1a2b3c4d (muster ps lists them)',
  },
  operator: {
    what: "an operator's name",
    pattern: operatorPattern,
    rule: '1 to 32 of a-z, 0-9 and -, a letter first, like anna',
  },
} as const satisfies Record<string, NameRule>;

type NameKind = keyof typeof rules;

/** Gives the name back. Throws a UsageError with the rule. */
export function checkedName(kind: NameKind, text = ''): string {
  const { what, pattern, rule } = rules[kind];
  if (new RegExp(pattern).test(text)) return text;
  throw new UsageError(`${JSON.stringify(text)} is not ${what}, want ${rule}`);
}

/** A node by its name or its MAC address, as the controller takes it. */
export function checkedNode(text = ''): string {
  if (parseMac(text) !== undefined || new RegExp(nodeNamePattern).test(text)) return text;
  throw new UsageError(
    `${JSON.stringify(text)} is not a node, want its name or its MAC address, like node-c20001 or 02:00:00:c2:00:01 (muster nodes lists them)`,
  );
}

export interface WorkloadName {
  customer: string;
  name: string;
}

export function checkedWorkload(text = ''): WorkloadName {
  const [, customer, name] = /^([^/]+)\/([^/]+)$/.exec(text) ?? [];
  if (customer === undefined || name === undefined)
    throw new UsageError(`${JSON.stringify(text)} is not a workload, want CUSTOMER/NAME, like acme/web`);
  return { customer: checkedName('customer', customer), name: checkedName('workload', name) };
}

export function workloadPath({ customer, name }: WorkloadName): string {
  return `/v1/workloads/${encodeURIComponent(customer)}/${encodeURIComponent(name)}`;
}

/** `what`: `a slot`; `from`, `to`: the least and the most; `see`: where the right ones are found. */
interface NumberRule {
  what: string;
  from: number;
  to: number;
  see?: string;
}

export function checkedNumber(text = '', { what, from, to, see }: NumberRule): number {
  const value = /^[0-9]{1,9}$/.test(text) ? Number(text) : NaN;
  if (value >= from && value <= to) return value;
  const range = to >= 999_999_999 ? `a whole number from ${from}` : `a whole number from ${from} to ${to}`;
  throw new UsageError(
    `${JSON.stringify(text)} is not ${what}, want ${range}${see === undefined ? '' : ` (${see} lists them)`}`,
  );
}

/** The number of a document that the controller counts. */
export function checkedCount(text: string | undefined, { what, see }: Pick<NumberRule, 'what' | 'see'>): number {
  return checkedNumber(text, { what, from: 1, to: 999_999_999, ...(see === undefined ? {} : { see }) });
}
