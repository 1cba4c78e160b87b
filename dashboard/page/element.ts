// Building the DOM: text goes in as text, so nothing that a board or a customer says is ever read as markup. The
// server's policy forbids the other way too (`require-trusted-types-for 'script'`).

type Attributes = Record<string, string | number | boolean>;
type Child = Node | string;

/** An element with attributes; `class` and `data-…` are attributes like any other, `false` leaves one out. */
// oxlint-disable-next-line max-params -- as markup is read: the tag, its attributes, what is in it
export function element<Tag extends keyof HTMLElementTagNameMap>(
  tag: Tag,
  attributes: Attributes = {},
  ...children: Child[]
): HTMLElementTagNameMap[Tag] {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === false) continue;
    made.setAttribute(name, value === true ? '' : printable(String(value)));
  }
  made.append(...children.map((child) => (typeof child === 'string' ? printable(child) : child)));
  return made;
}

/**
 * Text that is no markup can still lie: turned from right to left it reads as another word, and takes its neighbours along.
 * The same as `protocol/printable.ts`, but for line feeds, which HTML takes for spaces.
 */
function printable(text: string): string {
  return text.replace(/(?![\t\n])[\p{Cc}\p{Cs}\p{Bidi_Control}\u2028\u2029]/gu, '\u{fffd}');
}

/** The one element of the page with this id; a page without it is a broken build. */
export function byId<Kind extends HTMLElement>(id: string, kind: new () => Kind): Kind {
  const found = document.getElementById(id);
  if (!(found instanceof kind)) throw new Error(`cannot find #${id}: the page has none, want a ${kind.name}`);
  return found;
}

// Both write only what differs: an equal write still costs a layout.
export function setText(target: Element, text: string): void {
  const shown = printable(text);
  if (target.textContent !== shown) target.textContent = shown;
}

export function setAttributes(target: Element, attributes: Record<string, string>): void {
  for (const [name, value] of Object.entries(attributes)) {
    const shown = printable(value);
    if (target.getAttribute(name) !== shown) target.setAttribute(name, shown);
  }
}

/** A bar filled to a share of 0 to 1, with a label for those who cannot see it. */
export function meter(share: number, label: string): HTMLElement {
  const bar = element('div', { class: 'meter', role: 'meter', 'aria-label': label, 'aria-valuemin': 0 });
  bar.setAttribute('aria-valuemax', '100');
  bar.append(element('i'));
  setMeter(bar, share);
  return bar;
}

export function setMeter(bar: HTMLElement, share: number): void {
  const held = Number.isFinite(share) ? Math.min(1, Math.max(0, share)) : 0;
  setAttributes(bar, {
    'aria-valuenow': String(Math.round(held * 100)),
    'data-level': held > 0.9 ? 'high' : held > 0.7 ? 'raised' : 'usual',
  });
  bar.style.setProperty('--share', held.toFixed(3));
}

/** The figure beside a word that is easy to miss: colour, and a letter or sign for those who do not see the colour. */
export function badge(state: string, text: string): HTMLElement {
  return element('span', { class: 'badge', 'data-state': state }, text);
}
