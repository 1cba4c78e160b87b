/** A value, not an error: the request was understood and the answer is no, in one sentence. */
export interface Refused {
  refused: string;
  /** The board with this MAC may still be alive: ask again in a second. */
  held?: true;
}
