// Where a key leads to from a cell of the rack. No DOM here, so that it is tested in Node.

/** Where a cell lies on the screen. */
export interface Place {
  offsetTop: number;
  offsetLeft: number;
}

/** The index of the next cell; undefined where the key leads nowhere. */
export function neighbour(key: string, { places, at }: { places: readonly Place[]; at: number }): number | undefined {
  const from = { places, at };
  switch (key) {
    case 'ArrowLeft':
      return at > 0 ? at - 1 : undefined;
    case 'ArrowRight':
      return at + 1 < places.length ? at + 1 : undefined;
    case 'Home':
      return 0;
    case 'End':
      return places.length - 1;
    case 'ArrowUp':
      return vertical(from, { step: -1, rows: 1 });
    case 'ArrowDown':
      return vertical(from, { step: 1, rows: 1 });
    case 'PageUp':
      return vertical(from, { step: -1, rows: 8 });
    case 'PageDown':
      return vertical(from, { step: 1, rows: 8 });
    default:
      return undefined;
  }
}

/** By what is on the screen: the grid wraps as wide as it finds room, and slots may be empty. */
function vertical(
  { places, at }: { places: readonly Place[]; at: number },
  { step, rows }: { step: 1 | -1; rows: number },
): number | undefined {
  const from = places[at];
  if (from === undefined) return undefined;
  const distance = ({ offsetLeft }: Place): number => Math.abs(offsetLeft - from.offsetLeft);
  let best: { index: number; place: Place } | undefined;
  let crossed = 0;
  let rowTop = from.offsetTop;
  for (let index = at + step; ; index += step) {
    const place = places[index];
    if (place === undefined) break;
    if (place.offsetTop !== rowTop) {
      if (crossed === rows) break;
      crossed += 1;
      rowTop = place.offsetTop;
      best = { index, place };
    }
    if (best !== undefined && distance(place) < distance(best.place)) best = { index, place };
  }
  return best?.index;
}
