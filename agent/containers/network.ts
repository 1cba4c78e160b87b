// The network of the customers of one node: a bridge a customer with its own /24, a network namespace and a veth pair an
// instance, and one nftables table that keeps customers from one another, from the node and from the rack.
//
//   container eth0 172.28.<subnet>.<host> ── veth ── br-<customer> 172.28.<subnet>.1 ── node ── rack
//
// One `ip -batch` builds an instance's part, one `nft -f -` replaces all rules in one transaction.
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { instancePattern, isCustomerName } from '../../protocol/names.ts';
import { bridgeOf } from './groups/customer-group.ts';
import { idRange } from './oci/oci-config.ts';
import { runTool } from './tool.ts';

export interface RuntimeNetwork {
  /** The node's interface on the rack network: `eth0`. */
  rackInterface: string;
  /** `10.77.0.0/24`: containers get no new connection into it. */
  rackSubnet: string;
  /** The node's own address there, which instances' ports are reached at. */
  nodeAddress: string;
  controllerAddress: string;
}

export interface Attachment {
  instance: string;
  customer: string;
  /** Third and fourth byte of the container's address. */
  subnet: number;
  host: number;
  port: { container: number; node: number } | null;
}

const supernet = '172.28';
const toolTimeoutMs = 15_000;
const instanceName = new RegExp(instancePattern);
const ipv4 = /^(\d{1,3}\.){3}\d{1,3}$/;

export function addressOf({ subnet, host }: Pick<Attachment, 'subnet' | 'host'>): string {
  return `${supernet}.${subnet}.${host}`;
}

/** Of the address: the next instance that gets it answers to the neighbours that know it already, for up to a minute. */
function macOf({ subnet, host }: Attachment): string {
  const byte = (value: number): string => value.toString(16).padStart(2, '0');
  return `02:42:ac:1c:${byte(subnet)}:${byte(host)}`;
}

export function namespacePath(instance: string): string {
  return `/run/netns/${instance}`;
}

/**
 * Permits, heartbeats and the controller's SSH need no entry in the kernel's table of connections, which customers can fill:
 * what finds no place in it is dropped.
 */
function untracked(match: string, sshPort: 'dport' | 'sport'): string {
  return `    ${match} meta l4proto udp notrack\n    ${match} tcp ${sshPort} 22 notrack\n`;
}

/** The whole table, as `nft -f -` takes it: pure. */
export function ruleset(
  network: RuntimeNetwork,
  { customers, attachments }: { customers: string[]; attachments: Attachment[] },
): string {
  const ports = attachments
    .flatMap(({ port, ...at }) => (port ? [{ ...port, address: addressOf(at) }] : []))
    .map(({ node, address, container }) => `tcp dport ${node} dnat ip to ${address}:${container}`);
  const { rackInterface, nodeAddress, controllerAddress } = network;
  const forwarded = (match: string) => ports.map((rule) => `    ${match} ${rule}\n`).join('');
  const within = customers
    .map((customer) => `    iifname "${bridgeOf(customer)}" oifname "${bridgeOf(customer)}" accept\n`)
    .join('');
  return `table inet muster
flush table inet muster
table inet muster {
  chain own_in {
    type filter hook prerouting priority raw; policy accept;
${untracked(`iifname "${rackInterface}" ip saddr ${controllerAddress} ip daddr ${nodeAddress}`, 'dport')}  }
  chain own_out {
    type filter hook output priority raw; policy accept;
${untracked(`oifname "${rackInterface}" ip saddr ${nodeAddress} ip daddr ${controllerAddress}`, 'sport')}  }
  chain from_rack {
    type nat hook prerouting priority dstnat; policy accept;
${forwarded(`iifname "${network.rackInterface}" ip daddr ${network.nodeAddress}`)}  }
  chain from_node {
    type nat hook output priority -100; policy accept;
${forwarded(`ip daddr ${network.nodeAddress}`)}  }
  chain to_elsewhere {
    type nat hook postrouting priority srcnat; policy accept;
    iifname "br-*" oifname "${network.rackInterface}" masquerade
  }
  chain forward {
    type filter hook forward priority filter; policy drop;
    ct state established,related accept
${within}    iifname != "br-*" oifname "br-*" ct status dnat accept
${[network.rackSubnet, network.controllerAddress, `${supernet}.0.0/16`, '169.254.0.0/16'].map((to) => `    ip daddr ${to} drop\n`).join('')}    iifname "br-*" oifname "${network.rackInterface}" meta nfproto ipv4 accept
  }
  chain to_node {
    type filter hook input priority filter; policy accept;
    iifname "br-*" ct state established,related accept
    iifname "br-*" drop
  }
}
`;
}

export class Network {
  readonly #network: RuntimeNetwork;
  readonly #subnetDirectory: string;
  readonly #attachments = new Map<string, Attachment>();
  readonly #subnets = new Map<string, number>();
  /** The rules that were last loaded. */
  #loaded = '';
  /** One change at a time: two instances of one customer must not both find its bridge missing. */
  #last: Promise<unknown> = Promise.resolve();

  /** `stateDirectory` keeps which subnet a customer has through an agent's restart. Forwarding is switched on here. */
  constructor(network: RuntimeNetwork, stateDirectory: string) {
    for (const [key, value, want] of [
      ['nodeAddress', network.nodeAddress, ipv4],
      ['controllerAddress', network.controllerAddress, ipv4],
      ['rackSubnet', network.rackSubnet, /^(\d{1,3}\.){3}\d{1,3}\/\d{1,2}$/],
      ['rackInterface', network.rackInterface, /^[A-Za-z0-9_.-]{1,15}$/],
    ] as const)
      if (!want.test(value))
        throw new Error(`cannot set up containers' network: ${key} is ${JSON.stringify(value)}, want ${want}`);
    this.#network = network;
    this.#subnetDirectory = join(stateDirectory, 'subnets');
    mkdirSync(this.#subnetDirectory, { recursive: true });
    for (const customer of readdirSync(this.#subnetDirectory).filter(isCustomerName))
      this.#subnets.set(customer, Number(readFileSync(join(this.#subnetDirectory, customer), 'utf8')));
  }

  /** Takes an instance back that an earlier agent attached. */
  adopt(attachment: Attachment): void {
    this.#attachments.set(attachment.instance, attachment);
    if (!this.#subnets.has(attachment.customer)) this.#keepSubnet(attachment.customer, attachment.subnet);
  }

  /** Chooses an address; nothing is built yet. Throws where none is free. */
  allot(wanted: { id: string; customer: string; port: Attachment['port'] }): Attachment {
    if (!instanceName.test(wanted.id) || !isCustomerName(wanted.customer))
      throw new Error(
        `cannot attach ${JSON.stringify(wanted.id)} of ${JSON.stringify(wanted.customer)}: no such names`,
      );
    const known = this.#attachments.get(wanted.id);
    if (known) return known;
    let subnet = this.#subnets.get(wanted.customer);
    if (subnet === undefined) {
      const taken = new Set(this.#subnets.values());
      subnet = firstFree('subnet for a customer', { from: 1, taken });
      this.#keepSubnet(wanted.customer, subnet);
    }
    const here = [...this.#attachments.values()].filter(({ customer }) => customer === wanted.customer);
    const host = firstFree(`address for ${wanted.customer}`, {
      from: 2,
      taken: new Set(here.map((other) => other.host)),
    });
    const attachment = { instance: wanted.id, customer: wanted.customer, subnet, host, port: wanted.port };
    this.#attachments.set(wanted.id, attachment);
    return attachment;
  }

  /** Builds the bridge (down, `CustomerGroup.allow` switches it on), the namespace and the veth pair, and loads the rules. */
  attach(attachment: Attachment, { uidBase }: { uidBase: number }): Promise<void> {
    return this.#exclusively(async () => {
      // The rules first: no container's interface is ever up without them.
      await this.#load();
      await this.#attach(attachment, uidBase);
    });
  }

  /** Removes the instance's part; one that is not there is fine. */
  detach(instance: string): Promise<void> {
    return this.#exclusively(async () => {
      // The veth pair goes with it, a little later: to delete it here would take the kernel 20 ms of waiting.
      if (existsSync(namespacePath(instance))) await this.#ip([], [`netns delete ${instance}`]);
      if (this.#attachments.delete(instance)) await this.#load();
    });
  }

  removeCustomer(customer: string): Promise<void> {
    return this.#exclusively(async () => {
      const bridge = bridgeOf(customer);
      if (existsSync(`/sys/class/net/${bridge}`)) await this.#ip([], [`link delete ${bridge}`]);
      rmSync(join(this.#subnetDirectory, customer), { force: true });
      if (this.#subnets.delete(customer)) await this.#load();
    });
  }

  #exclusively<T>(change: () => Promise<T>): Promise<T> {
    // The one before told its own caller when it failed.
    const next = this.#last.then(change, change);
    this.#last = next;
    return next;
  }

  async #attach(attachment: Attachment, uidBase: number): Promise<void> {
    const { instance, customer, subnet } = attachment;
    const bridge = bridgeOf(customer);
    const veth = vethOf(instance);
    // What an agent that died half-way left.
    if (existsSync(namespacePath(instance))) await this.#ip([], [`netns delete ${instance}`]);
    if (existsSync(`/sys/class/net/${veth}`)) await this.#ip([], [`link delete ${veth}`]);
    const settings = [
      // NET_BIND_SERVICE is asked for in the user namespace that owns this one: the node's, where no container has it.
      'echo 0 >/proc/sys/net/ipv4/ip_unprivileged_port_start',
      // NET_RAW is nobody's: ping without it, for all of the customer's groups.
      `echo ${uidBase} ${uidBase + idRange - 1} >/proc/sys/net/ipv4/ping_group_range`,
      '{ [ ! -e /proc/sys/net/ipv6/conf/eth0/disable_ipv6 ] || echo 1 >/proc/sys/net/ipv6/conf/eth0/disable_ipv6; }',
    ].join(' && ');
    await this.#ip(
      [],
      [
        ...(existsSync(`/sys/class/net/${bridge}`)
          ? []
          : [`link add ${bridge} type bridge`, `address add ${supernet}.${subnet}.1/24 dev ${bridge}`]),
        `netns add ${instance}`,
        `link add ${veth} type veth peer name eth0 address ${macOf(attachment)} netns ${instance}`,
        `link set ${veth} master ${bridge} up`,
        `netns exec ${instance} /bin/sh -c "${settings}"`,
      ],
    );
    await this.#ip(
      ['-n', instance],
      [
        'link set lo up',
        `address add ${addressOf(attachment)}/24 dev eth0`,
        'link set eth0 up',
        `route add default via ${supernet}.${subnet}.1`,
      ],
    );
  }

  async #load(): Promise<void> {
    const rules = ruleset(this.#network, {
      customers: [...this.#subnets.keys()],
      attachments: [...this.#attachments.values()],
    });
    if (rules === this.#loaded) return;
    writeFileSync('/proc/sys/net/ipv4/ip_forward', '1');
    await runTool(['nft', '-f', '-'], { timeoutMs: toolTimeoutMs, input: rules });
    this.#loaded = rules;
  }

  #ip(options: string[], batch: string[]): Promise<void> {
    return runTool(['ip', ...options, '-batch', '-'], { timeoutMs: toolTimeoutMs, input: `${batch.join('\n')}\n` });
  }

  #keepSubnet(customer: string, subnet: number): void {
    this.#subnets.set(customer, subnet);
    writeFileSync(join(this.#subnetDirectory, customer), String(subnet));
  }
}

/** An interface's name has 15 characters at most, an instance's 39. */
function vethOf(instance: string): string {
  return `v${createHash('sha256').update(instance).digest('hex').slice(0, 13)}`;
}

/** Of a byte of an address: 0 and 255 have a meaning of their own. */
function firstFree(what: string, { from, taken }: { from: number; taken: Set<number> }): number {
  for (let at = from; at < 255; at++) if (!taken.has(at)) return at;
  throw new Error(`cannot find a ${what}: all ${255 - from} are taken`);
}
