/* The page: one look at the queue (/board), renewed when events say that something happened; its views and keys. */
import { ago, ask, bar, become, chart, count, develop, file, h, own, plain, size, span, table, tone, words } from "./parts.js";
import { offer } from "./try.js";

const main = document.getElementById("main"), verdict = document.getElementById("verdict"), live = document.getElementById("live");
const state = { board: null, away: null, spaces: {}, profiles: {}, tiers: null, running: [], detail: null, shift: 0, find: "", pulling: new Set() };
const LINGER = 5000;
const now = () => Date.now() / 1000 + state.shift;
const at = (...words) => "#/" + words.map(encodeURIComponent).join("/");
const button = (what, id, text, props = {}) => h("button", { type: "button", class: "small", "data-do": what, "data-id": id, ...props }, text);
const section = (title, note, ...inner) => h("section", { "aria-label": title, "data-key": title }, h("h2", null, title, note && h("span", { class: "n" }, ` \u00b7 ${note}`)), inner);
const found = (...words) => !state.find || words.some((word) => String(word ?? "").toLowerCase().includes(state.find));
const jobs = (n) => `${count(n)} job${n === 1 ? "" : "s"}`;
const labelOf = (id) => state.board?.batches.find((one) => one.id === id)?.label || id?.slice(0, 12);
const whose = (job) => job.batch ? own(labelOf(job.batch), 24) : job.client ? own(job.client, 24) : null;
const expected = (space) => state.profiles[space]?.images[0]?.call_p50;

/* -- what is wrong, and what to do about it -- */
function troubles({ hosts, failures, now: then }) {
  if (state.away) return [[state.away, "spacedock doctor"]];
  const up = hosts.filter((host) => host.alive), found = [], host = state.tiers?.host;
  if (!up.length) found.push(["no host works on this queue", "spacedockd"]);
  if (host?.engine.fault || host?.engine.trouble) found.push([`${host.name}: ${host.engine.fault ?? host.engine.trouble}`, "spacedock doctor"]);
  if (up.length && up.every((one) => one.paused)) found.push(["every host is paused", `spacedock hosts resume ${up[0].name || up[0].id}`]);
  for (const one of failures.filter((group) => then - group.last < 900))
    found.push([`${jobs(one.jobs.length)} failed${one.space ? ` in ${one.space}` : ""}: ${one.error.kind.replaceAll("_", " ")}`, `spacedock logs ${one.jobs[0]}`]);
  for (const [name, rest] of Object.entries(state.tiers?.spaces.quarantined ?? {})) found.push([`${name} rests for ${span(rest.for)}: ${rest.reason ?? ""}`, `spacedock logs --space ${name}`]);
  return found;
}

function tell(board) {
  const bad = troubles(board), warm = board.hosts.reduce((sum, host) => sum + Object.values(host.warm).reduce((a, b) => a + b, 0), 0);
  const waiting = board.lanes.reduce((sum, lane) => sum + lane.waiting, 0);
  const rate = board.minutes.filter((one) => board.now - one.at < 660).reduce((sum, one) => sum + one.succeeded + one.failed, 0) / 10;
  const left = waiting && rate ? `, about ${span((waiting / rate) * 60)}` : "";
  become(verdict, h("p", null, bad.length
    ? [tone("bad", plain(bad[0][0]).slice(0, 200)), " ", h("code", null, plain(bad[0][1])), " ", button("copy", bad[0][1], "Copy"), bad.length > 1 && h("span", { class: "soft" }, ` and ${bad.length - 1} more below`)]
    : tone("good", `All well: ${count(warm)} container${warm === 1 ? "" : "s"} warm, ${jobs(waiting)} waiting${left}`)));
  document.title = bad.length ? `! Spacedock` : waiting ? `(${count(waiting)}) Spacedock` : "Spacedock";
}

/* -- rows -- */
function runningRow(job) {
  const past = Math.max(0, now() - job.since), hoped = expected(job.space), over = job.over;
  return h("li", { class: "row job", "data-key": job.id, "data-cancel": over ? null : job.id },
    h("a", { class: "main", href: at("jobs", job.id), "data-row": true }, own(job.space || job.name || job.id.slice(0, 12), 32)),
    h("span", { class: "cut" }, over ? tone(over) : [job.stage ?? "begins", job.name && job.name !== job.space ? [" ", own(job.name, 24)] : "", h("span", { class: "soft" }, " ", plain(job.message).slice(0, 80))]),
    h("span", { class: "num" }, span(past), hoped && !over && h("span", { class: "soft" }, ` of ${span(hoped)}`)),
    h("span", { class: "soft cut" }, whose(job), state.board.hosts.length > 1 && [" on ", own(job.host, 20)], " ", !over && button("cancel", job.id, "Cancel", { "aria-label": `Cancel the job of ${plain(job.space || job.id)}` })),
    hoped && !over && h("span", { class: "wide" }, bar("thin", `${span(past)} of about ${span(hoped)}`, [[Math.min(past, hoped), past > hoped ? "f-warn" : "f-accent"]], hoped)));
}

function endedRow(job) {
  const who = job.answered_by?.name ?? job.space;
  return h("li", { class: "row job", "data-key": job.id },
    h("a", { class: "main", href: at("jobs", job.id), "data-row": true }, own(who || job.id.slice(0, 12), 32)),
    h("span", { class: "cut" }, tone(job.degraded ? "degraded" : job.state), job.degraded && job.space && h("span", { class: "soft" }, " instead of ", own(job.space, 20))),
    h("span", { class: "num" }, span(job.seconds)),
    h("span", { class: "soft cut" }, whose(job), " ", ago(job.ended, now()), " ", ["failed", "dead", "cancelled"].includes(job.state) && button("retry", job.id, "Retry", { "aria-label": `Retry the job of ${plain(who || job.id)}` })),
    h("div", { class: "wide" }, job.private ? h("p", { class: "soft" }, "a private job: its answer is for whoever asked")
      : [job.error && h("p", { class: "answer soft" }, words(job.error.message)), job.text && h("p", { class: "answer" }, plain(job.text)),
        job.files.length > 0 && h("div", { class: "pictures" }, job.files.map((ref) => file(ref)))]));
}

const DONE = (batch) => [[batch.counts.succeeded - batch.degraded, "f-good"], [batch.degraded, "f-warn"], [batch.counts.failed + batch.counts.dead, "f-bad"]];
function batchRow(batch, failures) {
  const all = Object.values(batch.counts).reduce((a, b) => a + b, 0), left = batch.counts.queued + batch.counts.running, done = all - left;
  const rate = done / Math.max(1, now() - batch.submitted), words = [`${count(batch.counts.succeeded - batch.degraded)} succeeded`, batch.degraded && `${count(batch.degraded)} degraded`,
    batch.counts.failed + batch.counts.dead && `${count(batch.counts.failed + batch.counts.dead)} failed`, batch.counts.cancelled && `${count(batch.counts.cancelled)} cancelled`, left && `${count(left)} left`].filter(Boolean).join(", ");
  return h("li", { class: "row", "data-key": batch.id },
    h("a", { class: "main", href: at("batches", batch.id), "data-row": true }, own(batch.label || batch.id, 48)),
    bar("batch", words, DONE(batch), all),
    h("span", { class: "soft" }, words, left && done ? ` \u00b7 ${(rate * 60).toFixed(rate < 1 ? 1 : 0)} a minute, about ${span(left / rate)}` : "", " ", left > 0 && button("cancel-batch", batch.id, "Cancel")),
    failures.map(failureGroup));
}
const failureGroup = (group) => h("div", { class: "group", "data-key": group.jobs[0] }, tone("bad", `${count(group.jobs.length)} \u00d7 ${group.error.kind.replaceAll("_", " ")}`), group.space && [" in ", own(group.space, 32)], " ",
  button("retry", group.jobs.join(" "), group.jobs.length === 1 ? "Retry it" : `Retry these ${group.jobs.length}`), h("p", { class: "answer soft" }, words(group.error.message)));

const KINDS = { running: ["good", "warm"], busy: ["good", "busy"], paused: ["wait", "paused"] };
function spaceState(name, entry, busy) {
  const here = entry.here ?? {}, some = here.containers ?? {};
  if (here.quarantined_for) return tone("bad", "resting");
  if (entry.verified?.works === false || entry.status === "not_working") return tone("warn", "fails");
  if (busy.has(name)) return tone("running", "busy");
  const kind = ["running", "paused"].find((one) => some[one]);
  return kind ? tone(...KINDS[kind]) : state.board.hosts.some((host) => host.warm[name]) ? tone("good", "warm") : tone("wait", "cold");
}
function spaceRow([name, entry], busy) {
  const image = state.profiles[name]?.images[0], calls = image?.calls.map((call) => call.seconds ?? 0) ?? [];
  return h("li", { class: "row space", "data-key": name },
    h("a", { class: "main", href: at("spaces", name), "data-row": true }, own(name, 32)), spaceState(name, entry, busy),
    image ? [h("span", { class: "num" }, image.call_p50 !== null && [span(image.call_p50), h("span", { class: "soft" }, ` / ${span(image.call_p95)}`)]),
      h("span", { class: "spark" }, calls.length > 1 && chart(`seconds of the last ${calls.length} calls`, [["f-accent", calls]], true, "spark")),
      h("span", { class: "num soft mem", title: "the most memory that it took, and its limit" }, image.peak_memory && `${(image.peak_memory / 1e9).toFixed(1)} of ${size(image.memory_limit)}`)]
      : h("span", { class: "soft cut rest" }, plain(entry.description ?? "")));
}
const laneRow = (lane) => h("li", { class: "row lane", "data-key": `${lane.batch}${lane.client}${lane.priority}` },
  h("span", { class: "cut" }, lane.batch ? h("a", { class: "main", href: at("batches", lane.batch), "data-row": true }, own(labelOf(lane.batch), 40)) : own(lane.client, 40),
    h("span", { class: "soft" }, " ", Object.entries(lane.targets).slice(0, 3).map(([name, n], i) => [i ? ", " : "", own(name || "anybody", 24), ` ${count(n)}`]))),
  h("span", { class: "soft" }, lane.priority), h("span", { class: "num" }, count(lane.waiting), h("span", { class: "soft" }, " for ", span(Math.max(0, now() - lane.since)))));
const hostRow = (host) => h("li", { class: "row lane", "data-key": host.id },
  h("span", { class: "cut" }, own(host.name || host.id, 32), h("span", { class: "soft" }, ` ${host.version}${host.gpus ? " GPU" : ""}`)),
  tone(...(host.alive ? host.paused ? ["warn", "paused"] : ["good", "up"] : ["bad", "gone"])),
  h("span", { class: "num soft" }, host.alive && [`${count(host.jobs)} in hand, ${Object.values(host.warm).reduce((a, b) => a + b, 0)} of ${host.containers} warm `,
    button(host.paused ? "resume" : "pause", host.id, host.paused ? "Resume" : "Pause", { "aria-label": `${host.paused ? "Resume" : "Pause"} ${plain(host.name)}` })]));

/* -- views -- */
function home() {
  const board = state.board, bad = board.failures.filter((group) => !board.batches.some((one) => one.id === group.batch)), busy = new Set(board.running.map((job) => job.space));
  const grouped = new Set(board.failures.flatMap((group) => group.jobs));
  const recent = board.recent.filter((job) => !grouped.has(job.id) && found(job.id, job.space, job.answered_by?.name, job.client, labelOf(job.batch)));
  const running = state.running.filter((job) => found(job.id, job.space, job.name, job.client, labelOf(job.batch)));
  const spaces = Object.entries(state.spaces).filter(([name]) => found(name));
  const most = state.find ? 30 : 12;
  const first = spaces.length ? ` --space ${plain(spaces[0][0])}` : "";
  const order = ([name]) => (busy.has(name) ? 0 : state.profiles[name] ? 1 : 2);
  const batches = board.batches.filter((one) => found(one.id, one.label)).slice(0, 8), series = minutes(board), ended = series.map((one) => one.succeeded + one.failed);
  const list = (rows) => h("ul", { class: "rows" }, rows);
  return h("div", { class: "home" }, h("h1", { class: "hidden" }, "The queue"),
    h("div", { "data-key": "left" },
      bad.length > 0 && section("Failures", "not retried yet", bad.slice(0, 6).map(failureGroup)),
      section("Running", count(board.running_jobs), running.length ? list(running.map(runningRow)) : h("p", { class: "soft" }, "nothing runs now")),
      batches.length > 0 && section("Batches", null, list(batches.map((one) => batchRow(one, board.failures.filter((group) => group.batch === one.id))))),
      section("Recent results", null, recent.length ? list(recent.slice(0, 12).map(endedRow))
        : [h("p", { class: "soft" }, "no job has ended yet; these three lines run some"), h("pre", null, `spacedock spaces list\nspacedock run "A quiet harbour"${first}\nspacedock batch prompts.txt${first}`)])),
    h("div", { "data-key": "right" },
      section("Waiting", `${count(board.lanes.reduce((n, lane) => n + lane.waiting, 0))} in ${count(board.waiting_lanes)} lane${board.waiting_lanes === 1 ? "" : "s"}`, board.lanes.length ? list(board.lanes.slice(0, 8).map(laneRow)) : h("p", { class: "soft" }, "nobody waits")),
      ended.some(Boolean) && section("Jobs a minute", `${count(ended.reduce((a, b) => a + b, 0))} in the last hour`, chart(`jobs that ended in each of the last ${ended.length} minutes, at most ${Math.max(...ended)}`, [["f-accent", ended], ["f-bad", series.map((one) => one.failed)]], true)),
      ended.some(Boolean) && section("Seconds a job", "median, and 95 of 100", chart("seconds from start to end by the minute", [["l-accent", series.map((one) => one.p50)], ["l-soft", series.map((one) => one.p95)]], false), lastTimes(series)),
      section("Spaces", count(spaces.length), spaces.length ? [list(spaces.sort((a, b) => order(a) - order(b)).slice(0, most).map((one) => spaceRow(one, busy))), spaces.length > most && h("p", { class: "soft" }, `${count(spaces.length - most)} more: type a part of a name above`)]
        : [h("p", { class: "soft" }, "no Space is known yet; this finds some"), h("pre", null, "spacedock spaces recommend \"describe a picture\"")]),
      board.hosts.length > 1 && section("Hosts", null, list(board.hosts.map(hostRow))),
      board.hosts.length === 1 && section("This host", null, list(board.hosts.map(hostRow)))));
}
function minutes({ minutes: rows, now: then }) {
  const byMinute = new Map(rows.map((one) => [Math.floor(one.at / 60), one])), last = Math.floor(then / 60);
  return Array.from({ length: 60 }, (_, i) => byMinute.get(last - 59 + i) ?? { succeeded: 0, failed: 0, degraded: 0, p50: null, p95: null });
}
const lastTimes = (series) => { const last = series.findLast((one) => one.p50 !== null); return h("p", { class: "soft" }, last && `last: ${span(last.p50)} and ${span(last.p95)}`); };

const looking = () => state.detail?.wrong ? h("p", { role: "alert" }, tone("bad", plain(state.detail.wrong))) : h("p", { class: "soft" }, "looking");
/** The attempts one after the other, each as long as it took. */
function timeline(attempts) {
  const all = attempts.reduce((sum, step) => sum + step.seconds, 0);
  let before = 0;
  return h("ol", { class: "line" }, attempts.map((step) => {
    const kind = step.error ? step.error.kind === "skipped" ? ["wait", "skipped"] : ["bad", step.error.kind.replaceAll("_", " ")] : ["good", "answered"];
    const row = h("li", null, tone(...kind), " ", own(step.name), ` at ${step.stage}, ${span(step.seconds)}`, step.seconds > 0 && bar("thin", `${span(step.seconds)} of ${span(all)}`, [[before, "f-none"], [step.seconds, `f-${kind[0]}`]], all), step.error && h("p", { class: "answer soft" }, words(step.error.message)));
    before += step.seconds;
    return row;
  }));
}

/** A step of a pipeline's run, with how many of its jobs have ended. */
const stepRow = (id) => (step) => h("li", { class: "row part", "data-key": step.name },
  step.total ? h("a", { class: "main", href: at("jobs", `${id}-${step.number}-0`), "data-row": true }, own(step.name, 24)) : own(step.name, 24), tone(step.state),
  h("span", { class: "soft cut" }, own(step.target, 32), step.total > 1 && ` ${count(step.ended)} of ${count(step.total)}`, step.failed > 0 && `, ${count(step.failed)} failed`, step.cancelled > 0 && `, ${count(step.cancelled)} cancelled`, step.message && ` ${plain(step.message)}`));

function jobView(id) {
  const { status, run, result } = state.detail ?? {}, parent = /^(.+)-\d+-\d+$/.exec(id)?.[1];
  if (!status) return looking();
  const job = [...state.running, ...state.board.recent].find((one) => one.id === id) ?? {}, over = !["queued", "running"].includes(status.state);
  const output = result?.output, hidden = result?.privacy;
  return h("div", { class: "big" }, h("h1", null, run ? [own(status.pipeline), " "] : "Job ", h("code", null, plain(id))),
    h("p", null, tone(result?.degraded ? "degraded" : status.state), " ", status.state === "queued" ? plain(status.waits_for) : over ? "" : plain(status.message)),
    h("div", { class: "buttons" }, !over && button("cancel", id, "Cancel this job"), ["failed", "dead", "cancelled"].includes(status.state) && button("retry", id, "Retry this job"),
      parent && h("a", { href: at("jobs", parent) }, "Its pipeline's run"), job.space && !run && h("a", { href: at("spaces", job.space) }, "Its Space: ", own(job.space)), job.batch && h("a", { href: at("batches", job.batch) }, "Its batch: ", own(labelOf(job.batch)))),
    h("p", { class: "soft" }, "submitted ", ago(status.submitted, now()), !over && job.since && `, runs for ${span(now() - job.since)}, at ${job.stage ?? "its beginning"}`),
    hidden && h("p", { class: "soft" }, "a private job: ", h("code", null, `spacedock result ${id}`), " shows its answer once"),
    run && section("Steps", count(run.steps.length), h("ul", { class: "rows" }, run.steps.map(stepRow(id)))),
    result && !hidden && section("Answer", result.answered_by && plain(`${result.answered_by.name}${result.answered_by.endpoint ? ` ${result.answered_by.endpoint}` : ""}`),
      result.error && h("p", { class: "own" }, words(result.error.message)),
      output.files.length > 0 && h("div", { class: "pictures" }, output.files.slice(0, 50).map((ref) => file(ref))),
      table(output.data, 50) ?? (output.text ? h("pre", { tabindex: 0 }, plain(output.text.slice(0, 1e5)), output.text.length > 1e5 && `\n\u2026 ${count(output.text.length - 1e5)} more characters: spacedock result ${id}`) : null)),
    result && section("What was tried", `${span(result.timings.queued)} in the queue, ${span(result.timings.total)} in all`, timeline(result.attempts)));
}

const ORDER = ["dead", "failed", "queued", "running", "cancelled", "succeeded"];
function batchView(id) {
  const { batch, jobs: rows } = state.detail ?? {};
  if (!batch) return looking();
  const failed = batch.counts.failed + batch.counts.dead + batch.counts.cancelled;
  return h("div", null, h("h1", null, "Batch ", own(batch.label || batch.id, 80)),
    h("ul", { class: "rows solo" }, batchRow(batch, state.board.failures.filter((group) => group.batch === batch.id))),
    h("div", { class: "buttons" }, failed > 0 && button("retry-batch", batch.id, `Retry all ${count(failed)} without an answer`)),
    section("Its newest jobs", count(rows.length), h("ul", { class: "rows" }, [...rows].sort((a, b) => ORDER.indexOf(a.state) - ORDER.indexOf(b.state)).map((job) => h("li", { class: "row part", "data-key": job.id }, h("a", { class: "main", href: at("jobs", job.id), "data-row": true }, own(job.id, 16)), tone(job.state), h("span", { class: "soft cut" }, plain(job.message).slice(0, 80)))))));
}

function spaceView(name) {
  const entry = state.spaces[name] ?? {}, profile = state.profiles[name], image = profile?.images[0], checks = state.detail?.checks;
  return h("div", null, h("h1", null, own(name, 80)), h("p", null, spaceState(name, entry, new Set(state.board.running.map((job) => job.space))), h("span", { class: "soft" }, ` ${plain(entry.input_type ?? "")} \u2192 ${plain(entry.output_type ?? "")}`)),
    h("p", { class: "own" }, plain(entry.description ?? "")), entry.here?.reason && h("p", { class: "own" }, plain(entry.here.reason)),
    h("div", { class: "buttons" }, button("pull", name, state.pulling.has(name) ? "Getting its image \u2026" : "Get its image", { disabled: state.pulling.has(name) }), button("validate", name, "Check whether it works")),
    checks && section("Check", plain(checks.reason), h("ol", { class: "line" }, checks.checks.map((one) => h("li", null, tone({ ok: "good", bad: "bad" }[one.status] ?? "wait", plain(one.name)), " ", h("span", { class: "soft" }, plain(one.reason), " ", plain(one.advice)))))),
    image && section("Profile", null, h("p", null, `${count(image.runs)} run${image.runs === 1 ? "" : "s"}, ${Math.round(100 * image.success_rate)} of 100 answered; a call takes ${span(image.call_p50) || "?"} (95 of 100: ${span(image.call_p95) || "?"}), a start ${span(image.start_p50) || "?"}; at most ${image.peak_memory ? size(image.peak_memory) : "?"} of ${size(image.memory_limit)}`),
      profile.advice.map((line) => h("p", { class: "soft" }, plain(line)))),
    h("div", { "data-key": "try", "data-still": name, id: "try" }));
}

/* -- what is fetched, and when -- */
const VIEWS = { jobs: jobView, batches: batchView, spaces: spaceView };
function place() { try { return location.hash.replace(/^#\/?/, "").split("/").map(decodeURIComponent); } catch { return [""]; } }
const DETAIL = {
  async jobs(id) { const status = await ask("GET", `/jobs/${id}`), over = !["queued", "running"].includes(status.state); return { status, run: status.pipeline && await ask("GET", `/pipelines/runs/${id}`), result: over ? await ask("GET", `/jobs/${id}/result?keep=true`) : null }; },
  async batches(id) { return { batch: await ask("GET", `/batches/${id}`), jobs: await ask("GET", `/jobs?batch=${id}&limit=200`) }; },
};

function draw() {
  if (!state.board) return;
  const [kind, id] = place();
  tell(state.board);
  become(main, h("main", null, (VIEWS[kind] ?? home)(id)));
  develop(main);
}

function keepPlaces(next) {
  const over = new Map(next.recent.map((job) => [job.id, job.degraded ? "degraded" : job.state])), there = new Map(next.running.map((job) => [job.id, job]));
  const kept = state.running.map((old) => there.get(old.id) ?? { ...old, over: old.over ?? over.get(old.id) ?? "ended", until: old.until ?? Date.now() + LINGER }).filter((job) => !job.over || job.until > Date.now());
  const known = new Set(kept.map((job) => job.id));
  return [...kept, ...next.running.filter((job) => !known.has(job.id))].slice(0, 100);
}

async function look() {
  const [kind, id] = place(), mine = location.hash;
  try {
    const board = await ask("GET", "/board"), detail = DETAIL[kind] ? await DETAIL[kind](id).catch((error) => ({ wrong: error.message })) : null;
    state.shift = board.now - Date.now() / 1000;
    state.running = keepPlaces(board);
    state.board = board;
    state.away = null;
    if (detail && mine === location.hash) state.detail = detail;
    draw();
    follow(board.event);
  } catch (error) { trouble(error); }
}
async function lookWider() {
  const into = (name) => (value) => { state[name] = value; };
  await Promise.allSettled([ask("GET", "/spaces?status=true").then(into("spaces")), ask("GET", "/spaces/profiles").then(into("profiles")), ask("GET", "/tiers").then(into("tiers"))]);
  draw();
}
function trouble(error) {
  if (error.status === 401) {
    source?.close();
    state.board = null;
    live.textContent = "";
    become(verdict, h("p", null, tone("warn", "this browser is not let in (any more)")));
    become(main, h("main", null, h("p", null, "On the host of the daemon, this opens the page: ", h("code", null, "spacedock page"))));
  } else if (error.status && error.status < 500) say(error.message);
  else {
    state.away = error.status ? error.message : "the daemon does not answer";
    if (state.board) draw(); else become(verdict, h("p", null, tone("bad", plain(state.away)), " ", h("code", null, "spacedock doctor")));
  }
}

let source = null, due = null;
function soon() { due ??= setTimeout(() => { due = null; look(); }, 700); }
function follow(after) {
  if (source && source.readyState !== EventSource.CLOSED) return;
  source = new EventSource(`/events?after=${after}`);
  source.onopen = () => { live.textContent = "live"; };
  source.onerror = () => { live.textContent = "connecting"; };
  source.addEventListener("job", (told) => {
    const event = JSON.parse(told.data), row = state.running.find((job) => job.id === event.job_id);
    if (row && !event.state) { Object.assign(row, { stage: event.stage, name: event.name, message: event.message }); draw(); }
    soon();
  });
  source.addEventListener("missed", soon);
}

/* -- what can be done -- */
function say(text) { const said = document.getElementById("said"); said.textContent = plain(text); clearTimeout(say.timer); say.timer = setTimeout(() => { said.textContent = ""; }, 8000); }
function sure(question) {
  const dialog = document.getElementById("ask");
  document.getElementById("ask-what").textContent = question;
  dialog.returnValue = "no";
  dialog.showModal();
  return new Promise((done) => dialog.addEventListener("close", () => done(dialog.returnValue === "yes"), { once: true }));
}
const DO = {
  async cancel(id) { if (!(await sure("Cancel this job? What computes it is stopped."))) return; const { state: then } = await ask("DELETE", `/jobs/${id}`); say(then === "running" ? "its worker was told to stop it" : `the job is ${then}`); },
  async "cancel-batch"(id) { if (!(await sure("Cancel all jobs of this batch that have not ended?"))) return; await ask("DELETE", `/batches/${id}`); say("the batch is cancelled"); },
  async retry(ids) { const all = ids.split(" "); let last; for (const id of all) last = await ask("POST", `/jobs/${id}/retry`); say(`${jobs(all.length)} submitted again`); if (all.length === 1 && place()[0] === "jobs") location.hash = at("jobs", last.id); },
  async "retry-batch"(id) { const ids = await ask("POST", `/batches/${id}/retry`); say(`${jobs(ids.length)} submitted again`); },
  async pause(id) { const host = await ask("POST", `/hosts/${encodeURIComponent(id)}/pause`); say(`${host.name} takes no more jobs`); },
  async resume(id) { const host = await ask("POST", `/hosts/${encodeURIComponent(id)}/resume`); say(`${host.name} takes jobs again`); },
  async validate(name) { say(`${name} is being checked`); state.detail = { checks: await ask("POST", `/spaces/${name}/validate`) }; say(`${name} ${state.detail.checks.works ? "can run here" : "was checked"}`); },
  async pull(name) { state.pulling.add(name); draw(); try { const got = await ask("POST", `/spaces/${name}/pull`); say(`${got.image} is here, after ${span(got.seconds)}`); } finally { state.pulling.delete(name); } },
  async copy(text) { await navigator.clipboard.writeText(text); say("copied"); },
  theme() { const dark = matchMedia("(prefers-color-scheme:dark)").matches, root = document.documentElement, was = root.dataset.theme ?? (dark ? "dark" : "light"); root.dataset.theme = was === "dark" ? "light" : "dark"; localStorage.setItem("theme", root.dataset.theme); },
  keys() { document.getElementById("keys").showModal(); },
};
document.addEventListener("click", async (event) => {
  const pressed = event.target.closest("[data-do]");
  if (!pressed) return;
  try { await DO[pressed.dataset.do](pressed.dataset.id); } catch (error) { trouble(error); }
  if (!["theme", "keys", "copy"].includes(pressed.dataset.do)) look();
});

const find = document.querySelector("#find input");
find.addEventListener("input", () => { state.find = find.value.trim().toLowerCase(); if (place()[0]) location.hash = "#/"; else draw(); });
document.getElementById("find").addEventListener("submit", (event) => {
  event.preventDefault();
  const first = main.querySelector("[data-row]");
  location.hash = /^[0-9a-f]{32}$/.test(state.find) ? at("jobs", state.find) : first ? first.getAttribute("href") : at("spaces", find.value.trim());
});
const MOVES = { j: 1, k: -1 };
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]") || event.target.closest("input,textarea,select")) return;
  const rows = [...main.querySelectorAll("[data-row]")], here = rows.indexOf(document.activeElement);
  if (event.key === "/") { event.preventDefault(); find.focus(); }
  else if (MOVES[event.key]) rows[Math.max(0, Math.min(rows.length - 1, here + MOVES[event.key]))]?.focus();
  else if (event.key === "?") DO.keys();
  else if (event.key === "h") location.hash = "#/";
  else if (event.key === "c") { const id = document.activeElement.closest("[data-cancel]")?.dataset.cancel ?? (place()[0] === "jobs" ? place()[1] : null); if (id) DO.cancel(id).catch(trouble).then(look); }
});

async function arrive() {
  const [kind, id] = place();
  state.detail = null;
  draw();
  if (document.activeElement !== find) main.focus({ preventScroll: true });
  scrollTo(0, 0);
  if (kind === "spaces") offer(document.getElementById("try"), id, (job) => { location.hash = at("jobs", job.id); }, trouble);
  await look();
}
if (localStorage.getItem("theme")) document.documentElement.dataset.theme = localStorage.getItem("theme");
addEventListener("hashchange", arrive);
await look();
await lookWider();
if (place()[0]) await arrive();
setInterval(() => { if (!document.hidden) draw(); }, 1000);
setInterval(() => { if (!document.hidden) soon(); }, 5000);
setInterval(() => { if (!document.hidden) lookWider(); }, 10000);
