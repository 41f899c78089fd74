// White letters on each of these have a contrast of 4.5 and more.
const colours = ["#0f7568", "#6750c8", "#b3482e", "#2767b3", "#93408f", "#b23561", "#3c7632", "#4b58bd"];

/** A colour for a name: always the same for the same name. */
export function colourOf(name: string): string {
  // FNV-1a: names that differ in one letter differ in colour.
  let hash = 0x811c9dc5;
  for (const character of name) hash = Math.imul(hash ^ (character.codePointAt(0) ?? 0), 0x01000193) >>> 0;
  return colours[(hash >>> 8) % colours.length] ?? "#34679c";
}
