// The list of groups: only rows near the window are elements, and details are asked for what is visible.
import { element } from "./dom.js";
import { count, kind } from "./words.js";
import { layout, rowAt, rowOf, SHOWN, SIZES } from "./layout.js";
import { emptyCard, fillCard, paintCard } from "./card.js";

const BEYOND = 500;  // pixels above and below the window
const CELLS = { small: { cell: 118, picture: 84 }, medium: { cell: 152, picture: 108 }, large: { cell: 230, picture: 190 } };

export class Grid {
  constructor(model, scroller, list, act) {
    Object.assign(this, { model, scroller, list, act, rows: new Map(), cards: new Map(), cursor: { group: 0, place: 0 }, plan: null, scale: "medium" });
    scroller.addEventListener("scroll", () => this.later(), { passive: true });
    new ResizeObserver(() => { if (!model.state) return; if (this.width !== this.list.clientWidth || !this.plan) this.relay(); else this.later(); }).observe(scroller);
    model.addEventListener("list", () => this.relay());
    model.addEventListener("details", event => event.detail.forEach(group => this.fill(group)));
    model.addEventListener("marked", event => event.detail.forEach(id => { const card = this.cards.get(id), group = model.groups.get(id); if (card && group) paintCard(card, group); }));
    model.addEventListener("stale", () => this.ask());
    list.addEventListener("focusin", event => this.follow(event.target));
  }

  // Lays everything out again, and keeps what is seen in its place.
  relay() {
    const { model, scroller } = this;
    const anchor = this.fresh ? null : this.anchor();
    this.fresh = false;
    this.width = this.list.clientWidth;
    this.plan = layout(model.counts, model.runs, this.width, CELLS[this.scale]);
    this.list.style.setProperty("--picture", CELLS[this.scale].picture + "px");
    this.list.style.setProperty("--cell", this.plan.cellWidth + "px");
    this.list.style.height = this.plan.total + "px";
    const focused = this.focused();
    for (const row of this.rows.values()) row.remove();
    this.rows.clear(); this.cards.clear(); this.shown = model.ids; this.places = null;
    if (anchor) { const place = this.placeOf(anchor.id); if (place >= 0) scroller.scrollTop = this.plan.top[rowOf(this.plan, place)] - anchor.offset; }
    if (focused) { const place = this.placeOf(focused.id); if (place >= 0) this.cursor = { group: place, place: focused.place }; }
    this.cursor.group = Math.max(0, Math.min(this.cursor.group, model.ids.length - 1));
    this.render();
    if (focused) this.focus(false);
    this.list.dispatchEvent(new CustomEvent("laid"));
  }
  anchor() {
    const { plan, shown, scroller } = this;
    if (!plan || !shown || !shown.length) return null;
    const focused = this.focused(), top = rowAt(plan, scroller.scrollTop);
    let row = plan.heading[top] >= 0 ? top + 1 : top;
    if (focused && shown.includes(focused.id)) row = rowOf(plan, shown.indexOf(focused.id));
    return row < plan.top.length ? { id: shown[plan.first[row]], offset: plan.top[row] - scroller.scrollTop } : null;
  }
  placeOf(id) {
    if (!this.places) { this.places = new Map(); this.model.ids.forEach((one, place) => this.places.set(one, place)); }
    return this.places.has(id) ? this.places.get(id) : -1;
  }
  focused() {
    const cell = document.activeElement && document.activeElement.closest && this.list.contains(document.activeElement) ? document.activeElement.closest(".image") : null;
    return cell ? { id: Number(cell.closest(".card").dataset.id), place: Number(cell.dataset.place) } : null;
  }

  later() { if (!this.frame) this.frame = requestAnimationFrame(() => { this.frame = 0; this.render(); }); }
  render() {
    const { plan, scroller } = this, top = scroller.scrollTop - this.list.offsetTop;
    if (!plan || !plan.top.length) { this.rows.forEach(row => row.remove()); this.rows.clear(); return; }
    const first = rowAt(plan, top - BEYOND), last = rowAt(plan, top + scroller.clientHeight + BEYOND), keep = rowOf(plan, this.cursor.group);
    for (const [number, row] of this.rows) if ((number < first || number > last) && !(number === keep && row.contains(document.activeElement))) this.drop(number, row);
    const made = document.createDocumentFragment();
    for (let number = first; number <= last; number++) if (!this.rows.has(number)) made.append(this.row(number));
    this.list.append(made);
    this.want();
  }
  drop(number, row) {
    for (const picture of row.querySelectorAll("img")) if (!picture.complete) picture.removeAttribute("src");  // stops its request
    for (const card of row.querySelectorAll(".card")) this.cards.delete(Number(card.dataset.id));
    row.remove(); this.rows.delete(number);
  }
  row(number) {
    const { plan, model } = this;
    let row;
    if (plan.heading[number] >= 0) {
      const [verdict, groups] = model.runs[plan.heading[number]], [title, about] = kind(verdict);
      row = element("h2", { class: "row heading" }, title, element("span", { class: "soft" }, count(groups) + (groups === 1 ? " group" : " groups") + (about ? " · " + about : "")));
    } else {
      row = element("div", { class: "row" });
      for (let group = plan.first[number]; group < plan.after[number]; group++) row.append(this.card(group));
    }
    row.style.setProperty("--facts", plan.facts[number] + "px");
    row.style.top = plan.top[number] + "px"; row.style.height = plan.height[number] + "px";
    this.rows.set(number, row);
    return row;
  }
  card(group) {
    const { model, plan } = this, id = model.ids[group], number = model.counts[group], card = emptyCard(id, number);
    card.cellWidth = plan.cellWidth;
    card.style.width = Math.min(plan.across, Math.min(number, SHOWN)) * plan.cellWidth - SIZES.gap + "px";
    this.cards.set(id, card);
    const known = model.groups.get(id);
    if (known) fillCard(card, known, model, this.act);
    if (group === this.cursor.group) this.reach(card, this.cursor.place);
    return card;
  }
  fill(group) {
    const card = this.cards.get(group.id);
    if (!card) return;
    fillCard(card, group, this.model, this.act);
    if (this.model.ids[this.cursor.group] === group.id) this.reach(card, this.cursor.place);
  }
  // Details are asked for when a scroll rests, for what is visible then.
  want() {
    if (this.timer) return;
    this.timer = setTimeout(() => { this.timer = 0; this.ask(); }, 70);
  }
  ask() {
    const top = this.scroller.scrollTop - this.list.offsetTop, bottom = top + this.scroller.clientHeight, near = [], far = [];
    for (const [number, row] of this.rows) {
      const seen = this.plan.top[number] + this.plan.height[number] > top && this.plan.top[number] < bottom;
      for (const card of row.querySelectorAll(".card")) (seen ? near : far).push(Number(card.dataset.id));
    }
    this.model.want([...near, ...far]);
  }

  // One image is the one that keys are for; the tab key goes to it alone.
  reach(card, place) {
    for (const one of this.list.querySelectorAll('[tabindex="0"]')) one.tabIndex = -1;
    const cell = card.querySelectorAll(".image")[place];
    if (cell) for (const one of cell.querySelectorAll("button")) one.tabIndex = 0;
  }
  follow(target) {
    const cell = target.closest(".image");
    if (!cell) return;
    const group = this.placeOf(Number(cell.closest(".card").dataset.id));
    if (group < 0) return;
    this.cursor = { group, place: Number(cell.dataset.place) };
    this.reach(cell.closest(".card"), this.cursor.place);
  }
  current() {
    const group = this.model.groups.get(this.model.ids[this.cursor.group]);
    return group ? { group, place: Math.min(this.cursor.place, group.images.length - 1) } : null;
  }
  focus(scroll = true) {
    if (!this.model.ids.length) return;
    if (scroll) this.show(rowOf(this.plan, this.cursor.group));
    const card = this.cards.get(this.model.ids[this.cursor.group]);
    const cell = card && card.querySelectorAll(".image")[this.cursor.place];
    if (cell) cell.querySelector(".view").focus({ preventScroll: true });
  }
  show(row) {
    const { plan, scroller } = this, offset = this.list.offsetTop, top = plan.top[row] + offset, bottom = top + plan.height[row];
    const above = row && plan.heading[row - 1] >= 0 ? plan.top[row - 1] + offset : top;
    if (above < scroller.scrollTop) scroller.scrollTop = row <= 1 ? 0 : above;
    else if (bottom > scroller.scrollTop + scroller.clientHeight) scroller.scrollTop = bottom - scroller.clientHeight;
    this.render();
  }
  // Arrow keys: to the next image, or to the row above or below.
  move(key) {
    const { model, cursor, plan } = this, many = group => Math.min(model.counts[group], SHOWN), last = model.ids.length - 1 - plan.left;
    if (last < 0) return;
    let { group, place } = cursor;
    if (!this.focused()) { this.focus(); return; }
    if (key === "ArrowRight") { if (place + 1 < many(group)) place++; else if (group < last) { group++; place = 0; } }
    if (key === "ArrowLeft") { if (place) place--; else if (group) { group--; place = many(group) - 1; } }
    if (key === "Home") { group = 0; place = 0; }
    if (key === "End") { group = last; place = 0; }
    if (key === "ArrowDown" || key === "ArrowUp") [group, place] = this.vertical(key === "ArrowDown" ? 1 : -1);
    this.cursor = { group, place }; this.focus();
  }
  vertical(step) {
    const { model, cursor, plan } = this, many = group => Math.min(model.counts[group], SHOWN);
    let row = rowOf(plan, cursor.group);
    if (many(cursor.group) > plan.across) {  // lines within a group that is larger than a row
      const next = cursor.place + step * plan.across;
      if (next >= 0 && next < many(cursor.group)) return [cursor.group, next];
    }
    let column = cursor.place % plan.across;
    for (let group = plan.first[row]; group < cursor.group; group++) column += many(group);
    do row += step; while (row >= 0 && row < plan.top.length && plan.heading[row] >= 0);
    if (row < 0 || row >= plan.top.length) return [cursor.group, cursor.place];
    for (let group = plan.first[row]; group < plan.after[row]; group++) {
      if (column < many(group) || group === plan.after[row] - 1) {
        const lines = Math.ceil(many(group) / plan.across), base = step < 0 && lines > 1 ? (lines - 1) * plan.across : 0;
        return [group, Math.min(base + column, many(group) - 1)];
      }
      column -= many(group);
    }
    return [cursor.group, cursor.place];
  }
}
