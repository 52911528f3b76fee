// What the page knows: the state, the list of groups, details of some groups, and marks on their way to the server.
import { Gone } from "./source_server.js";
import { say } from "./dom.js";

const KEPT = 3000;  // groups whose details stay in memory
const AT_ONCE = 150;  // groups that one request asks for

export class Model extends EventTarget {
  constructor(source) {
    super();
    this.source = source; this.state = null; this.filter = {}; this.ids = []; this.counts = []; this.runs = [];
    this.groups = new Map(); this.asked = new Set(); this.waiting = new Map(); this.sending = new Map(); this.seen = new Map(); this.lost = false; this.asking = 0;
  }
  tell(name, detail) { this.dispatchEvent(new CustomEvent(name, { detail })); }

  // Requests that fail are said in one line; a lost server is said once, and asked again.
  async tried(action) {
    try {
      const answer = await action();
      this.found();
      return answer;
    } catch (error) {
      if (error instanceof Gone) this.miss(); else { say(error.message, { wrong: true }); console.info(error); }
      return null;
    }
  }
  miss() { if (!this.lost) { this.lost = true; this.tell("lost"); } }
  found() { if (this.lost) { this.lost = false; this.tell("lost"); } }

  async load() {
    const early = this.state ? null : this.tried(() => this.source.groups(this.filter));  // at once with the state
    const state = await this.tried(() => this.source.state());
    if (!state) return false;
    const changed = !this.state || this.state.result !== state.result;
    this.state = state; this.revision = state.revision;
    this.tell("state");
    if (changed) await this.list(early);
    return true;
  }
  async list(early = null) {
    const number = ++this.asking, answer = await (early || this.tried(() => this.source.groups(this.filter)));
    if (!answer || number !== this.asking) return;  // a later question was asked meanwhile
    this.ids = answer.ids; this.counts = answer.counts; this.runs = answer.verdicts || [["", answer.ids.length]];
    this.tell("list");
  }
  async want(ids) {
    const missing = ids.filter(id => !this.groups.has(id) && !this.asked.has(id));
    for (let first = 0; first < missing.length; first += AT_ONCE) {
      const some = missing.slice(first, first + AT_ONCE);
      some.forEach(id => this.asked.add(id));
      const answer = await this.tried(() => this.source.details(some));
      some.forEach(id => this.asked.delete(id));
      if (!answer) return;
      for (const group of answer) this.keep(group);
      this.tell("details", answer);
    }
  }
  keep(group) {
    for (const image of group.images) for (const marks of [this.sending, this.waiting]) if (marks.has(image.n)) image.mark = marks.get(image.n);
    this.groups.delete(group.id); this.groups.set(group.id, group);
    if (this.groups.size > KEPT) this.groups.delete(this.groups.keys().next().value);
  }
  forget() { this.groups.clear(); this.asked.clear(); this.tell("stale"); }

  // Marks are shown at once, and sent together; those of a lost server wait.
  mark(group, changes) {
    const totals = this.state.marks;
    for (const [image, mark] of changes) {
      if (image.mark === mark || image.gone) continue;
      for (const [name, step] of [[image.mark, -1], [mark, 1]]) {
        if (name) totals[name] += step;
        if (name === "remove") totals.bytes += step * image.size;
      }
      image.mark = mark; this.waiting.set(image.n, mark); this.seen.set(image.n, image.v || "");
    }
    this.tell("marked", [group.id]); this.tell("state");
    clearTimeout(this.timer); this.timer = setTimeout(() => this.send(), 120);
  }
  async send() {
    if (this.sending.size) return;  // sends what waits when it is through
    clearTimeout(this.timer);
    if (!this.waiting.size) return;
    [this.sending, this.waiting] = [this.waiting, new Map()];
    const marks = this.sending;
    try {
      // with what was seen: by now the number may be that of another picture
      const answer = await this.source.mark(Object.fromEntries(marks), Object.fromEntries([...marks.keys()].map(n => [n, this.seen.get(n)])));
      this.sending = new Map(); this.found(); this.totals(answer);
    } catch (error) {
      this.sending = new Map();
      if (error instanceof Gone) {
        this.waiting = new Map([...marks, ...this.waiting]); this.miss();
        this.timer = setTimeout(() => this.send(), 2000);
        return;
      }
      say(error.message, { wrong: true }); this.forget(); await this.load();
    }
    if (this.waiting.size) await this.send();
  }
  // Everything that goes by the marks comes after them.
  async sent() {
    await this.send();
    while (this.sending.size && !this.lost) await new Promise(done => setTimeout(done, 30));
    if (this.waiting.size) { say("The marks are not stored yet: the server does not answer.", { wrong: true }); return false; }
    return true;
  }
  totals(answer) {
    if (answer.revision !== undefined) this.revision = answer.revision;
    if (answer.marks && !this.waiting.size && !this.sending.size) this.state.marks = answer.marks;
    this.tell("state");
  }
  async apart(group, image, on) {
    const answer = await this.tried(() => this.source.apart([[image.n, group.images[0].n]], on));
    if (!answer) return;
    if (image.apart !== on) this.state.apart += on ? 1 : -1;
    image.apart = on;
    if (on && image.mark === "remove") this.mark(group, [[image, null]]);
    this.totals(answer); this.tell("marked", [group.id]);
  }

  // Two pages stay the same: the server answers when something has changed.
  async follow() {
    for (;;) {
      try {
        const answer = await this.source.events(this.revision);
        this.found();
        if (answer.revision === this.revision) continue;
        this.forget();
        await this.load();
      } catch (error) {
        if (error instanceof Gone) this.miss(); else say(error.message, { wrong: true });  // such as another server at this port
        await new Promise(done => setTimeout(done, 2000));
        if (this.lost && await this.load()) { this.forget(); if (this.waiting.size) this.send(); }
      }
    }
  }
}
