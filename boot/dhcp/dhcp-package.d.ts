// The `dhcp` package has no types of its own. Declared here: its option table, which names the options in our log, and
// what the tests use of it as an independent peer: its client and its codec.
declare module 'dhcp/lib/options.js' {
  const table: { opts: Record<string, { name?: string; type?: string; config?: string }> };
  export default table;
}

declare module 'dhcp/lib/protocol.js' {
  interface Message {
    op: number;
    xid: number;
    flags: number;
    ciaddr: string;
    yiaddr: string;
    siaddr: string;
    giaddr: string;
    chaddr: string;
    sname: string;
    file: string;
    options: Record<string, unknown>;
  }
  const protocol: { parse(bytes: Buffer): Message };
  export default protocol;
}

declare module 'dhcp' {
  import type { EventEmitter } from 'node:events';
  export interface ClientState {
    address: string;
    server: string;
    options: Record<string, unknown>;
  }
  export interface Client extends EventEmitter {
    listen(port?: number, host?: string, done?: () => void): void;
    sendDiscover(): void;
    close(done?: () => void): void;
  }
  const dhcp: { createClient(config: { mac: string; features?: string[] }): Client };
  export default dhcp;
}
