// The large view: any two images of a group side by side, under a slider, blinking, or as a map of their difference.
import { button, element, icon, say } from "./dom.js";
import { across, difference, load, shape } from "./pictures.js";
import { against, bytes, date, DIFFERENCE, kind, size, turned } from "./words.js";

const MODES = [["side", "Side by side", "s"], ["slider", "Slider", "w"], ["blink", "Blink", "b"], ["difference", "Difference", "d"]];
const BLINK = 600;
const LARGEST = 16;  // times the original pixels

export class Large {
  constructor(model, grid, act) {
    Object.assign(this, { model, grid, act, mode: "side", zoom: 0, x: 0, y: 0, cut: 50, moves: 0, lost: 0, queue: Promise.resolve() });
    this.build();
    model.addEventListener("marked", () => this.marks());
    model.addEventListener("details", event => { const one = this.group && event.detail.find(group => group.id === this.group.id); if (one) { this.group = one; this.film(); this.marks(); } });
  }
  get open() { return this.dialog.open; }

  build() {
    this.modes = element("div", { class: "modes", role: "group", "aria-label": "How the two are shown" }, MODES.map(([name, text, key]) =>
      button(text, { "data-mode": name, title: text + " (" + key + ")", "aria-pressed": "false" }, () => this.show(name))));
    this.fit = button("Fit", { title: "Whole picture (0)", "aria-pressed": "true" }, () => this.scale(0));
    this.full = button("100 %", { title: "Original pixels (z)", "aria-pressed": "false" }, () => this.scale(1));
    this.strip = element("div", { class: "strip", role: "group", "aria-label": "Images of the group" });
    this.stage = element("div", { class: "stage", tabIndex: 0, role: "group", "aria-label": "The two images; drag moves, the wheel zooms" });
    this.panes = [0, 1].map(() => element("div", { class: "pane" }, element("div", { class: "frame" }, element("img", { alt: "", draggable: "false" })), element("span", { class: "which" })));
    this.map = element("div", { class: "pane map" }, element("div", { class: "frame" }, element("canvas", { role: "img", "aria-label": "Where the two differ: brighter is more" })), element("span", { class: "which" }));
    this.range = element("input", { type: "range", min: "0", max: "100", value: "50", "aria-label": "Slider: how much of the left image is shown", oninput: () => this.slide(Number(this.range.value)) });
    this.divider = element("div", { class: "divider", "aria-hidden": "true" });
    this.stage.append(...this.panes, this.map, this.divider);
    this.about = [0, 1].map(side => element("div", { class: "about" }));
    this.title = element("h2", { id: "large-title" });
    this.dialog = element("dialog", { id: "large", "aria-labelledby": "large-title" },
      element("header", {}, this.title, this.modes, element("div", { class: "modes", role: "group", "aria-label": "Zoom" }, this.fit, this.full),
        element("div", { class: "modes" }, button(icon("up"), { "aria-label": "Previous group", title: "Previous group (↑)" }, () => this.next(-1)), button(icon("down"), { "aria-label": "Next group", title: "Next group (↓)" }, () => this.next(1)),
          button("?", { "aria-label": "Keys", title: "Keys (?)" }, () => this.act("keys")), button(icon("close"), { id: "close", "aria-label": "Close", title: "Close (Escape)" }, () => this.dialog.close()))),
      this.stage, this.range, element("footer", {}, ...this.about), this.strip);
    this.dialog.addEventListener("close", () => { clearInterval(this.timer); this.group = null; this.grid.cursor = this.at; this.grid.focus(); });
    this.gestures();
    document.body.append(this.dialog);
  }

  start(group, place) {
    this.at = { ...this.grid.cursor };  // the browser gives the focus back to where it was when the dialog was opened
    this.group = group; this.a = 0; this.b = place || Math.min(1, group.images.length - 1); this.zoom = 0; this.x = this.y = 0;
    if (!this.dialog.open) this.dialog.showModal();
    this.film(); this.pair(); this.stage.focus({ preventScroll: true });
  }
  images() { return [this.group.images[this.a], this.group.images[this.b]]; }
  // `a` is drawn as the first image of the group is, and so is `b`.
  pair() {
    const images = this.images(), [one, two] = images;
    this.title.replaceChildren(kind(this.b && this.a === 0 ? two.verdict || "" : this.group.verdict)[0]);
    if (this.a === 0 && this.b && two.value !== null) {
      this.title.append(element("button", { type: "button", class: "hint", title: DIFFERENCE, onclick: () => say(DIFFERENCE, { stay: true }) }, [against({ ...two, apart: false }, this.model.state.measure), ...turned(two)].join(", ")));
    }
    this.loaded = [null, null];
    images.forEach((image, side) => {
      const picture = this.panes[side].querySelector("img"), wanted = this.pairNumber = (this.pairNumber || 0) + (side ? 0 : 1);
      picture.removeAttribute("src");
      Promise.resolve(this.model.source.thumb(image)).then(address => { if (wanted === this.pairNumber && !this.loaded[side]) picture.src = address; });
      this.panes[side].querySelector(".which").textContent = image.name;
      this.panes[side].classList.remove("none");
      this.whole(image, side, wanted, picture);
    });
    this.words(); this.marks(); this.show(this.mode);
    for (const one of this.strip.children) one.dataset.side = Number(one.dataset.place) === this.a ? "a" : Number(one.dataset.place) === this.b ? "b" : "";
    for (const one of this.strip.children) one.setAttribute("aria-current", one.dataset.side ? "true" : "false");
  }
  async whole(image, side, wanted, picture) {
    let found = null;
    try { found = await load(await this.model.source.picture(image)); } catch (error) { /* its thumbnail stays */ }
    try { if (!found) found = await load(await this.model.source.thumb(image)); } catch (error) { this.panes[side].classList.add("none"); return; }
    if (wanted !== this.pairNumber || !this.group) return;
    this.loaded[side] = found; picture.src = found.src;
    if (this.loaded[0] && this.loaded[1]) this.compare();
  }
  compare() {
    const images = this.images(), canvas = this.map.querySelector("canvas"), text = this.map.querySelector(".which");
    if (this.mode !== "difference" || !this.loaded[0] || !this.loaded[1]) return;
    let found;
    try { found = difference(canvas, this.loaded[0], images[0], this.loaded[1], images[1]); } catch (error) { this.fromThumbs(canvas, text, images); return; }
    text.textContent = found.most === 0 ? "No pixel differs" : (100 * found.share).toFixed(found.share < 0.1 ? 1 : 0) + " % of the pixels differ by more than 8 of 255 levels; at most by " + found.most;
  }
  // A page that is a file may show pictures of other files, but not read their pixels.
  async fromThumbs(canvas, text, images) {
    const [one, two] = await Promise.all(images.map(async image => load(await this.model.source.thumb(image))));
    const found = difference(canvas, one, images[0], two, images[1]);
    text.textContent = "By the thumbnails: " + (100 * found.share).toFixed(1) + " % differ by more than 8 of 255 levels";
    this.place();
  }

  film() {
    this.strip.replaceChildren(...this.group.images.map((image, place) => {
      const picture = element("img", { alt: "", draggable: "false" });
      Promise.resolve(this.model.source.thumb(image)).then(address => { picture.src = address; });
      const made = element("button", { type: "button", title: image.name + "\nShift: at the left", "aria-label": image.name, onclick: event => this.choose(event.shiftKey ? place : this.a, event.shiftKey ? this.b : place) }, picture);
      made.dataset.place = place;
      return made;
    }));
    this.strip.hidden = this.group.images.length < 3;
  }
  choose(a, b) {
    if (a === b) return;
    this.a = a; this.b = b; this.pair();
    const shown = this.strip.children[b];
    if (shown && shown.scrollIntoView) shown.scrollIntoView({ block: "nearest", inline: "nearest" });
  }
  other(step, left = false) {
    const last = this.group.images.length;
    let place = left ? this.a : this.b;
    do place = (place + step + last) % last; while (place === (left ? this.b : this.a) && last > 1);
    if (left) this.choose(place, this.b); else this.choose(this.a, place);
  }
  // What is asked for while the next group is on its way is about that group: no mark may hit the one before.
  later(action) {
    if (!this.moves) { action(); return; }
    const lost = this.lost;
    this.queue = this.queue.then(() => { if (lost === this.lost && this.dialog.open) action(); });
  }
  next(step) {
    const lost = this.lost;
    this.moves++;
    this.queue = this.queue.then(() => lost === this.lost && this.dialog.open ? this.go(step) : null).catch(error => { this.lost++; console.info(error); }).then(() => { this.moves--; });
  }
  async go(step) {
    const { model, grid } = this, place = grid.cursor.group + step;
    if (place < 0 || place >= model.ids.length - grid.plan.left) { say(step > 0 ? "This is the last group." : "This is the first group."); return; }
    const before = grid.cursor, id = model.ids[place];
    grid.cursor = { group: place, place: 0 };
    // the grid may have asked for it already
    for (let tries = 0; !model.groups.has(id) && tries < 200 && !(tries && model.lost); tries++) { await model.want([id]); if (!model.groups.has(id)) await new Promise(done => setTimeout(done, 20)); }
    const group = model.groups.get(id);
    if (!group) { this.lost++; grid.cursor = before; } else if (this.dialog.open) this.start(group, 1);
  }

  words() {
    const images = this.images(), facts = [["Pixels", size], ["Size", image => bytes(image.size)], ["Date", image => date(image.date)], ["Format", image => image.format], ["Folder", image => image.folder || "top folder"]];
    if (this.model.state.sides) facts.push(["Side", image => image.side]);
    images.forEach((image, side) => {
      const mark = (name, css, text) => button(text, { class: css, "data-name": name, "aria-pressed": "false" }, () => this.act(name, { group: this.group, place: side ? this.b : this.a }));
      this.about[side].replaceChildren(element("p", { class: "name" }, image.name),
        element("dl", {}, facts.map(([title, of]) => element("div", { class: of(images[0]) === of(images[1]) ? "" : "other" }, element("dt", {}, title), element("dd", {}, of(image))))),
        element("div", { class: "choices" }, mark("keep", "k", "Keep"), mark("remove", "r", "Remove"), (side ? this.b : this.a) ? mark("apart", "n", "Not a duplicate") : null,
          this.model.source.can.apply ? button("Keep this folder’s …", { class: "f", title: "Keep the images of this folder in all groups (f)" }, () => this.act("folder", { group: this.group, place: side ? this.b : this.a })) : null));
    });
  }
  marks() {
    if (!this.group) return;
    this.images().forEach((image, side) => {
      const state = image.gone ? "gone" : image.apart && (side ? this.b : this.a) ? "apart" : image.mark || "";
      this.about[side].dataset.mark = state;
      for (const one of this.about[side].querySelectorAll("[data-name]")) one.setAttribute("aria-pressed", String(one.dataset.name === state));
    });
    [...this.strip.children].forEach((one, place) => { one.dataset.mark = this.group.images[place].apart && place ? "apart" : this.group.images[place].mark || ""; });
  }

  show(mode) {
    this.mode = mode; this.dialog.dataset.mode = mode;
    for (const one of this.modes.children) one.setAttribute("aria-pressed", String(one.dataset.mode === mode));
    this.range.hidden = mode !== "slider";
    clearInterval(this.timer); this.dialog.classList.remove("second");
    if (mode === "blink") this.timer = setInterval(() => this.dialog.classList.toggle("second"), BLINK);
    this.slide(this.cut); this.compare(); this.place();
  }
  slide(percent) {
    this.cut = percent; this.range.value = percent;
    const { stage } = this;
    this.panes[1].style.clipPath = this.mode === "slider" ? "inset(0 0 0 " + percent + "%)" : "";
    this.divider.style.left = percent + "%";
    this.divider.hidden = this.mode !== "slider";
    stage.dataset.cut = percent;
  }

  // Both pictures are drawn as large as the larger one, so that the same place of the picture is at the same place.
  large() {
    const shapes = this.images().map(shape);
    return shapes[0][0] * shapes[0][1] >= shapes[1][0] * shapes[1][1] ? shapes[0] : shapes[1];
  }
  fitting() {
    const [w, h] = this.large(), pane = this.mode === "difference" ? this.map : this.panes[0];
    return Math.min(pane.clientWidth / w, pane.clientHeight / h, 1.5);
  }
  scaled() { return this.zoom ? this.zoom / (window.devicePixelRatio || 1) : this.fitting(); }
  place() {
    if (!this.group) return;
    const [w, h] = this.large(), scale = this.scaled(), pane = this.mode === "difference" ? this.map : this.panes[0];
    const limit = (length, room) => Math.max(0, (length * scale - room) / 2);
    this.x = Math.max(-limit(w, pane.clientWidth), Math.min(limit(w, pane.clientWidth), this.x));
    this.y = Math.max(-limit(h, pane.clientHeight), Math.min(limit(h, pane.clientHeight), this.y));
    const images = this.images();
    [...this.panes, this.map].forEach((one, side) => {
      const frame = one.querySelector(".frame"), picture = frame.firstChild, image = images[side] || images[0];
      // a copy of another shape is not stretched beyond its own
      const [iw, ih] = shape(image), part = Math.min(w / iw, h / ih), width = iw * part * scale, height = ih * part * scale;
      frame.style.width = width + "px"; frame.style.height = height + "px";
      frame.style.transform = "translate(calc(-50% + " + this.x + "px), calc(-50% + " + this.y + "px))";
      if (side < 2) {
        const [pw, ph] = across(image) ? [height, width] : [width, height];
        picture.style.width = pw + "px"; picture.style.height = ph + "px";
        picture.style.transform = "translate(-50%, -50%) rotate(" + -image.turn + "deg)" + (image.mirror ? " scaleX(-1)" : "");
        picture.style.imageRendering = this.zoom >= 2 ? "pixelated" : "";
      }
    });
    this.stage.classList.toggle("movable", limit(w, pane.clientWidth) + limit(h, pane.clientHeight) > 0);
    this.fit.setAttribute("aria-pressed", String(!this.zoom)); this.full.setAttribute("aria-pressed", String(this.zoom === 1));
    this.full.textContent = this.zoom && this.zoom !== 1 ? Math.round(100 * this.zoom) + " %" : "100 %";
  }
  scale(zoom, at = null) {
    const before = this.scaled();
    this.zoom = zoom && Math.max(0.02, Math.min(LARGEST, zoom));
    const ratio = this.scaled() / before;
    if (at) { this.x = at[0] - (at[0] - this.x) * ratio; this.y = at[1] - (at[1] - this.y) * ratio; } else if (zoom) { this.x *= ratio; this.y *= ratio; } else this.x = this.y = 0;
    this.place();
  }
  closer(factor, at) { this.scale(this.scaled() * (window.devicePixelRatio || 1) * factor, at); }

  gestures() {
    const { stage } = this, fingers = new Map();
    const centre = event => {
      const pane = event.target.closest(".pane") || this.panes[0], box = pane.getBoundingClientRect();
      return [event.clientX - box.left - box.width / 2, event.clientY - box.top - box.height / 2];
    };
    stage.addEventListener("wheel", event => { event.preventDefault(); this.closer(Math.exp(-event.deltaY / 400), centre(event)); }, { passive: false });
    stage.addEventListener("dblclick", event => this.scale(this.zoom ? 0 : 1, centre(event)));
    let sliding = false, apart = 0;
    stage.addEventListener("pointerdown", event => {
      if (event.button) return;
      fingers.set(event.pointerId, [event.clientX, event.clientY]); stage.setPointerCapture(event.pointerId);
      const box = stage.getBoundingClientRect();
      sliding = this.mode === "slider" && Math.abs(event.clientX - box.left - box.width * this.cut / 100) < 24;
      apart = 0;
    });
    stage.addEventListener("pointermove", event => {
      const before = fingers.get(event.pointerId);
      if (!before) return;
      fingers.set(event.pointerId, [event.clientX, event.clientY]);
      if (fingers.size === 2) {
        const [[ax, ay], [bx, by]] = fingers.values(), distance = Math.hypot(ax - bx, ay - by);
        if (apart) this.closer(distance / apart);
        apart = distance;
      } else if (sliding) {
        const box = stage.getBoundingClientRect();
        this.slide(Math.max(0, Math.min(100, 100 * (event.clientX - box.left) / box.width)));
      } else { this.x += event.clientX - before[0]; this.y += event.clientY - before[1]; this.place(); }
    });
    for (const name of ["pointerup", "pointercancel"]) stage.addEventListener(name, event => { fingers.delete(event.pointerId); apart = 0; });
    window.addEventListener("resize", () => { if (this.dialog.open) this.place(); });
  }

  key(event) {
    const key = event.key, current = side => ({ group: this.group, place: side ? this.b : this.a });
    const slider = event.target === this.range && key.startsWith("Arrow");
    if (slider) return false;
    const steps = { "+": () => this.closer(1.25), "=": () => this.closer(1.25), "-": () => this.closer(0.8), 0: () => this.scale(0), z: () => this.scale(this.zoom === 1 ? 0 : 1),
      s: () => this.show("side"), w: () => this.show("slider"), b: () => this.show(this.mode === "blink" ? "side" : "blink"), d: () => this.show(this.mode === "difference" ? "side" : "difference"),
      ArrowRight: () => this.other(1, event.shiftKey), ArrowLeft: () => this.other(-1, event.shiftKey), ArrowDown: () => this.next(1), ArrowUp: () => this.next(-1),
      c: () => this.choose(this.b, this.a), "[": () => this.slide(Math.max(0, this.cut - 5)), "]": () => this.slide(Math.min(100, this.cut + 5)),
      " ": () => { if (this.mode === "blink") { clearInterval(this.timer); this.dialog.classList.toggle("second"); } else this.show("blink"); } };
    const pan = { ArrowRight: [-80, 0], ArrowLeft: [80, 0], ArrowDown: [0, -80], ArrowUp: [0, 80] }[key];
    if (pan && event.altKey) { this.x += pan[0]; this.y += pan[1]; this.place(); return true; }
    if (event.altKey) return false;
    if (key === " " && event.target.closest("button")) return false;
    if (key === "ArrowDown" || key === "ArrowUp") { steps[key](); return true; }
    if (steps[key]) { this.later(steps[key]); return true; }
    const marks = { k: "keep", r: "remove", x: "remove", n: "apart", f: "folder" };
    if (marks[key.toLowerCase()]) { const side = event.shiftKey ? 0 : 1; this.later(() => this.act(marks[key.toLowerCase()], current(side))); return true; }
    return false;
  }
}
