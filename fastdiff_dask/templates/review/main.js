// The page: it is told where its data come from, and puts the parts together.
import { byId, element, say } from "./dom.js";
import { bytes, count, counted, DIFFERENCE } from "./words.js";
import { Model } from "./model.js";
import { Grid } from "./grid.js";
import { Large } from "./large.js";
import { shell, options, verdictName } from "./shell.js";
import { showKeys } from "./keys.js";
import { applyMarks, clearMarks, keepFolder, markByRules, suggestCopies, undoMoves } from "./actions.js";

const FILTERS = ["text", "verdict", "marked", "folder", "format", "min_size", "after", "before"];

export function start(source) {
  const model = new Model(source);
  shell(perform, source.can);
  const grid = new Grid(model, byId("scroller"), byId("list"), (name, from) => { grid.follow(from); perform(name); });
  const large = new Large(model, grid, perform);

  // What buttons and keys do; `what` is an image of the large view, else that of the cursor.
  function perform(name, what) {
    const on = what || grid.current();
    const all = { suggest: () => suggestCopies(model), rules: () => markByRules(model), folder: () => keepFolder(model, what || on && grid.focused() ? on.group.images[on.place].folder : undefined),
      clear: () => clearMarks(model), trash: () => applyMarks(model, "trash"), move: () => applyMarks(model, "move"), undo: () => undoMoves(model),
      keys: () => showKeys(), difference: () => say("Compared: " + model.state.question + ". " + DIFFERENCE, { stay: true }), reset: () => { byId("filters").reset(); filter(); }, export: () => source.export(),
      filters: () => { const open = document.body.classList.toggle("filtering"); byId("more").setAttribute("aria-expanded", String(open)); grid.later(); } };
    if (all[name]) { all[name](); return; }
    if (!on) return;
    const { group, place } = on, image = group.images[place];
    if (name === "keep" || name === "remove") {
      if (image.apart && place) model.apart(group, image, false);
      model.mark(group, [[image, image.mark === name && !image.apart ? null : name]]);
    }
    if (name === "apart") { if (place) model.apart(group, image, !image.apart); else say("The first image is the one that others are duplicates of; choose another one."); }
    if (name === "accept") model.mark(group, group.images.filter(one => !one.gone && !one.apart && one.suggest).map(one => [one, one.suggest]));
    if (name === "unmark") model.mark(group, group.images.map(one => [one, null]));
  }

  function filter() {
    const chosen = {};
    for (const name of FILTERS) {
      const given = byId(name === "before" ? "until" : name).value.trim();
      if (given) chosen[name] = name === "min_size" ? String(Math.round(Number(given) * 1e6)) : given;
    }
    model.filter = chosen; grid.fresh = true; grid.cursor = { group: 0, place: 0 }; byId("scroller").scrollTop = 0;
    const some = Object.keys(chosen).length > 0;
    byId("more").classList.toggle("some", some); byId("unfilter").hidden = !some;
    model.list();
  }
  byId("scale").addEventListener("input", () => { grid.scale = byId("scale").value; grid.relay(); });
  let typing = 0;
  byId("filters").addEventListener("input", event => {
    clearTimeout(typing); typing = setTimeout(filter, event.target.matches("select") ? 0 : 250);
  });

  model.addEventListener("state", () => {
    const { state } = model, { marks, finding, job } = state;
    byId("where").replaceChildren("in ", element("bdi", { title: state.common }, state.common || "several places"));
    document.title = counted(state.groups, "group") + " · fastdiff-dask " + (source.can.apply ? "review" : "report");
    options("verdict", state.verdicts.map(([name, number]) => [name, verdictName(name) + " (" + count(number) + ")"]));
    options("folder", state.folders.filter(([name]) => name).map(([name, number]) => [name, name + " (" + count(number) + ")"]));
    options("format", state.formats.map(([name, number]) => [name, name + " (" + count(number) + ")"]));
    byId("find").hidden = !finding && !state.problem; byId("find").firstChild.hidden = !finding;
    if (finding) byId("find").firstChild.value = finding.done;
    byId("find").lastChild.textContent = finding ? "find is running: " + (finding.text || finding.stage) + ". New groups appear here." : state.problem || "";
    const running = job && job.running, busy = running ? (job.kind === "undo" ? "Bringing back" : "Moving") + " … " + count(job.done) + " of " + count(job.of) : "";
    byId("totals").replaceChildren(busy || element("strong", {}, counted(marks.remove, "image") + " to be removed, " + bytes(marks.bytes)),
      busy ? "" : element("span", { class: "soft" }, " · " + count(marks.keep) + " to keep" + (state.apart ? " · " + counted(state.apart, "pair") + (state.apart === 1 ? " is not a duplicate" : " are not duplicates") : "")));
    const wait = finding ? "When find has ended" : state.finished === false ? "The comparison is not finished; run find again" : "";
    for (const name of ["trash", "move"]) if (byId(name)) byId(name).disabled = !marks.remove || Boolean(running) || Boolean(wait);
    for (const name of ["trash", "move"]) if (byId(name)) byId(name).title = wait;
    byId("clear").disabled = !marks.remove && !marks.keep;
    if (byId("undo")) byId("undo").disabled = Boolean(running) || !(state.journals || []).length;
  });
  byId("list").addEventListener("laid", () => {
    const { state, ids } = model, filtered = Object.keys(model.filter).length > 0, left = grid.plan.left;
    byId("found").replaceChildren((filtered ? count(ids.length) + " of " : "") + counted(state.groups, "group") + ", " + counted(state.images, "image"));
    byId("found").title = state.question;
    byId("end").replaceChildren(!ids.length ? element("p", { class: "empty" }, filtered ? "No group passes the filters." : state.finding ? "Nothing was found yet." : "No similar images were found.")
      : left ? element("p", { class: "empty" }, "… and " + counted(left, "group") + " more, which filters show") : "");
  });
  model.addEventListener("lost", () => {
    const waiting = model.waiting.size + model.sending.size;
    byId("gone").textContent = model.lost ? "The server does not answer. What is shown stays; the page tries again" + (waiting ? ", and sends " + counted(waiting, "mark") + " then." : ".") : "";
  });
  model.addEventListener("marked", () => { if (model.lost) model.tell("lost"); });
  window.addEventListener("beforeunload", event => { if (model.waiting.size || model.sending.size) event.preventDefault(); });

  byId("list").addEventListener("click", event => {
    const view = event.target.closest(".view");
    if (!view) return;
    grid.follow(view);
    const on = grid.current();
    if (on && on.group.images.length > 1) large.start(on.group, on.place);
  });
  document.addEventListener("keydown", event => {
    if (event.ctrlKey || event.metaKey || event.defaultPrevented) return;
    if (document.querySelector("dialog.ask[open]")) return;
    if (event.target.matches("input:not([type=range]), select, textarea")) { if (event.key === "Escape") event.target.blur(); return; }
    if (event.key === "?") { event.preventDefault(); showKeys(); return; }
    if (large.open) { if (large.key(event)) event.preventDefault(); return; }
    if (event.altKey) return;
    const keys = { k: "keep", r: "remove", x: "remove", n: "apart", a: "accept", u: "unmark", f: "folder" };
    if (event.key.startsWith("Arrow") || event.key === "Home" || event.key === "End") { grid.move(event.key); event.preventDefault(); } else if (event.key === "Enter" && event.target === document.body) {
      const on = grid.current();  // nothing has the focus yet
      if (on && on.group.images.length > 1) { large.start(on.group, on.place); event.preventDefault(); }
    } else if (event.key === "/") {
      if (getComputedStyle(byId("filters")).display === "none") perform("filters");
      byId("text").focus(); event.preventDefault();
    } else if (keys[event.key.toLowerCase()]) { perform(keys[event.key.toLowerCase()]); event.preventDefault(); }
  });

  model.load().then(() => { model.follow(); });
  return { model, grid, large };
}
