import { testFaults } from './each-fault.fixture.ts';

// Three files, because each must end within the time that one file has, also on a slow machine.
testFaults('faults-to-9', (number) => number <= 9);
