// Comes before the agent in the drill of faults only: SIGUSR2 blocks the event loop for 9 s, as a loop without an end in
// the agent's own code would. Not a stop of the process: it keeps a core busy, and so the node.
const blockMs = 9_000;

process.on('SIGUSR2', () => {
  const endMs = performance.now() + blockMs;
  while (performance.now() < endMs);
});
