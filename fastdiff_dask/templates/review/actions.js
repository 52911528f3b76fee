// Everything that changes many marks, and files: each says first what it would do.
import { ask, button, element, say } from "./dom.js";
import { bytes, count, counted, date } from "./words.js";

const RULES = [["most-pixels", "most pixels"], ["largest", "largest file"], ["oldest", "oldest file"], ["newest", "newest file"], ["shortest-path", "shortest path"]];

const amount = found => counted(found.images, "image") + ", " + bytes(found.bytes);
const skipped = found => (found.skipped || []).length ? element("ul", { class: "lines" }, found.skipped.map(([why, number]) => element("li", {}, count(number) + " stay: " + why))) : null;
async function anew(model) { model.forget(); await model.load(); if (model.filter.marked) await model.list(); }

// The plain copies, by the rules of the command line, in all that is shown.
export async function suggestCopies(model) {
  if (!await model.sent()) return;
  const found = await model.tried(() => model.source.suggest({ rules: [], prefer: [], protect: [], include: [], filter: model.filter, preview: false }));
  if (!found) return;
  await anew(model);
  const some = Object.keys(model.filter).length ? ", of the groups that the filters show" : "";
  say(found.images ? "Marked to be removed: " + amount(found) + some + "." : "There is no plain copy here that is not marked.");
}

export async function markByRules(model) {
  const { folders } = model.state;
  const chosen = { rules: [], prefer: [], protect: [], include: [] }, line = element("p", { class: "preview", role: "status" }, "…"), more = element("div");
  const folder = (name, text) => {
    const list = element("p", { class: "chips" }), select = element("select", { id: "rule-" + name, onchange: () => { if (select.value && !chosen[name].includes(select.value)) chosen[name].push(select.value); select.value = ""; draw(); } },
      element("option", { value: "" }, "add a folder …"), folders.filter(([one]) => one).map(([one]) => element("option", { value: one }, one)));
    const draw = () => { list.replaceChildren(...chosen[name].map(one => button(one + " ✕", { "aria-label": "Leave out " + one }, () => { chosen[name].splice(chosen[name].indexOf(one), 1); draw(); }))); preview(); };
    return element("div", { class: "field" }, element("label", { for: "rule-" + name }, text), select, list);
  };
  const order = element("p", { class: "chips" });
  const drawRules = () => { order.replaceChildren(...RULES.map(([name, text]) => { const place = chosen.rules.indexOf(name);
    return button((place < 0 ? "" : place + 1 + ". ") + text, { "aria-pressed": String(place >= 0), "data-rule": name }, () => { if (place < 0) chosen.rules.push(name); else chosen.rules.splice(place, 1); const on = document.activeElement.dataset.rule; drawRules(); preview(); const again = on && order.querySelector('[data-rule="' + on + '"]'); if (again) again.focus(); }); })); };
  let timer = 0, number = 0, box = null, found = null;
  const content = () => ({ ...chosen, filter: model.filter });
  const preview = () => { clearTimeout(timer); timer = setTimeout(async () => {
    const mine = ++number;
    line.textContent = "…";
    const answer = await model.tried(() => model.source.suggest({ ...content(), preview: true }));
    if (mine !== number) return;
    found = answer; line.textContent = answer ? "Would mark " + amount(answer) + " to be removed, in " + counted(answer.groups, "group") + "; " + count(answer.kept) + " kept." : "";
    more.replaceChildren(answer && skipped(answer) || "");
  }, 250); };
  drawRules();
  const similar = element("input", { type: "checkbox", id: "rule-similar", onchange: () => { chosen.include = similar.checked ? ["similar"] : []; preview(); } });
  if (!await model.sent()) return;
  const filtered = Object.keys(model.filter).length > 0;
  box = ask("Mark by rules", [element("p", {}, "In each group " + (filtered ? "that the filters show " : "") + "the best image is kept. First counts:"), order,
    element("p", { class: "soft" }, "Then: has a date or camera, is not made from another one, most real pixels, least processed."),
    folder("prefer", "Keep what is in"), folder("protect", "Remove nothing from"),
    element("p", {}, element("label", { class: "check" }, similar, "Also images that are only similar, not proved to be the same picture")), line, more],
  [["Cancel", ""], ["Set the marks", "main", async () => { const done = await model.tried(() => model.source.suggest({ ...content(), preview: false })); if (!done) return; box.dialog.close(); await anew(model); say("Marked to be removed: " + amount(done) + "."); }]]);
  preview();
}

// In all groups that have an image of a folder, that one is kept.
export async function keepFolder(model, given) {
  if (!await model.sent()) return;
  const line = element("p", { class: "preview", role: "status" }, "…"), list = model.state.folders.map(([one]) => one);
  if (given !== undefined && !list.includes(given)) list.unshift(given);
  const select = element("select", { id: "folder-to-keep", onchange: () => preview() }, list.map(one => element("option", { value: one }, one || "(the common folder itself)")));
  if (given !== undefined) select.value = given;
  let box = null, number = 0;
  const preview = async () => {
    const mine = ++number, found = await model.tried(() => model.source.prefer(select.value, true));
    if (mine === number) line.textContent = found ? "In " + counted(found.groups, "group") + " the image of this folder is kept, and " + amount(found) + " would be marked to be removed." : "";
  };
  box = ask("Keep this folder’s images in all groups", [element("p", {}, element("label", { for: "folder-to-keep" }, "Folder "), select), line],
    [["Cancel", ""], ["Set the marks", "main", async () => { const done = await model.tried(() => model.source.prefer(select.value, false)); if (!done) return; box.dialog.close(); await anew(model); say("The images of " + (select.value || "the common folder") + " are marked to be kept."); }]]);
  preview();
}

export async function clearMarks(model) {
  const { keep, remove } = model.state.marks, all = keep + remove;
  if (!all) { say("Nothing is marked."); return; }
  const box = ask("Clear all marks", element("p", {}, counted(all, "mark") + " would be lost; pairs that are not duplicates stay so."),
    [["Cancel", ""], ["Clear " + counted(all, "mark"), "main", async () => { box.dialog.close(); if (!await model.sent()) return; if (await model.tried(() => model.source.clear())) await anew(model); }]]);
}

const lines = (title, list, all, open = all < 6) => list.length ? element("details", { open }, element("summary", {}, title), element("ul", { class: "lines" },
  list.slice(0, 200).map(one => element("li", {}, element("b", {}, one.path), " ", one.reason || one.to || "")), all > 200 ? element("li", {}, "… and " + count(all - 200) + " more") : null)) : null;

// What the marks would do, once with all numbers; then it is done, with its progress and what stayed.
export async function applyMarks(model, action, folder = "") {
  if (!await model.sent()) return;
  const plan = await model.tried(() => model.source.plan());
  if (!plan) return;
  const stay = lines(counted(plan.staying, "marked image") + (plan.staying === 1 ? " stays" : " stay"), plan.stay, plan.staying);
  if (!plan.files) { ask("Nothing to move", [element("p", {}, "No image is marked that could be removed."), stay || ""], [["Close", "main"]]); return; }
  const place = element("input", { id: "target", type: "text", placeholder: "/home/…/removed", autocomplete: "off", spellcheck: false, value: folder }), move = action === "move";
  const box = ask(move ? "Move to a folder" : "Move to the trash", [
    element("p", {}, element("strong", {}, counted(plan.files, "image") + ", " + bytes(plan.bytes)), move ? ", are moved." : ", are moved to the trash.", " For each a copy is kept; both are read and compared once more right before. Undo brings them back."),
    move ? element("p", { class: "field" }, element("label", { for: "target" }, "Folder on the machine where the images are"), place) : null,
    Object.keys(model.filter).length ? element("p", {}, "All marks count, also of groups that the filters hide.") : null,
    plan.limits.length ? element("ul", { class: "warn" }, plan.limits.map(text => element("li", {}, text))) : null, stay].filter(Boolean),
  [["Cancel", ""], ["Move " + counted(plan.files, "image"), "main danger", async () => {
    if (move && !place.value.trim()) { place.focus(); say("Name the folder first.", { wrong: true }); return; }
    box.buttons([]);
    const began = await model.tried(() => model.source.apply({ action, files: plan.files, plan: plan.plan, ...(move ? { folder: place.value.trim() } : {}) }));
    if (!began) {
      box.dialog.close(); await anew(model);
      if (move) applyMarks(model, action, place.value);  // the folder can be mended
      return;
    }
    await progress(model, box, move ? "to the folder" : "to the trash");
  }]]);
  if (move) place.focus();
}

async function progress(model, box, where) {
  const bar = element("progress", { max: 1, value: 0, "aria-label": "Progress" }), text = element("p", { role: "status" }, "…");
  box.dialog.querySelector(".content").replaceChildren(bar, text);
  let job = null;
  for (;;) {
    if (await model.load()) job = model.state.job;
    if (job) { bar.max = job.of || 1; bar.value = job.done; text.textContent = count(job.done) + " of " + count(job.of); }
    if (!job || !job.running) break;
    await new Promise(done => setTimeout(done, 400));
  }
  model.forget(); await model.load();
  const stayed = job ? job.done - job.went : 0, undone = job && job.kind === "undo";
  box.dialog.querySelector(".content").replaceChildren(element("p", {}, element("strong", {}, counted(job ? job.went : 0, "image") + (undone ? " brought back" : " moved " + where)), "."),
    lines(counted(stayed, "image") + " stayed", job ? job.lines : [], stayed, stayed < 6 || !job.went) || "", job && job.error ? element("p", { class: "warn" }, job.error) : "");
  const journal = job && job.journal;
  box.buttons([...(undone || !journal ? [] : [["Undo", "", () => back(model, box, journal)]]), ["Close", "main"]]);
  const last = box.dialog.querySelector(".buttons .main");
  if (last) last.focus();
}
async function back(model, box, journal) {
  box.buttons([]);
  if (await model.tried(() => model.source.undo(journal))) await progress(model, box, "back"); else box.dialog.close();
}

export function undoMoves(model) {
  const list = model.state.journals;
  const box = ask("Undo", list.length ? element("ul", { class: "journals" }, list.map(one => element("li", {}, element("div", {}, element("b", {}, one.text), element("span", { class: "soft" },
    [date(one.date), one.files === undefined ? "" : counted(one.files, "image"), one.bytes ? bytes(one.bytes) : ""].filter(Boolean).join(" · "))), button("Bring back", { class: "back" }, () => back(model, box, one.id)))))
    : element("p", {}, "Nothing was moved from here yet."), [["Close", "main"]]);
}
