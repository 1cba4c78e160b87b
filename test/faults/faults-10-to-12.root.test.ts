import { testFaults } from './each-fault.fixture.ts';

testFaults('faults-10-to-12', (number) => number >= 10 && number <= 12);
