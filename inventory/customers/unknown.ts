// What is refused because there is no such thing.
import type { Refused } from '../refused.ts';

export function unknownCustomer(name: string): Refused {
  return { refused: `there is no customer ${name}` };
}

export function unknownImage(name: string): Refused {
  return { refused: `there is no image ${name}: import it first` };
}
