/* A Space as a form: its endpoint's inputs as fields, the same as a command and as Python, and a real job. */
import { ask, become, h, own, plain } from "./parts.js";

/** Offer a form for the Space within `box`; `done` gets the job that it submits. */
export async function offer(box, space, done, failed) {
  if (!box) return;
  const path = /^[^/]+(\/[^/]+)?$/.test(space) ? space : encodeURIComponent(space);
  let endpoints = [];
  try { endpoints = await ask("GET", `/spaces/${path}/endpoints`); } catch (error) { if (error.status === 401) return failed(error); }
  if (box.isConnected) form(box, space, endpoints, endpoints[0], done, failed);
}

function form(box, space, endpoints, endpoint, done, failed) {
  const fields = endpoint ? Object.entries(endpoint.schema.properties ?? {}) : [["prompt", { type: "string" }]];
  const files = new Map(), needed = new Set(endpoint?.schema.required ?? []), takesFiles = !endpoint || fields.some(([, kind]) => kind.contentMediaType);
  const drawn = h("form", null,
    endpoints.length > 1 && h("div", { class: "field" }, h("label", { for: "endpoint" }, "Endpoint"), h("select", { id: "endpoint" }, endpoints.map((one) => h("option", { value: one.name, selected: one === endpoint }, plain(one.name))))),
    fields.filter(([, kind]) => !kind.contentMediaType).map(([name, kind]) => field(name, kind, needed.has(name))),
    takesFiles && h("div", { class: "field" }, h("div", { class: "drop" }, h("label", { for: "files" }, fields.filter(([, kind]) => kind.contentMediaType).map(([name, kind]) => plain(kind.title ?? name)).join(", ") || "Files"),
      h("input", { id: "files", type: "file", multiple: true }), h("span", { class: "soft", id: "chosen" }, "or drop them here"))),
    h("button", { class: "strong" }, "Run"), h("p", { class: "soft", role: "alert", id: "wrong" }));
  const same = h("div", null, h("h2", null, "The same as a command"), h("pre", { id: "command", tabindex: 0 }), h("h2", null, "As Python"), h("pre", { id: "python", tabindex: 0 }));
  box.replaceChildren(h("h2", null, "Try it"), endpoint ? "" : h("p", { class: "soft" }, "its inputs are known once it has run here"), h("div", { class: "try" }, drawn, same));
  const take = (list) => { for (const one of list) files.set(one.name, one); box.querySelector("#chosen").textContent = [...files.keys()].map(plain).join(", "); write(); };
  const write = () => { const given = values(drawn, fields, endpoint); become(same.querySelector("#command"), h("pre", null, command(space, endpoint, given, files))); become(same.querySelector("#python"), h("pre", null, python(space, endpoint, given, files))); };
  drawn.addEventListener("input", write);
  drawn.querySelector("#files")?.addEventListener("change", (event) => take(event.target.files));
  drawn.querySelector("#endpoint")?.addEventListener("change", (event) => form(box, space, endpoints, endpoints.find((one) => one.name === event.target.value), done, failed));
  const drop = drawn.querySelector(".drop");
  for (const kind of ["dragover", "dragleave", "drop"]) drop?.addEventListener(kind, (event) => {
    event.preventDefault();
    drop.classList.toggle("over", kind === "dragover");
    if (kind === "drop") take(event.dataTransfer.files);
  });
  drawn.addEventListener("submit", async (event) => {
    event.preventDefault();
    const run = drawn.querySelector("button");
    run.disabled = true;
    try { done(await ask("POST", "/jobs", body(space, endpoint, values(drawn, fields, endpoint), files))); } catch (error) { drawn.querySelector("#wrong").textContent = plain(error.message); if (error.status === 401) failed(error); }
    run.disabled = false;
  });
  write();
}

function field(name, kind, needed) {
  const id = `field-${name}`, told = kind.default ?? "", text = typeof told === "object" ? JSON.stringify(told) : told;
  const label = h("label", { for: id }, plain(kind.title ?? name), needed && h("span", { class: "soft" }, " needed"));
  if (kind.type === "boolean") return h("div", { class: "field" }, h("div", { class: "check" }, h("input", { id, name, type: "checkbox", checked: told === true }), label));
  if (kind.enum) return h("div", { class: "field" }, label, h("select", { id, name }, kind.enum.map((one) => h("option", { selected: one === told }, plain(one)))));
  if (kind.type === "number" || kind.type === "integer")
    return h("div", { class: "field" }, label, h("input", { id, name, type: "number", step: "any", min: kind.minimum, max: kind.maximum, value: text, required: needed }), kind.minimum !== undefined && kind.maximum !== undefined && h("span", { class: "soft" }, `${kind.minimum} to ${kind.maximum}`));
  return h("div", { class: "field" }, label, h("textarea", { id, name, rows: kind.type === "string" ? 3 : 2, required: needed }, String(text)), kind.description && h("span", { class: "soft" }, plain(kind.description)));
}

/** What the fields say, without those that are as the Space has them anyway. */
function values(drawn, fields, endpoint) {
  const given = {};
  for (const [name, kind] of fields) {
    const one = drawn.elements.namedItem(name);
    if (!one || kind.contentMediaType) continue;
    const usual = kind.default ?? (kind.type === "boolean" ? false : "");
    let value = kind.type === "boolean" ? one.checked : one.value;
    if (kind.enum) value = kind.enum[one.selectedIndex];
    if (["number", "integer"].includes(kind.type) && value !== "") value = Number(value);
    if (value !== usual && !(value === "" && kind.default === undefined) || (endpoint?.schema.required ?? []).includes(name)) given[name] = value;
    if (kind.type === "array" && typeof value === "string" && value) try { given[name] = JSON.parse(value); } catch { given[name] = value; }
  }
  return given;
}

function body(space, endpoint, given, files) {
  const made = new FormData();
  made.append("space", space);
  if (endpoint) { made.append("endpoint", endpoint.name); made.append("inputs", JSON.stringify(given)); }
  else made.append("prompt", given.prompt ?? "");
  made.append("fallback", "none");
  for (const one of files.values()) made.append("file", one, one.name);
  return made;
}

const quoted = (text) => /^[\w./:=@+-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
const words = (value) => typeof value === "string" ? value : JSON.stringify(value);
function command(space, endpoint, given, files) {
  const parts = endpoint ? [`spacedock run ""`] : [`spacedock run ${quoted(given.prompt ?? "") || "''"}`];
  parts.push(`--space ${quoted(space)}`);
  if (endpoint) parts.push(`--endpoint ${quoted(endpoint.name)}`, ...Object.entries(given).map(([name, value]) => `--input ${quoted(`${name}=${words(value)}`)}`));
  return [...parts, "--no-fallback", ...[...files.keys()].map((name) => `--file ${quoted(name)}`)].join(" \\\n  ");
}
function python(space, endpoint, given, files) {
  const told = (value) => JSON.stringify(value).replace(/\btrue\b/g, "True").replace(/\bfalse\b/g, "False").replace(/\bnull\b/g, "None");
  const more = [`space=${told(space)}`, 'fallback="none"'];
  if (endpoint) more.push(`endpoint=${told(endpoint.name)}`, `inputs={${Object.entries(given).map(([name, value]) => `${told(name)}: ${typeof value === "string" ? JSON.stringify(value) : told(value)}`).join(", ")}}`);
  if (files.size) more.push(`files=[${[...files.keys()].map((name) => JSON.stringify(name)).join(", ")}]`);
  return `from spacedock import SyncClient\n\nwith SyncClient() as client:\n    result = client.run(\n        ${endpoint ? '""' : JSON.stringify(given.prompt ?? "")},\n        ${more.join(",\n        ")},\n    )\n    print(result.output.text)`;
}
