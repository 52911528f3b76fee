// The data of a report: they lie in the page, marks in the browser's own store, and decisions become a file.
import { byId, element, say } from "./dom.js";

export function fileSource() {
  const data = JSON.parse(byId("data").textContent), { groups } = data, marks = new Map(), apart = new Set(), waiting = [];
  const key = "fastdiff_dask " + data.store, of = new Map();
  let revision = 1;
  // marks are of contents: another collection may have come to the same places
  const identity = image => image.n + " " + image.v;
  groups.forEach((group, id) => { group.id = id; group.images.forEach((image, place) => of.set(image.n, [group, place])); });

  function restore() {
    marks.clear(); apart.clear();
    try {
      const [stored, separate] = JSON.parse(localStorage.getItem(key) || "[[],[]]"), known = new Map([...of].map(([n, [group, place]]) => [identity(group.images[place]), n]));
      for (const [name, mark] of stored) if (known.has(name)) marks.set(known.get(name), mark);
      const wanted = new Set(separate.map(([x, y]) => x + "/" + y));
      for (const group of groups) for (const image of group.images.slice(1)) {
        const [one, two] = [identity(group.images[0]), identity(image)];
        if (wanted.has(one + "/" + two) || wanted.has(two + "/" + one)) apart.add(image.n);
      }
    } catch (error) { /* not allowed here, or not ours */ }
  }
  const first = n => of.get(n)[0].images[0], itself = n => of.get(n)[0].images[of.get(n)[1]];
  function save() {
    try {
      localStorage.setItem(key, JSON.stringify([[...marks].map(([n, mark]) => [identity(itself(n)), mark]), [...apart].map(n => [identity(first(n)), identity(itself(n))])]));
    } catch (error) { /* not allowed here */ }
    return { revision, marks: totals() };
  }
  function totals() {
    const found = { keep: 0, remove: 0, bytes: 0 };
    for (const [n, mark] of marks) { found[mark]++; if (mark === "remove") found.bytes += itself(n).size; }
    return found;
  }
  // another page of the same report
  addEventListener("storage", event => { if (event.key === key) { restore(); revision++; waiting.splice(0).forEach(done => done({ revision })); } });
  restore();

  const set = (n, mark) => { if (mark) marks.set(n, mark); else marks.delete(n); };
  const passes = filter => {
    const text = (filter.text || "").toLowerCase(), least = Number(filter.min_size || 0), below = (filter.folder || "") + "/";
    const image = one => (!text || (one.folder + "/" + one.name).toLowerCase().includes(text)) && one.size >= least && (!filter.folder || (one.folder + "/").startsWith(below)) &&
      (!filter.format || one.name.toLowerCase().endsWith(filter.format)) && (!filter.after || (one.date || "") >= filter.after) && (!filter.before || (one.date || "~").slice(0, 10) <= filter.before);
    const state = group => { const of = group.images.map(one => marks.get(one.n) || (apart.has(one.n) ? "apart" : "")); return { none: of.every(one => !one), any: of.some(Boolean), remove: of.includes("remove") }[filter.marked]; };
    return group => (!filter.verdict || group.verdict === filter.verdict) && group.images.some(image) && (!filter.marked || state(group));
  };
  const chosen = filter => groups.filter(passes(filter));
  const counted = list => { const found = new Map(); for (const one of list) found.set(one, (found.get(one) || 0) + 1); return [...found]; };
  const images = groups.flatMap(group => group.images);
  const fixed = {
    result: 1, store: data.store, common: data.common, sides: data.sides, finding: null, measure: data.measure, question: data.question, groups: groups.length,
    images: images.length + groups.reduce((sum, group) => sum + group.more, 0), verdicts: counted(groups.map(group => group.verdict)), job: null, journals: [],
    formats: counted(images.map(image => (image.name.match(/\.[^.]+$/) || [""])[0].toLowerCase())).filter(([name]) => name).sort((a, b) => b[1] - a[1]),
    folders: counted(images.map(image => image.folder)).sort((a, b) => a[0] < b[0] ? -1 : 1),
  };

  return {
    can: { apply: false },
    state: async () => ({ ...fixed, revision, marks: totals(), apart: apart.size }),
    groups: async filter => { const list = chosen(filter); return { revision, ids: list.map(group => group.id), counts: list.map(group => group.images.length), verdicts: counted(list.map(group => group.verdict)) }; },
    details: async ids => ids.map(id => ({ ...groups[id], images: groups[id].images.map(image => ({ ...image, mark: marks.get(image.n) || null, apart: apart.has(image.n) })) })),
    // a line each, or the number of the line with the same picture
    thumb(image) {
      const [group, place] = of.get(image.n), lines = byId("sheet-" + group.id).textContent.split("\n"), line = lines[place];
      return "data:image/webp;base64," + (/^\d{1,2}$/.test(line) ? lines[Number(line)] : line);
    },
    picture(image) { return location.protocol === "file:" && image.u ? image.u : this.thumb(image); },
    mark: async changes => { for (const [n, mark] of Object.entries(changes)) set(Number(n), mark); return save(); },
    apart: async (pairs, on) => { for (const [n] of pairs) { if (on) apart.add(n); else apart.delete(n); } return save(); },
    clear: async () => { marks.clear(); return save(); },
    // what is marked already, or is no duplicate, stays as it is
    suggest: async ({ filter }) => {
      let many = 0, bytes = 0;
      for (const group of chosen(filter)) for (const image of group.images) if (image.suggest && !marks.has(image.n) && !apart.has(image.n)) { set(image.n, image.suggest); if (image.suggest === "remove") { many++; bytes += image.size; } }
      save();
      return { images: many, bytes };
    },
    events: () => new Promise(done => waiting.push(done)),
    export() {
      const decisions = { format: data.format, store: data.store, threshold: data.threshold, marks: [...marks].map(([image, mark]) => ({ image, path: itself(image).p, mark })),
        not_duplicates: [...apart].map(n => ({ images: [first(n).n, n], paths: [first(n).p, itself(n).p] })) };
      // names that are not UTF-8 have lone surrogates, which only escapes can carry
      const content = JSON.stringify(decisions, null, 1).replace(/[\u007f-\uffff]/g, letter => "\\u" + letter.charCodeAt(0).toString(16).padStart(4, "0"));
      element("a", { href: "data:application/json;charset=utf-8," + encodeURIComponent(content), download: "decisions.json" }).click();
      say("The marks are in decisions.json now, in the folder of downloads. There, this does what they say: fastdiff-dask apply " + data.quoted + " --decisions decisions.json --trash --yes", { stay: true });
    },
  };
}
