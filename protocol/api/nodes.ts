import { Type, type Static } from 'typebox';
import { nodeNamePattern } from '../names.ts';
import { CustomerName, Instant, MacAddress, closed, oneOf } from './fields.ts';
import { Sample } from './samples.ts';

/** What each state waits for is told in `inventory/nodes/life-cycle.ts`. */
export const nodeStates = ['seen', 'loading', 'joining', 'ready', 'silent', 'lost'] as const;
export type NodeState = (typeof nodeStates)[number];

// A board sends these, and they are kept: closed, so that it cannot have anything else kept.
/** What the agent finds out once, at join, with `systeminformation`. */
export const NodeFacts = Type.Object(
  {
    model: Type.String({ maxLength: 200 }),
    cpu: Type.String({ maxLength: 200 }),
    cores: Type.Integer({ minimum: 0 }),
    memoryBytes: Type.Integer({ minimum: 0 }),
    kernel: Type.String({ maxLength: 200 }),
    interfaces: Type.Array(
      Type.Object(
        {
          name: Type.String({ maxLength: 32 }),
          mac: Type.String({ maxLength: 32 }),
          ip: Type.String({ maxLength: 64 }),
          speedMbps: Type.Union([Type.Number(), Type.Null()]),
        },
        closed,
      ),
      { maxItems: 32 },
    ),
  },
  closed,
);
export type NodeFacts = Static<typeof NodeFacts>;

export const Node = Type.Object({
  mac: MacAddress,
  /** Operators may rename it; `node-<last three bytes>` until then. */
  name: Type.String({ pattern: nodeNamePattern }),
  /** Place in the rack, 1 to 684 and up; the lowest free one until an operator says otherwise. */
  slot: Type.Integer({ minimum: 1 }),
  state: oneOf(...nodeStates),
  /** When it entered the state, and why. */
  since: Instant,
  reason: Type.String(),
  /** How far the boot has come: `dhcp`, `tftp`, `script`, `kernel`, `initrd`, `root`, `joined`, … */
  stage: Type.String(),
  firmware: Type.Union([oneOf('uboot', 'uefi', 'uefi-http'), Type.Null()]),
  ip: Type.Union([Type.String(), Type.Null()]),
  bootId: Type.Union([Type.String(), Type.Null()]),
  serial: Type.Union([Type.String(), Type.Null()]),
  /** An operator keeps it out: it gets no kernel, no workloads and no permits. */
  fenced: Type.Boolean(),
  lastHeartbeatAt: Type.Union([Instant, Type.Null()]),
  /** Ready to work, from its first DHCP packet, ms. */
  bootDurationMs: Type.Union([Type.Integer(), Type.Null()]),
  instances: Type.Integer(),
  customers: Type.Array(CustomerName),
  facts: Type.Union([NodeFacts, Type.Null()]),
  sample: Type.Union([Sample, Type.Null()]),
});
export type Node = Static<typeof Node>;

export const NodePatch = Type.Partial(
  Type.Object({
    name: Type.String({ pattern: nodeNamePattern }),
    slot: Type.Integer({ minimum: 1, maximum: 100_000 }),
    fenced: Type.Boolean(),
  }),
  { ...closed, minProperties: 1 },
);
export type NodePatch = Static<typeof NodePatch>;

/** What a board answers by SSH, by question: `kernel`, `processes`, … */
export const Diagnosis = Type.Record(Type.String(), Type.String());
export type Diagnosis = Static<typeof Diagnosis>;

export const PowerRequest = Type.Object(
  {
    state: oneOf('on', 'off'),
    /** Other boards on the same outlets lose their power too: refused without this where there are any. */
    neighbours: Type.Optional(Type.Literal(true)),
  },
  closed,
);
export type PowerRequest = Static<typeof PowerRequest>;

/** As the PDU says it. */
export const NodePower = Type.Object({
  off: Type.Boolean(),
  /** PDU and outlet: `left 2`. */
  outlets: Type.Array(Type.String()),
  /** Names of the boards that have their power from these outlets alone. */
  neighbours: Type.Array(Type.String()),
});
export type NodePower = Static<typeof NodePower>;
