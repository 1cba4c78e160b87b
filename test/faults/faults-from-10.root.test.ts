import { testFaults } from './each-fault.fixture.ts';

testFaults('faults-from-10', (number) => number >= 10);
