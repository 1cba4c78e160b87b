// The faults that can happen to agents in namespaces of this machine, with the real controller, leash and crun. What needs
// a kernel of its own (a frozen leash and its watchdog, a node's clock, a hung kernel) is in `faults-qemu.ts`.
import { clockSteps } from './host/clock.ts';
import { fillDisk, flushesLast } from './host/disk.ts';
import { drill } from './host/drill.ts';
import { promisedMs, titleOf, type Fault, type FaultRack, type FaultSuite, type Run } from './fault.ts';
import {
  agentBlocks,
  agentDies,
  agentFreezes,
  agentKeepsDying,
  controllerDies,
  controllerFreezes,
  cutting,
  hundredContainers,
  joining,
  leashDies,
  losing,
  startsInFlight,
  stubbornProcessesDie,
  underFullLoad,
} from './host/steps.ts';
import { replays } from './host/replays.ts';
import type { Rig } from './host/rig.ts';

const nodes = 3;

export interface HostFault extends Fault {
  run(rig: Rig): Promise<Run>;
}

function fault(
  about: Pick<Fault, 'number' | 'name' | 'what'> & { variant?: string },
  run: (rig: Rig) => Promise<Run>,
): HostFault {
  return { variant: '', ...about, where: 'host', boundMs: promisedMs, run };
}

export const hostFaults: readonly HostFault[] = [
  fault({ number: 1, name: 'nothing fails', what: 'an order, and three nodes that hear it' }, (rig) => drill(rig, {})),
  fault(
    {
      number: 2,
      name: '30 % packet loss both ways',
      what: 'the bridge drops 30 of 100 frames from and to two of three nodes',
    },
    (rig) => drill(rig, losing(rig, { percent: 30, directions: ['to the node', 'from the node'] })),
  ),
  fault(
    { number: 3, name: 'link cut', variant: 'just before the order', what: 'two of three cables lose their carrier' },
    (rig) => drill(rig, cutting(rig, 'before')),
  ),
  fault(
    { number: 3, name: 'link cut', variant: 'just after the order', what: 'two of three cables lose their carrier' },
    (rig) => drill(rig, cutting(rig, 'after')),
  ),
  fault(
    {
      number: 4,
      name: 'one direction cut',
      variant: 'controller to node',
      what: 'two of three nodes are heard and hear nothing',
    },
    (rig) => drill(rig, losing(rig, { percent: 100, directions: ['to the node'] })),
  ),
  fault(
    {
      number: 4,
      name: 'one direction cut',
      variant: 'node to controller',
      what: 'two of three nodes hear and are not heard',
    },
    (rig) => drill(rig, losing(rig, { percent: 100, directions: ['from the node'] })),
  ),
  fault(
    {
      number: 5,
      name: 'controller killed (-9) right after it answered',
      variant: 'back after 2 s',
      what: 'started again on the same state',
    },
    (rig) => drill(rig, controllerDies(rig, 2_000)),
  ),
  fault(
    {
      number: 5,
      name: 'controller killed (-9) right after it answered',
      variant: 'never back',
      what: 'started again only after the measurement',
    },
    (rig) => drill(rig, controllerDies(rig, undefined)),
  ),
  fault({ number: 6, name: 'controller frozen (SIGSTOP)', what: 'right after it answered' }, (rig) =>
    drill(rig, controllerFreezes(rig)),
  ),
  fault(
    { number: 7, name: 'agent killed (-9)', variant: 'once', what: 'just before the order, on two of three nodes' },
    (rig) => drill(rig, agentDies(rig)),
  ),
  fault(
    {
      number: 7,
      name: 'agent killed (-9)',
      variant: 'and each time it comes back',
      what: 'from just before the order, on two of three nodes',
    },
    (rig) => drill(rig, agentKeepsDying(rig)),
  ),
  fault({ number: 8, name: 'agent frozen (SIGSTOP)', what: 'just before the order, on two of three nodes' }, (rig) =>
    drill(rig, agentFreezes(rig)),
  ),
  fault(
    {
      number: 8,
      name: 'agent’s event loop blocked',
      what: 'a loop of 9 s from just before the order, on two of three nodes',
    },
    (rig) => drill(rig, agentBlocks(rig)),
  ),
  fault(
    {
      number: 9,
      name: 'leash killed (-9)',
      what: 'just before the order, on two of three nodes; PID 1 stops everybody',
    },
    (rig) => drill(rig, leashDies(rig)),
  ),
  fault(
    {
      number: 10,
      name: 'controller’s clock stepped',
      variant: 'an hour ahead',
      what: 'just before the order, by libfaketime',
    },
    (rig) => clockSteps(rig, 3_600),
  ),
  fault(
    {
      number: 10,
      name: 'controller’s clock stepped',
      variant: 'an hour back',
      what: 'just before the order, by libfaketime',
    },
    (rig) => clockSteps(rig, -3_600),
  ),
  fault({ number: 11, name: '100 containers', what: '33 on each node, two processes each' }, hundredContainers),
  fault(
    {
      number: 11,
      name: 'processes that resist',
      what: 'ignore every signal, are stopped, forked away twice, in sessions and control groups of their own',
    },
    stubbornProcessesDie,
  ),
  fault(
    { number: 12, name: 'container starts in flight', what: 'the order comes while 24 containers start' },
    startsInFlight,
  ),
  fault(
    {
      number: 15,
      name: 'replayed and forged permits',
      variant: 'beside the real ones',
      what: 'old permits again, doubled, out of order, changed, and other nodes’, every 20 ms',
    },
    (rig) => drill(rig, replays(rig, 'beside the real ones')),
  ),
  fault(
    {
      number: 15,
      name: 'replayed and forged permits',
      variant: 'instead of the real ones',
      what: 'the same, and permits from before the order held back and delivered late',
    },
    (rig) => drill(rig, replays(rig, 'instead of the real ones')),
  ),
  fault(
    {
      number: 16,
      name: 'controller’s disk full',
      what: 'the order is in force at once, and stored in the reserve or as soon as there is room',
    },
    (rig) => drill(rig, fillDisk(rig)),
  ),
  fault(
    {
      number: 16,
      name: 'controller’s disk slow, 6 s a flush',
      what: 'the order is in force from memory, its answer says so; LD_PRELOAD makes fsync and fdatasync sleep',
    },
    (rig) => flushesLast(rig, 6),
  ),
  fault(
    { number: 17, name: 'a node joins, another’s agent restarts', what: 'the order comes while they start' },
    (rig) => drill(rig, joining(rig)),
  ),
  fault(
    {
      number: 18,
      name: 'full load meanwhile',
      what: 'DHCP, TFTP and HTTP boot downloads, 32 event streams, logs without end',
    },
    underFullLoad,
  ),
];

export const hostSuite: FaultSuite = {
  where: 'host',
  faults: hostFaults,
  async open({ name = 'faults-host', print }): Promise<FaultRack> {
    const { Rig } = await import('./host/rig.ts');
    const rig = await Rig.create({ name, nodes, print });
    return {
      run(wanted) {
        const found = hostFaults.find((each) => titleOf(each) === titleOf(wanted));
        if (found === undefined) throw new Error(`there is no fault ${titleOf(wanted)} on this machine`);
        return found.run(rig);
      },
      [Symbol.asyncDispose]: () => rig[Symbol.asyncDispose](),
    };
  },
};
