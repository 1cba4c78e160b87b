// The key `power` of the configuration file: which PDUs there are, and which of their outlets feeds which board.
//
//   "power": {
//     "pdus": {
//       "left": { "kind": "snmp", "host": "10.0.0.20", "communityFile": "/etc/muster/pdu-community",
//                 "controlOid": "1.3.6.1.4.1.318.1.1.12.3.3.1.1.4" },
//       "site": { "kind": "webhook", "url": "https://power.example/rack-1", "tokenFile": "/etc/muster/power-token" } },
//     "feeds": [
//       { "pdu": "left", "outlet": "2", "slots": "17-32" },      one outlet for a whole bank of boards
//       { "pdu": "left", "outlets": "3-10", "slots": "33-40" },  one outlet each, in this order
//       { "pdu": "site", "outlet": "spare", "nodes": ["02:00:00:c2:00:01"] } ] }
//
// A board in several feeds has several supplies: it is off when all of them are.
import { readFileSync } from 'node:fs';
import { Type, type Static, type TSchema } from 'typebox';
import { Check, Errors } from 'typebox/value';
import { macPattern, type Mac } from '../../protocol/mac.ts';
import { numbersOf } from './ranges.ts';

const closed = { additionalProperties: false } as const;
const oid = '^[0-9]{1,10}(\\.[0-9]{1,10}){3,60}$';
const Path = Type.String({ minLength: 1, maxLength: 4_096, description: 'the path of a file' });
const Secret = Type.String({ minLength: 1, maxLength: 1_000, description: 'a text' });
const TimeoutMs = Type.Integer({ minimum: 100, maximum: 10_000, description: '100 to 10000 ms' });
const Value = Type.Integer({ minimum: -2_147_483_648, maximum: 2_147_483_647, description: 'a whole number' });

const snmpAuthentication = ['md5', 'sha', 'sha224', 'sha256', 'sha384', 'sha512'] as const;
const snmpPrivacy = ['des', 'aes', 'aes256b', 'aes256r'] as const;
function oneOf<const T extends readonly string[]>(...values: T) {
  return Type.Unsafe<T[number]>(
    Type.Union(
      values.map((value) => Type.Literal(value)),
      { description: values.join(' or ') },
    ),
  );
}

const SnmpFile = Type.Object(
  {
    kind: Type.Literal('snmp'),
    host: Type.String({ pattern: '^[A-Za-z0-9.:_-]{1,253}$', description: 'a name or an address' }),
    port: Type.Optional(Type.Integer({ minimum: 1, maximum: 65_535, description: 'a port' })),
    version: Type.Optional(oneOf('1', '2c', '3')),
    community: Type.Optional(Secret),
    communityFile: Type.Optional(Path),
    user: Type.Optional(Type.String({ minLength: 1, maxLength: 32, description: 'an SNMPv3 user' })),
    authProtocol: Type.Optional(oneOf(...snmpAuthentication)),
    authKey: Type.Optional(Secret),
    authKeyFile: Type.Optional(Path),
    privProtocol: Type.Optional(oneOf(...snmpPrivacy)),
    privKey: Type.Optional(Secret),
    privKeyFile: Type.Optional(Path),
    /** The outlet's number is put behind it. */
    controlOid: Type.String({ pattern: oid, description: 'an OID in digits, without the outlet at its end' }),
    /** Where the state is read back; `controlOid` when left out. */
    statusOid: Type.Optional(Type.String({ pattern: oid, description: 'an OID in digits, without the outlet' })),
    off: Type.Optional(Value),
    on: Type.Optional(Value),
    /** What `statusOid` says of an outlet that is off; as `off` when left out. */
    statusOff: Type.Optional(Value),
    timeoutMs: Type.Optional(TimeoutMs),
  },
  closed,
);

const WebhookFile = Type.Object(
  {
    kind: Type.Literal('webhook'),
    url: Type.String({ pattern: '^https?://[^\\s]{1,2000}$', description: 'an http or https URL' }),
    token: Type.Optional(Secret),
    tokenFile: Type.Optional(Path),
    /** Certificates (PEM) to trust in the place of the system's. */
    caFile: Type.Optional(Path),
    timeoutMs: Type.Optional(TimeoutMs),
  },
  closed,
);

const FeedFile = Type.Object(
  {
    pdu: Type.String({ description: 'the name of a PDU' }),
    outlet: Type.Optional(
      Type.String({ pattern: '^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$', description: 'one outlet, as "2"' }),
    ),
    outlets: Type.Optional(Type.String({ description: 'outlets, one for each slot, as "1-16"' })),
    slots: Type.Optional(Type.String({ description: 'slots, as "1-16,33"' })),
    nodes: Type.Optional(
      Type.Array(Type.String({ pattern: macPattern }), { maxItems: 4_096, description: 'MAC addresses' }),
    ),
  },
  closed,
);

export interface PowerFile {
  /** False: only operators cut power, never an order by itself. */
  automatic?: boolean;
  pdus: Record<string, Static<typeof SnmpFile> | Static<typeof WebhookFile>>;
  feeds: Static<typeof FeedFile>[];
}

export type SnmpSecurity =
  | { version: '1' | '2c'; community: string }
  | {
      version: '3';
      user: string;
      authProtocol: (typeof snmpAuthentication)[number];
      authKey: string;
      privProtocol: (typeof snmpPrivacy)[number];
      privKey: string;
    };

export interface SnmpPdu {
  kind: 'snmp';
  host: string;
  port: number;
  security: SnmpSecurity;
  controlOid: string;
  statusOid: string;
  off: number;
  on: number;
  statusOff: number;
  timeoutMs: number;
}

export interface WebhookPdu {
  kind: 'webhook';
  url: string;
  token: string | undefined;
  ca: string | undefined;
  timeoutMs: number;
}

/** One outlet and the boards on it. */
export interface Feed {
  pdu: string;
  outlet: string;
  slots: ReadonlySet<number>;
  nodes: ReadonlySet<Mac>;
}

export interface PowerConfiguration {
  automatic: boolean;
  pdus: ReadonlyMap<string, SnmpPdu | WebhookPdu>;
  feeds: readonly Feed[];
}

/** Everything that is wrong with the key `power`, a sentence each, with no secret in it; empty where nothing is. */
export function powerProblems(value: unknown): string[] {
  if (value === undefined) return [];
  if (!isRecord(value)) return ['"power" wants an object with "pdus" and "feeds"'];
  const { automatic, pdus, feeds, ...unknown } = value;
  const problems = Object.keys(unknown).map(
    (key) => `"power" has an unknown key "${key}", want pdus, feeds, automatic`,
  );
  if (automatic !== undefined && typeof automatic !== 'boolean') problems.push('"power.automatic" wants true or false');
  if (!isRecord(pdus)) return [...problems, '"power.pdus" wants an object: PDUs by their names'];
  for (const [name, pdu] of Object.entries(pdus)) problems.push(...pduProblems(`power.pdus.${name}`, pdu));
  if (!Array.isArray(feeds)) return [...problems, '"power.feeds" wants a list of outlets and the boards on them'];
  feeds.forEach((feed: unknown, index) =>
    problems.push(...feedProblems(feed, { where: `power.feeds[${index}]`, pdus })),
  );
  return problems;
}

function pduProblems(where: string, pdu: unknown): string[] {
  if (!isRecord(pdu)) return [`"${where}" wants an object with "kind"`];
  if (pdu['kind'] === 'webhook')
    return [...misfits(WebhookFile, { where, value: pdu }), ...both(pdu, { where, secrets: ['token'] })];
  if (pdu['kind'] !== 'snmp') return [`"${where}.kind" wants snmp or webhook`];
  const problems = misfits(SnmpFile, { where, value: pdu });
  const ofV3 = ['user', 'authProtocol', 'privProtocol'];
  const secrets = pdu['version'] === '3' ? ['authKey', 'privKey'] : ['community'];
  const foreign = pdu['version'] === '3' ? ['community'] : [...ofV3, 'authKey', 'privKey'];
  problems.push(...both(pdu, { where, secrets }));
  for (const key of secrets)
    if (pdu[key] === undefined && pdu[`${key}File`] === undefined)
      problems.push(`"${where}" lacks "${key}" or "${key}File"`);
  if (pdu['version'] === '3') {
    for (const key of ofV3) if (pdu[key] === undefined) problems.push(`"${where}" lacks "${key}"`);
    // RFC 3414 wants as much, and some PDUs silently take none that is shorter.
    for (const key of secrets) {
      const text = pdu[key];
      if (typeof text === 'string' && text.length < 8) problems.push(`"${where}.${key}" wants 8 characters or more`);
    }
  }
  for (const key of foreign)
    for (const name of [key, `${key}File`])
      if (pdu[name] !== undefined) problems.push(`"${where}.${name}" does not go with SNMP version ${versionOf(pdu)}`);
  return problems;
}

function versionOf(pdu: Record<string, unknown>): string {
  return typeof pdu['version'] === 'string' ? pdu['version'] : '2c';
}

function both(pdu: Record<string, unknown>, { where, secrets }: { where: string; secrets: string[] }): string[] {
  return secrets
    .filter((key) => pdu[key] !== undefined && pdu[`${key}File`] !== undefined)
    .map((key) => `"${where}" has both "${key}" and "${key}File", want one of them`);
}

function feedProblems(feed: unknown, { where, pdus }: { where: string; pdus: Record<string, unknown> }): string[] {
  if (!isRecord(feed)) return [`"${where}" wants an object with "pdu", "outlet" and "slots" or "nodes"`];
  const problems = misfits(FeedFile, { where, value: feed });
  const { pdu, outlet, outlets, slots, nodes } = feed;
  const target = typeof pdu === 'string' ? pdus[pdu] : undefined;
  if (target === undefined)
    problems.push(`"${where}.pdu" names no PDU, want one of ${Object.keys(pdus).join(', ') || 'those in "pdus"'}`);
  if ((outlet === undefined) === (outlets === undefined))
    problems.push(`"${where}" wants either "outlet" or "outlets"`);
  if (slots === undefined && nodes === undefined) problems.push(`"${where}" wants "slots" or "nodes"`);
  if (typeof outlet === 'string' && isRecord(target) && target['kind'] === 'snmp' && !/^\d+(\.\d+)*$/.test(outlet))
    problems.push(`"${where}.outlet" wants the number of an outlet, since ${String(pdu)} speaks SNMP`);
  const counted: Record<string, number> = {};
  for (const [key, text] of Object.entries({ outlets, slots })) {
    if (typeof text !== 'string') continue;
    const numbers = numbersOf(text);
    if (numbers === undefined) problems.push(`"${where}.${key}" is "${text}", want numbers as 1-16,33, each once`);
    else counted[key] = numbers.length;
  }
  if (outlets !== undefined && (nodes !== undefined || slots === undefined))
    problems.push(`"${where}.outlets" goes with "slots" alone`);
  else if (
    counted['outlets'] !== counted['slots'] &&
    counted['outlets'] !== undefined &&
    counted['slots'] !== undefined
  )
    problems.push(`"${where}" has ${counted['outlets']} outlets for ${counted['slots']} slots, want one for each`);
  return problems;
}

/** What a schema finds wrong, by key and with what was wanted there. The value itself may be a secret. */
function misfits(
  schema: TSchema & { properties: Record<string, TSchema> },
  { where, value }: { where: string; value: unknown },
): string[] {
  if (Check(schema, value)) return [];
  const problems = new Set<string>();
  for (const error of Errors(schema, value)) {
    if (error.keyword === 'additionalProperties') {
      for (const key of error.params.additionalProperties)
        problems.add(`"${where}" has an unknown key "${key}", want ${Object.keys(schema.properties).join(', ')}`);
      continue;
    }
    if (error.keyword === 'required') {
      for (const key of error.params.requiredProperties) problems.add(`"${where}" lacks "${key}"`);
      continue;
    }
    const key = error.instancePath.split('/')[1] ?? '';
    const property = schema.properties[key];
    if (property === undefined) continue; // told as unknown
    const wanted = 'description' in property ? String(property.description) : error.message;
    problems.add(`"${where}.${key}" wants ${wanted}`);
  }
  return [...problems];
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Of a file that `powerProblems` found nothing wrong with. Reads the secrets' files. Throws one sentence. */
export function resolvePower(file: PowerFile): PowerConfiguration {
  const pdus = new Map<string, SnmpPdu | WebhookPdu>();
  for (const [name, pdu] of Object.entries(file.pdus)) {
    const secret = (key: string, { text, path }: { text: string | undefined; path: string | undefined }): string => {
      const found = text ?? (path === undefined ? '' : readText(path, `power.pdus.${name}.${key}File`).trim());
      if (found === '') throw new Error(`cannot use power.pdus.${name}: its ${key} is empty`);
      return found;
    };
    if (pdu.kind === 'webhook') {
      const { url, token, tokenFile, caFile, timeoutMs } = pdu;
      const hasToken = token !== undefined || tokenFile !== undefined;
      pdus.set(name, {
        kind: 'webhook',
        url,
        token: hasToken ? secret('token', { text: token, path: tokenFile }) : undefined,
        ca: caFile === undefined ? undefined : readText(caFile, `power.pdus.${name}.caFile`),
        timeoutMs: timeoutMs ?? 2_000,
      });
      continue;
    }
    const { version = '2c', controlOid, off = 2 } = pdu;
    pdus.set(name, {
      kind: 'snmp',
      host: pdu.host,
      port: pdu.port ?? 161,
      security:
        version === '3'
          ? {
              version,
              user: pdu.user ?? '',
              authProtocol: pdu.authProtocol ?? 'sha',
              authKey: secret('authKey', { text: pdu.authKey, path: pdu.authKeyFile }),
              privProtocol: pdu.privProtocol ?? 'aes',
              privKey: secret('privKey', { text: pdu.privKey, path: pdu.privKeyFile }),
            }
          : { version, community: secret('community', { text: pdu.community, path: pdu.communityFile }) },
      controlOid,
      statusOid: pdu.statusOid ?? controlOid,
      off,
      on: pdu.on ?? 1,
      statusOff: pdu.statusOff ?? off,
      timeoutMs: pdu.timeoutMs ?? 1_000,
    });
  }
  return { automatic: file.automatic ?? true, pdus, feeds: file.feeds.flatMap(outletsOf) };
}

function outletsOf({ pdu, outlet, outlets, slots, nodes }: PowerFile['feeds'][number]): Feed[] {
  const numbers = numbersOf(slots ?? '') ?? [];
  if (outlet !== undefined) return [{ pdu, outlet, slots: new Set(numbers), nodes: new Set(nodes ?? []) }];
  return (numbersOf(outlets ?? '') ?? []).map((each, index) => ({
    pdu,
    outlet: String(each),
    slots: new Set(numbers.slice(index, index + 1)),
    nodes: new Set<Mac>(),
  }));
}

function readText(path: string, key: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (cause) {
    throw new Error(`cannot read ${path} of ${key}`, { cause });
  }
}
