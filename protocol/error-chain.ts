// How an error is told: in one line, with what caused it.

/** `cannot start: cannot open the store: disk full`. */
export function errorChain(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause === undefined ? error.message : `${error.message}: ${errorChain(error.cause)}`;
}
