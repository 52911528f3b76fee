// A group: its images side by side, the one to keep first; only what differs is said of each.
import { element, button, icon } from "./dom.js";
import { against, bytes, count, date, DIFFERENCE, differing, kind, shortened, size, turned } from "./words.js";
import { SHOWN } from "./layout.js";

export function emptyCard(id, number) {
  const cells = Array.from({ length: Math.min(number, SHOWN) }, (_, place) => element("div", { class: "image", "data-place": String(place) },
    element("div", { class: "picture" }, element("button", { type: "button", class: "view", tabIndex: -1, "aria-label": "Image " + (place + 1) }))));
  const card = element("section", { class: "card", "aria-label": "Group" }, element("div", { class: "head" }), element("div", { class: "images" }, cells));
  card.dataset.id = id;
  return card;
}

// What all images of a group have in common is said once, in its head; the rest with each image.
function facts(group) {
  const all = { side: image => image.side ? "side " + image.side : "", size, bytes: image => bytes(image.size), date: image => date(image.date), format: image => image.format, folder: image => image.folder || "top folder" };
  const different = Object.keys(all).filter(name => group.images.some(image => all[name](image) !== all[name](group.images[0])));
  return { all, different, common: ["size", "bytes", "date"].filter(name => !different.includes(name)).map(name => all[name](group.images[0])) };
}

export function fillCard(card, group, model, act) {
  const numbers = group.images.map(image => image.n + " " + image.v).join();
  if (card.dataset.numbers !== numbers) { build(card, group, model, act); card.dataset.numbers = numbers; }
  paintCard(card, group);
}

function build(card, group, model, act) {
  const { all, different, common } = facts(group), names = group.images.map(image => image.name), parts = differing(names);
  const total = group.images.length + (group.more || 0);
  card.group = group;
  card.setAttribute("aria-label", "Group of " + count(total) + ", " + kind(group.verdict)[0].toLowerCase() + ": " + names[0]);
  const folder = different.includes("folder") ? "" : group.images[0].folder || "";
  card.querySelector(".head").replaceChildren(element("span", { class: "folder", title: folder }, element("bdi", {}, folder)), element("span", { class: "same", title: common.length ? "The same of all" : "" },
    [...(group.more ? [count(total) + " images, " + count(group.more) + " not listed"] : total > 2 ? [count(total) + " images"] : []), ...common].join(" · ")));
  const cells = card.querySelectorAll(".image"), most = Math.max(18, Math.floor(1.5 * (card.cellWidth - 16) / 7.2));
  group.images.forEach((image, place) => {
    const cell = cells[place], full = [image.folder, image.name].filter(Boolean).join("/");
    if (!cell) return;
    const told = [...(place ? turned(image) : []), ...different.map(name => all[name](image))];
    // a verdict that the heading does not say already; the same file or pixels need no number
    const surer = image.verdict !== group.verdict ? kind(image.verdict || "")[0].toLowerCase() : "", plain = surer && (image.value === null || image.value === 0);
    const versus = !place ? "" : image.apart || !surer ? against(image, model.state.measure) : plain ? surer : surer + ", " + against(image, model.state.measure);
    const view = cell.querySelector(".view");
    view.setAttribute("aria-label", (place ? "Compare " : "Best image: ") + full); view.dataset.name = image.name;
    const picture = element("img", { alt: "", decoding: "async", draggable: "false", onerror: () => { view.classList.add("none"); picture.remove(); } });
    Promise.resolve(model.source.thumb(image)).then(address => { picture.src = address; });
    view.replaceChildren(picture); view.classList.remove("none");
    for (const old of cell.querySelectorAll(".marks, .tag, .name, .facts")) old.remove();
    view.after(element("span", { class: "tag" }), element("span", { class: "marks" },
      mark("keep", "k", "Keep (k)", place, image, act), mark("remove", "r", "Remove (r)", place, image, act), place ? mark("apart", "n", "Not a duplicate (n)", place, image, act) : null));
    cell.append(element("p", { class: "name", title: full }, shortened(image.name, most, ...parts[place]).map(([text, from, until]) => marked(text, from, until))),
      element("p", { class: "facts", title: [versus, ...told].filter(Boolean).join("\n") }, versus ? element("b", { title: DIFFERENCE }, versus) : null, told.map(one => element("span", {}, one))));
  });
}
const mark = (name, css, text, place, image, act) => element("button", { type: "button", class: css, title: text, tabIndex: -1, "aria-pressed": "false",
  "aria-label": text.replace(/ \(.\)/, "") + ": " + image.name, onclick: event => act(name, event.currentTarget) }, icon(name));

// Lines end after what parts a name, rather than anywhere. A line and a half fits into two lines so, wherever they end.
const breaking = text => text.split(/(?<=[_.-])/).flatMap((part, place) => place ? [element("wbr"), part] : [part]);

// A name with the part by which it differs from the others of its group.
function marked(text, from, until) {
  const start = Math.max(0, Math.min(from, text.length)), end = Math.max(start, Math.min(until, text.length));
  return start === end ? element("bdi", {}, breaking(text)) : element("bdi", {}, breaking(text.slice(0, start)), element("em", {}, breaking(text.slice(start, end))), breaking(text.slice(end)));
}

export function paintCard(card, group) {
  card.group = group;
  const none = group.images.every(image => image.gone || image.mark === "remove" && !image.apart);
  card.querySelectorAll(".image").forEach((cell, place) => {
    const image = group.images[place];
    if (!image) return;
    const state = image.gone ? "gone" : image.apart && place ? "apart" : image.mark || "";
    cell.dataset.mark = state;
    const tag = cell.querySelector(".tag"), text = { gone: "removed", apart: "not a duplicate", keep: "keep", remove: none ? "stays, as none is kept" : "remove" }[state] || (place ? "" : "best");
    if (tag) { tag.textContent = text; tag.title = state || place ? "" : "The image that the rules would keep"; }
    for (const [css, name] of [["k", "keep"], ["r", "remove"], ["n", "apart"]]) {
      const made = cell.querySelector("." + css);
      if (made) { made.setAttribute("aria-pressed", String(state === name)); made.disabled = state === "gone"; }
    }
  });
}
