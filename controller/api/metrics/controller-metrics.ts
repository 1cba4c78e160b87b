// What Prometheus is told, see docs/OPERATIONS.md, "What to watch". All of it is found out when it is asked for: no permit and
// no order does a thing for it.
import { readdirSync, readFileSync } from 'node:fs';
import { nodeStates } from '../../../protocol/api/nodes.ts';
import type { Status } from '../../../protocol/api/status.ts';
import { isDrillOrder } from '../../../inventory/drills/drills.ts';
import type { Inventory } from '../../../inventory/inventory.ts';
import type { OrderDocument } from '../../../inventory/store/documents.ts';
import { openFilesLimit } from '../../descriptors.ts';
import { version } from '../../version.ts';
import { lastDrill } from '../drill-views.ts';
import { counter, gauge, Histogram, type Metric } from './metrics.ts';

/** Each customer is some series in every scrape; beyond so many the smallest are left out, and counted. */
const customerLimit = 200;
/** The bound is 5 s. */
const killSeconds = [0.1, 0.25, 0.5, 0.75, 1, 1.5, 2, 3, 4, 5, 7.5, 10, 30];
const bootSeconds = [15, 30, 45, 60, 75, 90, 120, 180, 300, 600];

export function controllerMetrics({
  status,
  rollCall,
  listeners,
}: {
  status: Status;
  rollCall: Record<string, number>;
  listeners: number;
}): Metric[] {
  return [
    {
      name: 'muster_build_info',
      help: 'The version that runs.',
      type: 'gauge',
      values: [{ labels: { version, node: process.version }, value: 1 }],
    },
    {
      name: 'muster_nodes',
      help: 'Nodes by state.',
      type: 'gauge',
      values: nodeStates.map((state) => ({ labels: { state }, value: status.nodes[state] ?? 0 })),
    },
    gauge('muster_instances', { help: 'Instances that should run.', value: status.instances }),
    gauge('muster_instances_running', { help: 'Instances that run.', value: status.running }),
    gauge('muster_kill_orders_standing', { help: 'Kill orders that stand.', value: status.standingOrders }),
    gauge('muster_problems', {
      help: 'What the controller itself is in trouble with (muster status names it).',
      value: status.problems.length,
    }),
    gauge('muster_other_servers', {
      help: 'Other servers that give addresses on the segment.',
      value: status.otherServers?.length ?? 0,
    }),
    gauge('muster_two_person_rule', {
      help: 'Whether lifting needs two operators.',
      value: status.twoPersonRule ? 1 : 0,
    }),
    gauge('muster_stream_listeners', { help: 'Open event streams.', value: listeners }),
    {
      name: 'muster_roll_call_total',
      help: 'Datagrams of the roll call, by what they were.',
      type: 'counter',
      values: Object.entries(rollCall).map(([what, value]) => ({ labels: { what }, value })),
    },
  ];
}

export function inventoryMetrics(inventory: Inventory): Metric[] {
  const customers = inventory.customers
    .all()
    .map(({ name }) => {
      const instances = inventory.instances.of(name);
      const running = instances.filter(({ state }) => state === 'running').length;
      return { name, instances: instances.length, running, isStopped: inventory.orders.killedBy(name) !== undefined };
    })
    .toSorted((a, b) => b.instances - a.instances || (a.name < b.name ? -1 : 1));
  const shown = customers.slice(0, customerLimit);
  const ofEach = (
    name: string,
    { help, of }: { help: string; of: (customer: (typeof shown)[number]) => number },
  ): Metric => ({
    name,
    help,
    type: 'gauge',
    values: shown.map((customer) => ({ labels: { customer: customer.name }, value: of(customer) })),
  });
  return [
    gauge('muster_nodes_fenced', {
      help: 'Nodes that are kept out.',
      value: inventory.nodes.all().filter(({ fenced }) => fenced).length,
    }),
    gauge('muster_kill_unacknowledged_nodes', {
      help: 'Nodes that have not acknowledged an order that stands.',
      value: inventory.orders.unacknowledgedNodes().length,
    }),
    gauge('muster_disk_full', {
      help: 'Whether the disk takes nothing but orders.',
      value: inventory.diskFull() === undefined ? 0 : 1,
    }),
    gauge('muster_customers', { help: 'Customers.', value: customers.length }),
    gauge('muster_customers_left_out', {
      help: 'Customers without series of their own.',
      value: customers.length - shown.length,
    }),
    ofEach('muster_customer_instances', { help: 'Instances that should run.', of: ({ instances }) => instances }),
    ofEach('muster_customer_instances_running', { help: 'Instances that run.', of: ({ running }) => running }),
    ofEach('muster_customer_stopped', {
      help: 'Whether an order stops the customer.',
      of: ({ isStopped }) => (isStopped ? 1 : 0),
    }),
  ];
}

/** Of the last drill that is over. Before the first it never passed and ended in 1970, so that an alert fires. */
export function drillMetrics(inventory: Inventory): Metric[] {
  const drill = lastDrill(inventory);
  const endedAt = drill === null ? 0 : (drill.endedAt ?? drill.startedAt);
  return [
    gauge('muster_drill_last_ok', {
      help: 'Whether the last drill passed.',
      value: drill?.outcome === 'passed' ? 1 : 0,
    }),
    gauge('muster_drill_last_timestamp_seconds', {
      help: 'When the last drill ended; 0 before the first.',
      value: endedAt / 1_000,
    }),
    gauge('muster_drill_last_slowest_seconds', {
      help: 'From the stored order to the evidence of the slowest node, in the last drill; 0 where there is none.',
      value: (drill?.slowestMs ?? 0) / 1_000,
    }),
    gauge('muster_drill_scheduled', {
      help: 'Whether drills are done by themselves.',
      value: inventory.drills.schedule() === undefined ? 0 : 1,
    }),
  ];
}

/** What adds up over the life of this process, found in the documents at each scrape: they keep it for longer than that. */
export class Histories {
  readonly #inventory: Inventory;
  readonly #startedAt: number;
  /** Of orders that are not acknowledged everywhere, the nodes that were counted. */
  readonly #counted = new Map<number, Set<string>>();
  /** Orders up to this one are over. */
  readonly #over = new Set<number>();
  readonly #kills = new Map<string, { labels: Record<string, string>; histogram: Histogram }>();
  readonly #readyAt = new Map<string, number>();
  readonly #boots = new Map<string, Histogram>();

  /** `startedAt`: what was before belongs to an earlier process. */
  constructor(inventory: Inventory, startedAt: number) {
    this.#inventory = inventory;
    this.#startedAt = startedAt;
    for (const drill of ['false', 'true']) this.#killHistogram({ evidence: 'receipt', drill });
    for (const firmware of ['uboot', 'uefi']) this.#boots.set(firmware, new Histogram(bootSeconds));
  }

  metrics(): Metric[] {
    this.#countKills();
    this.#countBoots();
    return [
      {
        name: 'muster_kill_evidence_seconds',
        help: 'From a kill order to the evidence that a node has stopped, by its kind.',
        type: 'histogram',
        values: [...this.#kills.values()],
      },
      {
        name: 'muster_boot_duration_seconds',
        help: "From a node's first DHCP packet to its first heartbeat.",
        type: 'histogram',
        values: Array.from(this.#boots, ([firmware, histogram]) => ({ labels: { firmware }, histogram })),
      },
    ];
  }

  #killHistogram(labels: { evidence: string; drill: string }): Histogram {
    const key = `${labels.evidence} ${labels.drill}`;
    const found = this.#kills.get(key) ?? { labels, histogram: new Histogram(killSeconds) };
    this.#kills.set(key, found);
    return found.histogram;
  }

  #countKills(): void {
    const orders = this.#inventory.orders.all();
    const known = new Set(orders.map(({ number }) => number));
    for (const number of this.#over) if (!known.has(number)) this.#over.delete(number);
    for (const order of orders)
      if (order.at >= this.#startedAt && !this.#over.has(order.number)) this.#countOrder(order);
  }

  #countOrder(order: OrderDocument): void {
    const counted = this.#counted.get(order.number) ?? new Set<string>();
    this.#counted.set(order.number, counted);
    const drill = String(isDrillOrder(order));
    for (const { mac, evidence, evidenceAfterMs } of this.#inventory.orders.receipts(order.number)) {
      if (counted.has(mac)) continue;
      counted.add(mac);
      this.#killHistogram({ evidence, drill }).observe(evidenceAfterMs / 1_000);
    }
    if (order.liftedAt === null && counted.size < order.targets.length) return;
    this.#over.add(order.number);
    this.#counted.delete(order.number);
  }

  #countBoots(): void {
    const nodes = this.#inventory.nodes.all();
    for (const { mac, readyAt, firstDhcpAt, firmware } of nodes) {
      if (readyAt === null || readyAt < this.#startedAt || this.#readyAt.get(mac) === readyAt) continue;
      this.#readyAt.set(mac, readyAt);
      if (firstDhcpAt === null) continue;
      const histogram = this.#boots.get(firmware ?? 'unknown') ?? new Histogram(bootSeconds);
      this.#boots.set(firmware ?? 'unknown', histogram);
      histogram.observe((readyAt - firstDhcpAt) / 1_000);
    }
    if (this.#readyAt.size <= nodes.length) return;
    const known = new Set<string>(nodes.map(({ mac }) => mac));
    for (const mac of this.#readyAt.keys()) if (!known.has(mac)) this.#readyAt.delete(mac);
  }
}

/** By the names that other programs' metrics have. */
export function processMetrics({
  startedAt,
  longestTurnMs,
  lostLines,
}: {
  startedAt: number;
  longestTurnMs: number;
  lostLines: number;
}): Metric[] {
  const { user, system } = process.cpuUsage();
  const { rss, heapUsed } = process.memoryUsage();
  const virtualPages = Number(readFileSync('/proc/self/statm', 'latin1').split(' ')[0]);
  return [
    counter('process_cpu_seconds_total', { help: 'Processor time of the controller.', value: (user + system) / 1e6 }),
    gauge('process_resident_memory_bytes', { help: 'Resident memory of the controller.', value: rss }),
    gauge('process_virtual_memory_bytes', { help: 'Address space of the controller.', value: virtualPages * 4_096 }),
    gauge('process_open_fds', { help: 'Open files and sockets.', value: readdirSync('/proc/self/fd').length }),
    gauge('process_max_fds', { help: 'Open files and sockets at most.', value: openFilesLimit() }),
    gauge('process_start_time_seconds', { help: 'When the controller started.', value: startedAt / 1_000 }),
    gauge('nodejs_heap_size_used_bytes', { help: 'What JavaScript keeps.', value: heapUsed }),
    gauge('muster_event_loop_longest_turn_seconds', {
      help: 'The longest turn of the event loop in the last ten seconds: orders wait for it, permits do not.',
      value: longestTurnMs / 1_000,
    }),
    counter('muster_log_lines_lost_total', { help: 'Lines of the log that nobody could take.', value: lostLines }),
  ];
}

export function connectionMetrics(servers: Record<string, { open: number; refused: number }>): Metric[] {
  const values = (what: 'open' | 'refused') =>
    Object.entries(servers).map(([server, connections]) => ({ labels: { server }, value: connections[what] }));
  return [
    { name: 'muster_connections', help: 'Open connections.', type: 'gauge', values: values('open') },
    {
      name: 'muster_connections_refused_total',
      help: 'Connections that were closed because there were too many.',
      type: 'counter',
      values: values('refused'),
    },
  ];
}

export function bootMetrics(servers: Record<string, Record<string, number>>): Metric[] {
  return [
    {
      name: 'muster_boot_total',
      help: 'What the boot servers did.',
      type: 'counter',
      values: Object.entries(servers).flatMap(([server, counters]) =>
        Object.entries(counters).map(([what, value]) => ({ labels: { server, what }, value })),
      ),
    },
  ];
}
