import { testFaults } from './each-fault.fixture.ts';

testFaults((number) => number >= 10);
