// The constants that both ends must agree on, and the arithmetic of the five seconds that follows from them.
// All values are milliseconds. Change one and `timing.test.ts` says whether the bound still holds.

/** An agent sends one heartbeat this often. */
export const heartbeatIntervalMs = 750;

/**
 * A heartbeat that is not answered is followed by another this soon, while the last permit is still young. Within a permit's
 * 3 s there are then at least nine attempts, not four: at 30 % loss both ways one permit in some 560 runs out before the next
 * arrives, not one in 15.
 */
export const heartbeatRetryMs = 250;

/** A permit runs this long, counted on the node's monotonic clock from the moment the node sent the nonce. */
export const permitValidityMs = 3_000;

/** The leash looks at every deadline this often. */
export const leashSweepMs = 250;

/** Kill, bridge down, group empty: so long may processes take to die. A customer that outlives it takes the board along. */
export const killWorkMs = 1_000;

/** The last resort: the leash has counted that a customer outlives its kill, and the reset of the board has come. */
export const resetMs = 250;

/** What is left of the bound for everything not foreseen. */
export const marginMs = 500;

/**
 * This long after its last heartbeat a node that hears nothing has stopped everybody: by itself, or with itself. Silence is
 * then the proof of a stop. Until then the node's place is its own: nobody else is given a session for its MAC.
 */
export const stopsByItselfMs = permitValidityMs + leashSweepMs + killWorkMs + resetMs;

/** The promise: from the stored order until the last process of the customer is gone, on every honest node. */
export const boundMs = 5_000;

/** While a node has not acknowledged a kill order, the controller sends it a fresh permit this often. */
export const killResendMs = 100;

/**
 * A node tells a receipt again at once when a permit asks for it this long after the node's last heartbeat: that one was
 * lost. Less than the distance of two resends, and more than a controller takes to store a receipt.
 */
export const receiptRepeatMs = 75;

/** A node is `silent` after this long without a heartbeat: its permits have run out. */
export const silentAfterMs = 3_000;

/** A node is `lost` after this long without a heartbeat: its instances are placed elsewhere. */
export const lostAfterMs = 30_000;

/** ZRE beacons go out this often (RFC 36). */
export const beaconIntervalMs = 1_000;

/** The UDP port of beacons (IANA: ZRE-DISC), heartbeats and permits. The first bytes tell them apart. */
export const rollCallPort = 5670;
