// A PDU that is switched by SNMP: an integer for each outlet, set to switch it and read to know how it stands.
import { createSocket, type SocketType } from 'node:dgram';
import type { Session, User, Varbind } from 'net-snmp';
import type { SnmpPdu } from './configuration.ts';
import type { PowerDriver, SwitchRequest } from './driver.ts';

/** Datagrams get lost: each is sent up to three times within `timeoutMs`. */
const tries = 3;

export function snmpDriver(pdu: SnmpPdu): PowerDriver {
  const named = `PDU ${pdu.host}`;
  return {
    turn: async (state, { outlets }) => {
      const { ObjectType } = await import('net-snmp');
      const value = pdu[state];
      // One after another: what small PDUs make of several outlets in one request, nobody knows.
      for (const outlet of outlets) {
        const varbind = { oid: `${pdu.controlOid}.${outlet}`, type: ObjectType.Integer, value };
        await ask(pdu, {
          what: `${named} to switch outlet ${outlet} ${state}`,
          request: (session, done) => session.set([varbind], done),
        });
      }
    },
    isOff: async ({ outlets }: SwitchRequest) => {
      for (const outlet of outlets) {
        const oid = `${pdu.statusOid}.${outlet}`;
        const [found] = await ask(pdu, {
          what: `${named} to tell of outlet ${outlet}`,
          request: (session, done) => session.get([oid], done),
        });
        if (found?.oid !== oid || typeof found.value !== 'number')
          throw new Error(`${named} has no number at ${oid}: is it outlet ${outlet}'s?`);
        if (found.value !== pdu.statusOff) return false;
      }
      return true;
    },
  };
}

type Answered = (error: Error | null, varbinds?: Varbind[]) => void;

/** One request on a socket of its own. */
async function ask(
  pdu: SnmpPdu,
  { what, request }: { what: string; request: (session: Session, done: Answered) => unknown },
): Promise<Varbind[]> {
  const snmp = await import('net-snmp');
  const { security, host } = pdu;
  const options = {
    port: pdu.port,
    transport: host.includes(':') ? ('udp6' as const) : ('udp4' as const),
    retries: tries - 1,
    timeout: pdu.timeoutMs / tries,
    dgramModule: { createSocket: guardedSocket },
  };
  const session =
    security.version === '3'
      ? snmp.createV3Session(host, userOf(snmp, security), options)
      : snmp.createSession(host, security.community, { ...options, version: snmp.Version[security.version] });
  const { promise, resolve, reject } = Promise.withResolvers<Varbind[]>();
  // The library's own time begins anew with each step of version 3's handshake, and an answer that it chokes on is lost.
  const timer = setTimeout(() => reject(new Error(`no answer within ${2 * pdu.timeoutMs} ms`)), 2 * pdu.timeoutMs);
  try {
    session.on('error', reject);
    request(session, (error, varbinds) => {
      const wrong = varbinds?.find((varbind) => snmp.isVarbindError(varbind));
      if (error !== null) reject(error);
      else if (wrong !== undefined) reject(new Error(snmp.varbindError(wrong)));
      else resolve(varbinds ?? []);
    });
    return await promise;
  } catch (cause) {
    throw new Error(`cannot get ${what}`, { cause });
  } finally {
    clearTimeout(timer);
    session.close();
  }
}

function userOf(snmp: typeof import('net-snmp'), security: Extract<SnmpPdu['security'], { version: '3' }>): User {
  return {
    name: security.user,
    level: snmp.SecurityLevel.authPriv,
    authProtocol: snmp.AuthProtocols[security.authProtocol],
    authKey: security.authKey,
    privProtocol: snmp.PrivProtocols[security.privProtocol],
    privKey: security.privKey,
  };
}

/**
 * The library reads an answer partly outside of any `try`: what it chokes on would end the process. Here the answer is
 * dropped, and the request runs into its time limit.
 */
function guardedSocket(type: SocketType) {
  const socket = createSocket(type);
  const emit = socket.emit.bind(socket);
  socket.emit = (event: string | symbol, ...args: unknown[]) => {
    try {
      return Reflect.apply(emit, socket, [event, ...args]);
    } catch {
      return true;
    }
  };
  return socket;
}
