// Rules that the tests break, to see that the referee notices.

export interface Broken {
  /** The agent counts a permit from so much after its nonce left. */
  countsLateMs?: number;
  /** The agent says that all are gone before they are. */
  receiptsAtOnce?: true;
  /** The controller believes that it heard each node so much earlier. */
  heardEarlierMs?: number;
  /** A kill takes so long. */
  killMs?: number;
  /** The controller permits whom an order stops. */
  permitsKilled?: true;
}
