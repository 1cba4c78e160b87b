// A command that is written as one line, taken apart as a POSIX shell would, without filling anything in: Compose does the same.

/** Undefined where a quote is not closed. */
export function shellWords(line: string): string[] | undefined {
  const words: string[] = [];
  let word: string | undefined;
  for (let at = 0; at < line.length; at += 1) {
    const character = line.charAt(at);
    if (character === "'" || character === '"') {
      const end = closing(line, { at, quote: character });
      if (end === undefined) return undefined;
      const inside = line.slice(at + 1, end);
      word = (word ?? '') + (character === '"' ? inside.replaceAll(/\\(["\\$`])/g, '$1') : inside);
      at = end;
    } else if (character === '\\' && at + 1 < line.length) {
      word = (word ?? '') + line.charAt(at + 1);
      at += 1;
    } else if (/\s/.test(character)) {
      if (word !== undefined) words.push(word);
      word = undefined;
    } else word = (word ?? '') + character;
  }
  return word === undefined ? words : [...words, word];
}

function closing(line: string, { at, quote }: { at: number; quote: string }): number | undefined {
  for (let end = at + 1; end < line.length; end += 1) {
    if (quote === '"' && line.charAt(end) === '\\') end += 1;
    else if (line.charAt(end) === quote) return end;
  }
  return undefined;
}
