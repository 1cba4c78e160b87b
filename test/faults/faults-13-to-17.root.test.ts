import { testFaults } from './each-fault.fixture.ts';

testFaults('faults-13-to-17', (number) => number >= 13 && number < 18);
