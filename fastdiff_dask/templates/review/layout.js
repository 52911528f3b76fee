// Places of groups in rows, computed from the numbers of their images alone, so that 100,000 need no measurement.

// Browsers do not show elements that are higher than some 17 million pixels (Firefox).
const HIGHEST = 16_000_000;
export const SHOWN = 60;  // images of a group that are listed
export const SIZES = { heading: 40, head: 22, name: 34, facts: 60, edges: 9, gap: 8 };
const FEW_FACTS = { "same file": 32 };  // date and folder alone may differ

export function layout(counts, runs, width, { cell, picture }) {
  const across = Math.max(2, 2 * Math.floor((width + SIZES.gap) / (2 * cell)));
  const rows = { top: [], height: [], first: [], after: [], heading: [], facts: [] };
  const add = (height, first, after, heading) => {
    rows.top.push(top); rows.height.push(height); rows.first.push(first); rows.after.push(after); rows.heading.push(heading); rows.facts.push(facts);
    top += height;
  };
  let top = 0, group = 0, run = 0, end = 0, facts = SIZES.facts;
  while (group < counts.length && top < HIGHEST) {
    while (group >= end && run < runs.length) {
      end += runs[run][1]; facts = FEW_FACTS[runs[run][0]] || SIZES.facts;
      if (end > group) add(SIZES.heading, group, group, run);
      run++;
    }
    if (group >= end) end = counts.length;
    const first = group;
    let cells = 0, lines = 1;
    do {
      const more = Math.min(counts[group], SHOWN);
      if (cells && cells + more > across) break;
      cells += more; lines = Math.ceil(Math.min(cells, SHOWN) / across); group++;
    } while (group < end && cells < across);
    add(SIZES.head + lines * (picture + SIZES.name + facts) + SIZES.edges + SIZES.gap, first, group, -1);
  }
  return { ...rows, total: top, across, cellWidth: width / across, left: counts.length - group };
}

// The last row that begins at or above a place.
export function rowAt(plan, y) {
  let low = 0, high = plan.top.length - 1;
  while (low < high) { const middle = (low + high + 1) >> 1; if (plan.top[middle] <= y) low = middle; else high = middle - 1; }
  return low;
}
export function rowOf(plan, group) {
  let low = 0, high = plan.top.length - 1;
  while (low < high) { const middle = (low + high + 1) >> 1; if (plan.first[middle] <= group) low = middle; else high = middle - 1; }
  return low;  // of a heading and its first row, the row
}
