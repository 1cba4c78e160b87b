import { testFaults } from './each-fault.fixture.ts';

testFaults('faults-from-13', (number) => number >= 13);
