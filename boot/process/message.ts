// The messages between the controller and its boot process, as each end checks them.
import { Type, type Static } from 'typebox';
import { macPattern } from '../../protocol/mac.ts';
import { sha256Pattern } from '../../protocol/names.ts';
import { bootStages } from '../../protocol/boot/boot-stage.ts';

const closed = { additionalProperties: false };
const Mac = Type.String({ pattern: macPattern });
const octet = '(25[0-5]|2[0-4]\\d|1?\\d?\\d)';
const Ip = Type.String({ pattern: `^(${octet}\\.){3}${octet}$` });
const Count = Type.Integer({ minimum: 0 });
const Counters = Type.Record(Type.String({ maxLength: 20 }), Count, { maxProperties: 20 });
const Sentence = Type.String({ maxLength: 2_000 });
const Id = Type.Integer({ minimum: 1 });

const Lease = Type.Object(
  {
    ip: Ip,
    mac: Mac,
    state: Type.Union([
      Type.Literal('offered'),
      Type.Literal('bound'),
      Type.Literal('released'),
      Type.Literal('declined'),
    ]),
    expiresAtMs: Type.Number({ minimum: 0 }),
  },
  closed,
);

const BootEvent = Type.Object(
  {
    mac: Mac,
    ip: Type.Optional(Ip),
    stage: Type.Enum(bootStages),
    detail: Type.Optional(Type.String({ maxLength: 200 })),
    firmware: Type.Optional(
      Type.Union([
        Type.Literal('uboot'),
        Type.Literal('uefi'),
        Type.Literal('uefi-http'),
        Type.Literal('ipxe'),
        Type.Literal('linux'),
      ]),
    ),
  },
  closed,
);

/** What the boot process has to know of a node before that asks. Without any of it, a MAC is nobody's. */
export const NodeFacts = Type.Object(
  {
    /** It has joined before. */
    isBoard: Type.Boolean(),
    /** Why it gets no system. */
    refused: Type.Optional(Type.String()),
    /** Who has its place. */
    holder: Type.Optional(Type.String()),
  },
  closed,
);
export type NodeFacts = Static<typeof NodeFacts>;

export const eventsLimit = 64;
export const linesLimit = 256;
const leasesLimit = 8_192;

/** From the boot process. */
export const BootSays = Type.Union([
  Type.Object({ type: Type.Literal('ready'), http: Sentence }, closed),
  /** It cannot start, and ends. */
  Type.Object({ type: Type.Literal('failed'), message: Sentence }, closed),
  /** Answered by `saved`. */
  Type.Object({ type: Type.Literal('save'), id: Id, leases: Type.Array(Lease, { maxItems: leasesLimit }) }, closed),
  /** Answered by `token`. */
  Type.Object({ type: Type.Literal('join-token'), id: Id, mac: Mac, ip: Ip }, closed),
  /** Answered by `noted`, before which there is no other. */
  Type.Object(
    {
      type: Type.Literal('note'),
      events: Type.Array(BootEvent, { maxItems: eventsLimit }),
      lines: Type.Array(Sentence, { maxItems: linesLimit }),
      troubles: Type.Array(Sentence, { maxItems: 4 }),
    },
    closed,
  ),
  /** Once a second: it lives. */
  Type.Object(
    {
      type: Type.Literal('report'),
      counters: Type.Object({ dhcp: Counters, tftp: Counters, http: Counters }, closed),
      neighbours: Type.Array(
        Type.Object({ address: Ip, kind: Type.Union([Type.Literal('muster'), Type.Literal('dhcp')]) }, closed),
        { maxItems: 16 },
      ),
    },
    closed,
  ),
]);
export type BootSays = Static<typeof BootSays>;

const UbootMethod = Type.Union([Type.Literal('ipxe'), Type.Literal('pxelinux')]);

/** All that boards are told, and by when: nothing of it is secret. */
export const BootSettings = Type.Object(
  {
    address: Ip,
    netmask: Ip,
    range: Type.Object({ from: Ip, to: Ip }),
    gateway: Type.Optional(Ip),
    leaseSeconds: Type.Number(),
    reservations: Type.Array(Type.Tuple([Mac, Ip])),
    httpPort: Type.Integer(),
    httpConnections: Type.Integer(),
    uboot: UbootMethod,
    cmdline: Type.Object({
      console: Type.Array(Type.String()),
      api: Type.String(),
      udp: Type.String(),
      fingerprint: Type.String({ pattern: sha256Pattern }),
      ssh: Type.String(),
    }),
  },
  closed,
);
export type BootSettings = Static<typeof BootSettings>;

const NodesFacts = Type.Array(Type.Tuple([Mac, NodeFacts]));

/** To the boot process. */
export const BootIsTold = Type.Union([
  Type.Object(
    { type: Type.Literal('start'), settings: BootSettings, leases: Type.Array(Lease), nodes: NodesFacts },
    closed,
  ),
  /** Facts that changed. */
  Type.Object({ type: Type.Literal('nodes'), nodes: NodesFacts }, closed),
  Type.Object({ type: Type.Literal('saved'), id: Id, failed: Type.Optional(Type.String()) }, closed),
  Type.Object(
    {
      type: Type.Literal('token'),
      id: Id,
      answer: Type.Union([
        Type.Object({ token: Type.String({ pattern: sha256Pattern }) }, closed),
        Type.Object({ refused: Type.String(), held: Type.Optional(Type.Literal(true)) }, closed),
      ]),
    },
    closed,
  ),
  Type.Object({ type: Type.Literal('noted') }, closed),
]);
export type BootIsTold = Static<typeof BootIsTold>;
