// A dialog gives the focus back to what opened it; the browser sees to that. But the rack goes on meanwhile, and what opened
// it may have been drawn anew, or have gone: then the focus goes to what stands in its place, never to nowhere.

/** Where an element stands, by what outlives a new drawing. */
interface Place {
  opener: HTMLElement;
  key: string | undefined;
  /** From the nearest to the farthest. */
  homes: HTMLElement[];
}

export function returnFocus(dialogs: Iterable<HTMLDialogElement>): void {
  for (const dialog of dialogs) {
    let place: Place | undefined;
    dialog.addEventListener('beforetoggle', (event) => {
      if (event.newState === 'open') place = placeOf(document.activeElement);
    });
    dialog.addEventListener('close', () => {
      if (place === undefined || hasFocusElsewhere(dialog)) return;
      successor(place)?.focus({ preventScroll: true });
    });
  }
}

function placeOf(opener: Element | null): Place | undefined {
  if (!(opener instanceof HTMLElement) || opener === document.body) return undefined;
  const homes: HTMLElement[] = [];
  for (let home = opener.parentElement; home !== null; home = home.parentElement)
    if (home.matches('[data-customer], section, .top')) homes.push(home);
  return { opener, key: opener.dataset['key'], homes };
}

/** What was in the dialog may be said to have the focus still, and is about to lose it. */
function hasFocusElsewhere(dialog: HTMLDialogElement): boolean {
  const active = document.activeElement;
  return active !== null && active !== document.body && !dialog.contains(active);
}

function successor({ opener, key, homes }: Place): HTMLElement | undefined {
  if (opener.isConnected && opener.offsetParent !== null) return opener;
  for (const home of homes) {
    if (!home.isConnected) continue;
    const same = key === undefined ? null : home.querySelector(`[data-key="${CSS.escape(key)}"]`);
    for (const candidate of [same, ...home.querySelectorAll('button, a[href], input')])
      if (candidate instanceof HTMLElement && candidate.offsetParent !== null) return candidate;
  }
  return document.getElementById('kill-everything') ?? undefined;
}
