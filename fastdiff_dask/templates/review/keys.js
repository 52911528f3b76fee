// The list of keys.
import { ask, element } from "./dom.js";
import { DIFFERENCE } from "./words.js";

const GRID = [["← → ↑ ↓", "go to another image"], ["Home End", "first and last group"], ["k", "keep"], ["r or x", "remove"], ["n", "not a duplicate of the first image"],
  ["a", "mark the group: keep the best, remove its copies"], ["u", "clear the marks of the group"], ["f", "keep the images of this folder in all groups"], ["Enter", "large view"], ["/", "search"], ["?", "this list"]];
const LARGE = [["← →", "another image at the right, with Shift at the left"], ["↑ ↓", "previous, next group"], ["c", "change sides"], ["s", "side by side"], ["w", "slider, moved by [ and ]"],
  ["b", "blink; space changes by hand"], ["d", "difference"], ["z", "100 %"], ["+ − 0", "closer, further, whole picture"], ["Alt and arrows", "move the picture"], ["k, r, n, f", "mark the right image, with Shift the left one"], ["Escape", "back"]];

export function showKeys() {
  const list = (title, keys) => element("section", {}, element("h3", {}, title), element("dl", { class: "keys" },
    keys.map(([key, text]) => element("div", {}, element("dt", {}, element("kbd", {}, key)), element("dd", {}, text)))));
  ask("Keys", [element("div", { class: "columns" }, list("Groups", GRID), list("Large view", LARGE)),
    element("h3", {}, "Difference"), element("p", {}, DIFFERENCE)], [["Close", "main"]], { id: "keys" });
}
