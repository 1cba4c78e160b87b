// What boards and customers say, made fit for people's eyes: in a terminal, on paper, in a metric's label. (The page has the
// same in `dashboard/page/element.ts`: it takes nothing but types from here.)

/**
 * Control characters, which steer a terminal (colours, the title, the clipboard, a link that lies); halves of surrogate
 * pairs; what turns the direction of writing, so that a line reads as another one; and the two separators that some take
 * for a line feed.
 */
const unprintable = /[\p{Cc}\p{Cs}\p{Bidi_Control}\u2028\u2029]/gu;

/** One line: each unprintable character but the tab is shown as U+FFFD. */
export function printable(text: string): string {
  return text.replace(unprintable, (character) => (character === '\t' ? '\t' : '\u{fffd}'));
}

/** The same for whole pages of text, whose line feeds are ours. */
export function printableLines(text: string): string {
  return text.replace(unprintable, (character) => (/[\t\n]/.test(character) ? character : '\u{fffd}'));
}

/** JSON as text that a terminal can be given, and that means the same: `JSON.stringify` escapes less than that. */
export function printableJson(json: string): string {
  return json.replace(unprintable, (character) =>
    /[\t\n]/.test(character) ? character : `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}
