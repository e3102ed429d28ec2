/* What all views are made of: elements, and how values are written. Nothing is ever parsed as HTML. */

const SVG = new Set(["svg", "rect", "polyline"]);

/** An element; `props` are its attributes (false and null leave one out), text goes in as text. */
export function h(tag, props, ...children) {
  const node = SVG.has(tag) ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(props ?? {}))
    if (value !== null && value !== undefined && value !== false) node.setAttribute(name, value === true ? "" : value);
  for (const child of children.flat(Infinity))
    if (child !== null && child !== undefined && child !== false && child !== "") node.append(child);
  return node;
}

/** Make the children of `there` be those of `wanted`, touching only what differs: focus and players stay. */
export function become(there, wanted) {
  const byKey = new Map([...there.children].filter((n) => n.dataset?.key).map((n) => [n.dataset.key, n]));
  let at = there.firstChild;
  for (const next of [...wanted.childNodes]) {
    const key = next.dataset?.key;
    let match = key ? byKey.get(key) : at && !at.dataset?.key && at.nodeName === next.nodeName ? at : null;
    if (match) {
      if (match !== at) there.insertBefore(match, at);
      else at = at.nextSibling;
      sync(match, next);
    } else there.insertBefore(next, at);
  }
  while (at) { const rest = at.nextSibling; at.remove(); at = rest; }
}

function sync(there, wanted) {
  if (wanted.nodeType === Node.TEXT_NODE) { if (there.data !== wanted.data) there.data = wanted.data; return; }
  if (there.dataset?.still !== undefined && there.dataset.still === wanted.dataset?.still) return;
  for (const { name } of [...there.attributes])
    if (!wanted.hasAttribute(name) && !(there.nodeName === "DETAILS" && name === "open")) there.removeAttribute(name);
  for (const { name, value } of wanted.attributes) if (there.getAttribute(name) !== value) there.setAttribute(name, value);
  become(there, wanted);
}

/* Characters that turn the reading order around, or that cannot be seen, are shown by their numbers. */
const ODD = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/g;
export const plain = (text) => String(text ?? "").replace(ODD, (c) => `\u27e8${c.codePointAt(0).toString(16)}\u27e9`);

/** Words of ours or of others: what stands between backticks is something to type. */
export function words(text) {
  const parts = plain(text).split("`");
  return parts.length % 2 ? parts.map((part, at) => (at % 2 ? h("code", null, part) : part)) : parts.join("`");
}

/** A name of somebody's choice, cut in the middle. */
export function own(text, most = 40, props = {}) {
  const whole = plain(text), half = Math.floor(most / 2);
  const cut = whole.length > most ? `${whole.slice(0, half)}\u2026${whole.slice(1 - half)}` : whole;
  return h("bdi", { title: whole === cut ? null : whole.slice(0, 500), ...props }, cut);
}

export const count = (n) => Number(n).toLocaleString("en");
export function span(seconds) {
  if (seconds === null || seconds === undefined) return "";
  if (seconds < 0.095) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  if (seconds < 119) return `${Math.round(seconds)} s`;
  if (seconds < 7140) return `${Math.round(seconds / 60)} min`;
  return seconds < 172800 ? `${Math.round(seconds / 3600)} h` : `${Math.round(seconds / 86400)} d`;
}
export const size = (bytes) => bytes < 1e6 ? `${Math.max(1, Math.round(bytes / 1e3))} kB` : bytes < 1e9 ? `${(bytes / 1e6).toFixed(0)} MB` : `${(bytes / 1e9).toFixed(1)} GB`;
export function ago(at, now) {
  const past = Math.max(0, now - at);
  return h("time", { datetime: new Date(at * 1000).toISOString(), title: new Date(at * 1000).toLocaleString() },
    past < 10 ? "just now" : `${span(past)} ago`);
}

const TONES = { succeeded: "good", degraded: "warn", failed: "bad", dead: "bad", cancelled: "wait", queued: "wait", running: "good", waiting: "wait", skipped: "wait", blocked: "wait" };
export const tone = (state, text = state) => h("span", { class: `tone ${TONES[state] ?? state}` }, text);

/** A bar of parts: [how much, its class]. */
export function bar(kind, label, parts, all) {
  let x = 0;
  const rects = parts.map(([n, tint]) => { const w = all ? (100 * n) / all : 0, r = h("rect", { class: tint, x: `${x}%`, width: `${w}%`, height: "100%" }); x += w; return r; });
  return h("svg", { class: kind, role: "img", "aria-label": label }, rects);
}

/** Bars and lines over the last minutes; `series` are [class, values], the first as bars where `bars`. */
export function chart(label, series, bars, kind = "chart") {
  const n = series[0][1].length, top = Math.max(1e-9, ...series.flatMap(([, v]) => v.map((x) => x ?? 0)));
  const drawn = series.flatMap(([tint, values]) => bars
    ? values.map((v, i) => v ? h("rect", { class: tint, x: i, width: 0.8, y: 32 - (32 * v) / top, height: (32 * v) / top }) : null)
    : [h("polyline", { class: tint, points: values.flatMap((v, i) => v === null ? [] : [`${i},${32 - (30 * v) / top}`, `${i + 0.8},${32 - (30 * v) / top}`]).join(" ") })]);
  return h("svg", { class: kind, viewBox: `0 0 ${n} 32`, preserveAspectRatio: "none", role: "img", "aria-label": label }, drawn);
}

const MOST_SHOWN = 16e6, address = (file) => `/files/${file.sha256}?name=${encodeURIComponent(file.name)}`;
/** A file of an answer: a picture that the browser could decode, a player, or a link to save it. */
export function file(ref, privately) {
  const name = own(ref.name, 40), type = ref.media_type ?? "", link = h("a", { href: address(ref), download: ref.name }, name, ` (${size(ref.size)})`);
  if (privately || ref.size > MOST_SHOWN) return h("span", null, link);
  if (/^(audio|video)\//.test(type))
    return h("div", { "data-still": ref.sha256 }, h(type.startsWith("audio") ? "audio" : "video", { controls: true, preload: "none", src: address(ref), "aria-label": plain(ref.name) }), " ", link);
  if (!/^image\/(png|jpeg|gif|webp|avif|bmp)$/.test(type)) return h("span", null, link);
  return h("a", { href: address(ref), download: ref.name, "data-still": ref.sha256, "data-picture": plain(ref.name), title: plain(ref.name) }, name);
}

/** Put the pictures there that are not shown yet; what the browser cannot decode stays a link. */
export function develop(view) {
  for (const box of view.querySelectorAll("[data-picture]:not([data-done])")) {
    box.dataset.done = "";
    const picture = h("img", { src: box.getAttribute("href"), alt: box.dataset.picture });
    picture.decode().then(() => box.replaceChildren(picture), () => box.append(" (cannot be shown)"));
  }
}

/** Rows as a table: of lists, of records, or as Gradio gives them ({headers, data}). Null if it is none. */
export function table(data, most = 5) {
  const one = Array.isArray(data) && data.length === 1 ? data[0] : data;
  let heads = one?.headers, rows = one?.data;
  if (!Array.isArray(heads) || !Array.isArray(rows)) {
    if (!Array.isArray(one) || one.length < 2 || !one.every((row) => row && typeof row === "object")) return null;
    heads = Array.isArray(one[0]) ? one[0].map((_, i) => i + 1) : Object.keys(one[0]);
    rows = one.map((row) => Array.isArray(row) ? row : heads.map((head) => row[head]));
  }
  if (!rows.every(Array.isArray)) return null;
  const cell = (value) => plain(typeof value === "string" ? value : JSON.stringify(value) ?? "").slice(0, 300);
  return h("div", { class: "tablewrap", tabindex: 0, role: "region", "aria-label": "table" }, h("table", null,
    h("thead", null, h("tr", null, heads.slice(0, 20).map((head) => h("th", { scope: "col" }, cell(head))))),
    h("tbody", null, rows.slice(0, most).map((row) => h("tr", null, row.slice(0, 20).map((value) => h("td", null, cell(value))))))),
    rows.length > most && h("p", { class: "soft" }, `${count(rows.length - most)} more rows`));
}

/** Ask the daemon; an error has its own words. */
export async function ask(method, path, body) {
  const json = body && !(body instanceof FormData);
  const answer = await fetch(path, { method, body: json ? JSON.stringify(body) : body, headers: json ? { "Content-Type": "application/json" } : {} });
  const said = await answer.json().catch(() => ({}));
  if (!answer.ok) throw Object.assign(new Error(said.error?.message ?? `the daemon answered ${answer.status}`), { status: answer.status });
  return said;
}
