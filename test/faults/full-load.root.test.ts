import { testFaults } from './each-fault.fixture.ts';

testFaults('full-load', (number) => number === 18);
