import { MemoryDisk, openMemoryStore } from './memory-store.ts';
import { proveStore } from './store-contract.fixture.ts';

proveStore('memory', () => {
  const disk = new MemoryDisk();
  return Promise.resolve(() => Promise.resolve(openMemoryStore(disk)));
});
