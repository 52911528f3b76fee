// The page's frame: its head, filters, the place of the list, and the bar of what is marked.
import { byId, button, element, icon } from "./dom.js";
import { DIFFERENCE, kind } from "./words.js";

const FOLDERS = 1000;  // named in the choice of a folder; the search finds the others

const field = (text, input) => element("label", {}, element("span", {}, text), input);

export function shell(act, can) {
  const select = (name, ...options) => element("select", { id: name }, options.map(([given, text]) => element("option", { value: given }, text)));
  const head = element("header", { class: "top" },
    element("div", { class: "title" }, element("h1", {}, can.apply ? "Review" : "Report"), element("p", { id: "where" })),
    element("p", { id: "found", class: "soft" }),
    button("what is a difference?", { class: "hint", title: DIFFERENCE }, () => act("difference")),
    element("div", { class: "acts" },
      button([icon("filter"), "Filters"], { id: "more", "aria-expanded": "false", "aria-controls": "filters" }, () => act("filters")),
      can.apply ? [button("Mark all plain copies", { id: "suggest", class: "main", title: "In each group, keep the best and remove the images that are the same picture" }, () => act("suggest")),
        button("Rules …", { id: "rules" }, () => act("rules")), button("Folder …", { id: "prefer", title: "Keep the images of one folder in all groups" }, () => act("folder")),
        button("Undo …", { id: "undo", title: "Bring back what was moved" }, () => act("undo"))]
        : [button("Mark as suggested", { id: "suggest", class: "main" }, () => act("suggest"))],
      select("scale", ["small", "Small"], ["medium", "Medium"], ["large", "Large"]),
      button("?", { id: "help", "aria-label": "Keys", title: "Keys (?)" }, () => act("keys"))));
  const filters = element("form", { id: "filters", onsubmit: event => event.preventDefault(), "aria-label": "Filters" },
    element("input", { id: "text", type: "search", placeholder: "Search names", "aria-label": "Search names and folders" }),
    field("Verdict", select("verdict", ["", "all"])), field("Marks", select("marked", ["", "all"], ["none", "without marks"], ["any", "with marks"], ["remove", "to be removed"])),
    field("Folder", select("folder", ["", "all"])), field("Format", select("format", ["", "all"])),
    field("Larger than", element("span", { class: "unit" }, element("input", { id: "min_size", type: "number", min: "0", step: "any" }), "MB")),
    field("From", element("input", { id: "after", type: "date" })), field("To", element("input", { id: "until", type: "date" })),
    button("Clear", { id: "unfilter", hidden: true, "aria-label": "Clear filters" }, () => act("reset")));
  byId("app").append(head, filters, element("div", { id: "find", hidden: true }, element("progress", { max: "1", value: "0", "aria-label": "Progress of find" }), element("span")),
    element("main", { id: "scroller" }, element("div", { id: "first" }), element("div", { id: "list", "aria-label": "Groups", role: "region" }), element("div", { id: "end" })),
    element("div", { id: "gone", role: "alert" }),
    element("footer", { class: "bar" }, element("p", { id: "totals" }), element("div", { class: "acts" }, button("Clear marks", { id: "clear" }, () => act("clear")),
      can.apply ? [button("Move to folder …", { id: "move" }, () => act("move")), button("Move to trash", { id: "trash", class: "main" }, () => act("trash"))]
        : button("Export decisions", { id: "export", class: "main" }, () => act("export")))),
    element("p", { id: "status", role: "status" }), element("p", { id: "alert", role: "alert" }));
  byId("scale").value = "medium"; byId("scale").setAttribute("aria-label", "Size of the pictures");
}

export function options(name, list) {
  const select = byId(name), before = select.value, texts = list.slice(0, FOLDERS).map(([given, text]) => [given, text]);
  const now = JSON.stringify(texts);
  if (select.dataset.list === now || select === document.activeElement && select.options.length > 1) return;
  select.dataset.list = now;
  select.replaceChildren(element("option", { value: "" }, "all"), ...texts.map(([given, text]) => element("option", { value: given }, text)));
  select.value = before;
  if (select.selectedIndex < 0) select.append(element("option", { value: before, selected: true }, before));
}

export const verdictName = verdict => kind(verdict)[0].toLowerCase();
