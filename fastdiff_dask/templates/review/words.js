// Words and numbers as people read them. Names of files are data: they become text nodes, never markup.

export const KINDS = {
  "same file": ["Same file", "byte for byte the same"],
  "same pixels": ["Same pixels", "files differ, every pixel is the same"],
  "same picture": ["Same picture", "the same picture, saved again or made smaller"],
  "edited copy": ["Edited copy", "a part or an edited version of the other image"],
  "not looked at": ["Not looked at", "alike as thumbnails; the files were not compared yet"],
  "similar": ["Similar", "alike as thumbnails, not proved to be the same picture"],
  "": ["Alike by others", "alike to another image of the group, not to the first"],
};
export const kind = verdict => KINDS[verdict] || [verdict, ""];

export const DIFFERENCE = "How much two thumbnails differ (mean squared error, MSE): 0 equal thumbnails, up to 10 the same picture saved again, " +
  "50 small edits, 200 similar, 1000 loosely alike.";

export const count = number => number.toLocaleString("en-US");
export const counted = (number, noun) => count(number) + " " + noun + (number === 1 ? "" : "s");
export function bytes(number) {
  if (number < 1000) return counted(number, "byte");
  const units = ["kB", "MB", "GB", "TB"];
  let place = -1;
  while (number >= 999.95 && place < 3) { number /= 1000; place++; }
  return number.toFixed(1) + " " + units[place];
}
export const value = number => number === 0 ? "0" : number < 10 ? String(Number(number.toPrecision(2))) : count(Math.round(number));
export const size = image => image.width ? image.width + " × " + image.height : "";
export const date = text => text ? text.slice(0, 16).replace("T", " ") : "no date";
// How an image lies against the first one; `turn` leads back to that, and a mirrored turn is its own way back.
export const turned = image => [...(image.mirror ? ["mirrored"] : []),
  ...(image.turn ? ["turned " + (image.turn === 180 ? "180°" : (image.turn === 90) === Boolean(image.mirror) ? "90° left" : "90° right")] : [])];

export function against(image, measure) {
  if (image.apart) return "not a duplicate";
  if (image.value === null || image.value === undefined) return kind(image.verdict || "")[0].toLowerCase();
  return (measure === "MSE" ? "difference " : measure + " ") + value(image.value);
}

// The middle of a long name goes first, but never the part by which it differs from the other names of its group.
export function shortened(name, most, from, until) {
  if (name.length <= most) return [[name, from, until]];
  const letters = [...name];
  if (letters.length <= most) return [[name, from, until]];
  const ending = Math.min(10, Math.floor(most / 3)), start = most - ending - 1;
  if (until <= start || from >= name.length - ending) {
    return [[name.slice(0, start), from, until], ["…", 0, 0], [name.slice(-ending), from - name.length + ending, until - name.length + ending]];
  }
  // the differing part lies in what would be cut: it stands in the middle
  const inner = Math.min(until - from, most - 8), side = Math.max(2, Math.floor((most - inner - 2) / 2));
  const begin = Math.max(side, from), end = Math.min(name.length - side, begin + inner);
  return [[name.slice(0, side), from, until], ...(begin > side ? [["…", 0, 0]] : []), [name.slice(begin, end), from - begin, until - begin],
    ...(end < name.length - side ? [["…", 0, 0]] : []), [name.slice(name.length - side), from - name.length + side, until - name.length + side]];
}
// Where a name differs from others: its place after the common beginning, and before the common end.
export function differing(names) {
  let start = 0, end = 0;
  const [first, ...others] = names, least = Math.min(...names.map(name => name.length));
  while (start < least && others.every(name => name[start] === first[start])) start++;
  while (end < least - start && others.every(name => name[name.length - 1 - end] === first[first.length - 1 - end])) end++;
  const dot = first.lastIndexOf(".");
  if (dot > 0 && end < first.length - dot) end = 0;  // no part of an ending
  return names.map(name => others.length && others.some(other => other !== first) ? [start, name.length - end] : [0, 0]);
}
