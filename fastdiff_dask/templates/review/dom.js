// Elements without markup from strings: everything that is read is a text node or an attribute.

export const byId = name => document.getElementById(name);

export function element(name, attributes, ...children) {
  const made = document.createElement(name);
  for (const [key, given] of Object.entries(attributes || {})) {
    if (given === null || given === undefined || given === false) continue;
    if (key.startsWith("on")) made.addEventListener(key.slice(2), given);
    else if (key === "class") made.className = given;
    else if (key in made && typeof given !== "string") made[key] = given;
    else made.setAttribute(key, given === true ? "" : given);
  }
  made.append(...children.flat().filter(child => child !== null && child !== undefined && child !== false));
  return made;
}

export const button = (text, attributes, onclick) => element("button", { type: "button", ...attributes, onclick }, text);

// Pictures of buttons, drawn here so that nothing is loaded.
const PATHS = {
  keep: "M3 8.5l3.2 3.2L13 4.8", remove: "M4 4l8 8M12 4l-8 8", apart: "M3 6h10M3 10h10M10.5 3l-5 10", left: "M10 3L5 8l5 5", right: "M6 3l5 5-5 5",
  up: "M3 10l5-5 5 5", down: "M3 6l5 5 5-5", close: "M4 4l8 8M12 4l-8 8", filter: "M2 4h12M4.5 8h7M6.5 12h3",
};
export function icon(name) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", "svg"), path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  made.setAttribute("viewBox", "0 0 16 16"); made.setAttribute("class", "icon"); made.setAttribute("aria-hidden", "true");
  path.setAttribute("d", PATHS[name]); made.append(path);
  return made;
}

let hiding = 0;
export function say(text, { wrong = false, stay = false } = {}) {
  const line = byId(wrong ? "alert" : "status"), other = byId(wrong ? "status" : "alert");
  other.textContent = ""; line.textContent = text;
  clearTimeout(hiding);
  if (text && !stay) hiding = setTimeout(() => { line.textContent = ""; }, wrong ? 12000 : 5000);
}

// One dialog at a time, made when it is opened; resolves when it closes.
export function ask(title, content, buttons, attributes = {}) {
  const foot = element("div", { class: "buttons" }), dialog = element("dialog", { class: "ask", "aria-labelledby": "ask-title", ...attributes },
    element("h2", { id: "ask-title" }, title), element("div", { class: "content", tabIndex: 0, role: "group", "aria-labelledby": "ask-title" }, content), foot);
  const shown = (list) => foot.replaceChildren(...list.map(([text, kindOf, action]) => button(text, { class: kindOf }, action || (() => dialog.close()))));
  shown(buttons);
  const before = document.activeElement;
  dialog.addEventListener("close", () => { dialog.remove(); if (before && before.isConnected) before.focus(); });
  document.body.append(dialog); dialog.showModal();
  return { dialog, buttons: shown, closed: new Promise(done => dialog.addEventListener("close", done)) };
}
