// The data of a store that is served: see `source_file.js` for a report, which has the same methods.

export class ServerError extends Error {}
export class Gone extends Error {}

async function request(address, content) {
  const body = content === undefined ? undefined : JSON.stringify(content);
  // what is on its way arrives, even if the page is closed (browsers allow that for 64 kB)
  const options = body === undefined ? {} : { method: "POST", headers: { "Content-Type": "application/json" }, body, keepalive: body.length < 30000 };
  let answer;
  try {
    answer = await fetch(address, { ...options, cache: "no-store" });
  } catch (error) {
    throw new Gone("The server does not answer.");
  }
  let found = null;
  try { found = await answer.json(); } catch (error) { /* no JSON, such as a page of another server */ }
  if (!answer.ok || found === null) {
    throw new ServerError((found && found.error) || "The server answered with " + answer.status + ".");
  }
  return found;
}

export const server = {
  can: { apply: true },
  state: () => request("api/state"),
  groups: filter => request("api/groups?" + new URLSearchParams(filter)),
  details: async ids => (await request("api/groups/details?ids=" + ids.join(","))).groups,
  thumb: image => "thumb/" + image.n + "?v=" + encodeURIComponent(image.v || ""),
  picture: image => "picture/" + image.n + "?v=" + encodeURIComponent(image.v || ""),
  mark: (marks, contents) => request("api/marks", { marks, contents }),
  apart: (pairs, on) => request("api/apart", { pairs, on }),
  prefer: (folder, preview) => request("api/prefer", { folder, preview }),
  suggest: choice => request("api/suggest", choice),
  plan: () => request("api/plan", {}),
  apply: choice => request("api/apply", choice),
  clear: () => request("api/marks", { marks: {}, clear: true }),
  undo: journal => request("api/undo", { journal }),
  events: revision => request("api/events?revision=" + revision),
};
