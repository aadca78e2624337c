// Keeps the server-rendered page up to date: the figures once a second from the
// JSON of the same document, the events from a stream. Elements stay; only text
// and attributes that changed are written. Formatting is that of format.go,
// notes.go, view.go and event.go, to the same text.
(() => {
"use strict";
const PERIOD = 1000, PATIENCE = 4000, STALE = 5000, MAX_EVENTS = 50, MAX_NAMES = 6;
const SPAN = 240, STEP = 2, GAP = 15, WIDTH = 240, HEIGHT = 40; // seconds, and units of the graph
const $ = (id) => document.getElementById(id);
const ask = (url) => fetch(url, { cache: "no-store", headers: { Accept: "application/json" }, signal: AbortSignal.timeout(PATIENCE) });

// ---- numbers (format.go) ----
const thin = "\u202f", nbsp = "\u00a0", none = "–";
const group = (digits) => digits.replace(/\B(?=(\d{3})+$)/g, thin);
function fixed(x, decimals) {
  if (Number.isNaN(x)) return none;
  if (x < 0) return "-" + fixed(-x, decimals);
  if (x >= 1e12) return ">" + nbsp + group("1000000000000");
  const digits = String(Math.floor(x * 10 ** decimals + 0.5)).padStart(decimals + 1, "0");
  if (!decimals) return group(digits);
  const point = digits.length - decimals;
  return group(digits.slice(0, point)) + "." + digits.slice(point);
}
function trimmed(x, decimals) {
  const text = fixed(x, decimals);
  return text.includes(".") ? text.replace(/\.?0+$/, "") : text;
}
const count = (n) => fixed(n, 0);
function perSecond(x) {
  if (x === 0) return "0/s";
  if (x < 0.01 && x > 0) return "<" + nbsp + "0.01/s";
  return fixed(x, x < 9.995 ? 2 : x < 9999.95 ? 1 : 0) + "/s";
}
function limitRate(x) {
  if (x === 0 || x >= 1) return trimmed(x, 3) + "/s";
  if (x * 60 >= 0.999) return trimmed(x * 60, 2) + "/min";
  if (x * 3600 >= 0.999) return trimmed(x * 3600, 2) + "/h";
  return trimmed(x * 86400, 2) + "/day";
}
function percent(x) {
  if (x === 0 || x === 1) return fixed(x * 100, 0) + nbsp + "%";
  if (x > 0 && x < 0.001) return "<" + nbsp + "0.1" + nbsp + "%";
  return fixed(Math.floor(x * 1000 + 1e-6) / 10, 1) + nbsp + "%";
}
function millis(ms) {
  if (!(ms > 0)) return none;
  if (ms < 9.95) return fixed(ms, 1) + nbsp + "ms";
  if (ms < 999.5) return fixed(ms, 0) + nbsp + "ms";
  return fixed(ms / 1000, ms < 9950 ? 1 : 0) + nbsp + "s";
}
function size(x) {
  if (x < 1024) return fixed(x, 0) + nbsp + "B";
  let unit = 0;
  for (x /= 1024; x >= 1023.5 && unit < 4; unit++) x /= 1024;
  return fixed(x, x < 99.95 ? 1 : 0) + nbsp + ["KiB", "MiB", "GiB", "TiB", "PiB"][unit];
}
function span(ms) {
  const s = Math.max(ms, 0) / 1000;
  if (s < 10) return fixed(Math.floor(s * 10) / 10, 1) + nbsp + "s";
  if (s < 60) return fixed(Math.floor(s), 0) + nbsp + "s";
  if (s < 3600) return fixed(Math.floor(s / 60), 0) + nbsp + "min";
  if (s < 2 * 86400) return fixed(Math.floor(s / 3600), 0) + nbsp + "h";
  return fixed(Math.floor(s / 86400), 0) + nbsp + "d";
}
const wholeSpan = (ms) => ms < 10000 ? Math.floor(Math.max(ms, 0) / 1000) + nbsp + "s" : span(ms);
const ago = (now, then) => wholeSpan(now - then) + " ago";
const until = (now, then) => then > now ? "in " + wholeSpan(then - now) : "now";
const plural = (n, noun) => n === 1 ? "1 " + noun : count(n) + " " + noun + "s";
const words = (name) => name.replaceAll("_", " ");
// Go's zero time is before 1970; milliseconds of the clock, 0 for none.
const millisOf = (text) => Math.max(Date.parse(text || "") || 0, 0);
const stamp = (ms) => ms ? new Date(ms).toISOString().slice(0, 19) + "Z" : "";
const clock = (ms) => ms ? stamp(ms).slice(11, 19) : none;

// ---- elements ----
const fieldsOf = new WeakMap();
function fields(root) {
  let found = fieldsOf.get(root);
  if (!found) {
    found = {};
    for (const e of root.querySelectorAll("[data-f]")) found[e.dataset.f] = e;
    fieldsOf.set(root, found);
  }
  return found;
}
const written = new WeakMap(); // what an element's text is
function text(e, value) {
  if (written.get(e) === value) return;
  written.set(e, value);
  if (e.textContent !== value) e.textContent = value;
}
function attr(e, name, value) {
  if (e.getAttribute(name) !== value) e.setAttribute(name, value);
}
function fill(root, values) {
  const f = fields(root);
  for (const name in values) text(f[name], values[name]);
  return f;
}
const clone = (name) => $("t-" + name).content.firstElementChild.cloneNode(true);
const rowsOf = new WeakMap();
// sync makes the children of list one for each item, in order, and keeps those
// that are there.
function sync(list, template, items, key, show) {
  let rows = rowsOf.get(list);
  if (!rows) rowsOf.set(list, rows = new Map([...list.children].map((e) => [e.dataset.key, e])));
  const wanted = new Set(items.map(key));
  for (const [k, e] of rows) if (!wanted.has(k)) { e.remove(); rows.delete(k); }
  let at = list.firstElementChild;
  for (const item of items) {
    const k = key(item);
    let e = rows.get(k);
    if (!e) { e = clone(template); e.dataset.key = k; rows.set(k, e); }
    show(e, item);
    if (e === at) at = at.nextElementSibling; else list.insertBefore(e, at);
  }
}

// ---- what is wrong (notes.go) ----
function notesOf(doc, providers) {
  const found = [];
  const add = (level, what, who) => {
    if (!who.length) return;
    const more = who.length > MAX_NAMES ? " and " + count(who.length - MAX_NAMES) + " more" : "";
    found.push({ level, what, who: who.slice(0, MAX_NAMES).join(", ") + more });
  };
  const named = (match) => providers.filter(([, p]) => match(p)).map(([name]) => name);
  const nodes = (match) => doc.nodes.filter(match).map((n) => n.id);
  const here = (n) => n.state !== "gone";
  const limits = [["global", doc.limits.global], ["per_ip", doc.limits.per_ip], ...providers.map(([name, p]) => [name, p.limit])];

  if (!doc.nodes.length) found.push({ level: "bad", what: "No node has joined", who: "" });
  add("bad", "Breaker open", named((p) => p.state === "open"));
  add("bad", "Credential missing", named((p) => p.credential === "missing"));
  add("bad", "Node gone", nodes((n) => !here(n) && !n.left));
  add("bad", "Refusing limited traffic, no lease", nodes((n) => here(n) && n.mode === "closed"));
  add("warn", "Over the limit", limits.filter(([, l]) => l && l.rejected_per_second > 0).map(([name]) => name));
  add("warn", "Breaker half open", named((p) => p.state === "half_open"));
  add("warn", "Breaker held closed", named((p) => p.breaker.forced && p.breaker.forced.state === "closed"));
  add("warn", "Node silent", nodes((n) => n.state === "suspect"));
  add("warn", "Node draining", nodes((n) => n.state === "draining"));
  add("warn", "Holding its last share, does not hear the leader", nodes((n) => here(n) && n.mode === "holding"));
  add("warn", "Not on revision " + doc.config.revision, nodes((n) => here(n) && n.revision !== doc.config.revision));
  return found;
}
function headlineOf(notes) {
  if (!notes.length) return ["ok", "Everything works"];
  const level = notes.some((n) => n.level === "bad") ? "bad" : "warn";
  return [level, notes.length === 1 ? "1 thing needs attention" : count(notes.length) + " things need attention"];
}

// ---- the document (view.go) ----
function showSummary(doc, now, providers) {
  const here = doc.nodes.filter((n) => n.state !== "gone");
  const sum = (list) => list.reduce((a, b) => a + b, 0);
  const limits = [doc.limits.global, doc.limits.per_ip, ...providers.map(([, p]) => p.limit)];
  const changed = millisOf(doc.config.updated_at);
  const f = fill($("summary"), {
    requests: perSecond(sum(here.map((n) => n.requests_per_second))),
    inflight: count(sum(here.map((n) => n.in_flight))),
    refused: perSecond(sum(limits.filter(Boolean).map((l) => l.rejected_per_second))),
    live: count(here.filter((n) => n.state === "live").length),
    nodes: "of " + plural(doc.nodes.length, "node"),
    revision: String(doc.config.revision),
    running: "on " + count(here.filter((n) => n.revision === doc.config.revision).length) + " of " + plural(here.length, "node"),
    author: doc.config.author || none,
    changed: changed ? ago(now, changed) : "",
  });
  attr(f.changed, "datetime", stamp(changed));
  attr(f.changed, "title", stamp(changed));
}
function showLimit(root, l) {
  const f = fields(root);
  f.measured.hidden = !l;
  if (!l) {
    attr(f.limit, "data-level", "ok");
    text(f.used, "unlimited");
    return;
  }
  attr(f.limit, "data-level", l.rejected_per_second > 0 ? "bad" : l.utilisation >= 0.8 ? "warn" : "ok");
  attr(f.fill, "width", short(Math.min(Math.max(l.utilisation, 0), 1) * 100));
  fill(root, {
    used: perSecond(l.admitted_per_second) + " of " + limitRate(l.rate),
    percent: percent(l.utilisation),
    rejected: perSecond(l.rejected_per_second),
    tokens: count(l.available),
    burst: "of " + count(l.burst) + " burst",
    overshoot: "≤" + nbsp + trimmed(l.overshoot_bound, 1),
  });
}
function breakerDetail(now, p) {
  const b = p.breaker, opened = millisOf(b.opened_at), retry = millisOf(b.retry_at), parts = [];
  if (p.state === "closed" && p.failures > 0) return plural(p.failures, "failure") + " in a row";
  if (p.state !== "open" && p.state !== "half_open") return "";
  if (b.opened_at) parts.push("Opened " + ago(now, opened));
  if (p.state === "open" && b.retry_at && !b.forced) parts.push("next try " + until(now, retry));
  if (p.state === "half_open") parts.push("trying again");
  return parts.join(", ");
}
function holdText(now, f) {
  if (!f) return "";
  const end = millisOf(f.until);
  return "Held " + words(f.state) + " by " + (f.author || "unknown") + (end ? ", ends " + until(now, end) : "") + (f.reason ? ": " + f.reason : "");
}
const entries = (c) => (c.entries === 1 ? "1 entry" : count(c.entries) + " entries") + (c.evictions ? ", " + count(c.evictions) + " evicted" : "");
function showProvider(card, name, p, now) {
  const f = fill(card, {
    name,
    state: words(p.state),
    detail: breakerDetail(now, p),
    hold: holdText(now, p.breaker.forced),
    requests: perSecond(p.requests_per_second),
    success: percent(p.success_ratio),
    avg: millis(p.latency_ms.avg), p50: millis(p.latency_ms.p50), p95: millis(p.latency_ms.p95), p99: millis(p.latency_ms.p99),
    retries: perSecond(p.retries_per_second),
    hits: percent(p.cache.hit_ratio),
    bytes: size(p.cache.bytes),
    entries: entries(p.cache),
    credential: p.credential || "unknown",
  });
  attr(f.state, "data-state", p.state);
  attr(f.credential, "data-level", p.credential === "missing" ? "bad" : "ok");
  showLimit(card, p.limit);
  remember(f, now, p);
}
function showNode(row, n, current) {
  const here = n.state !== "gone";
  const f = fill(row, {
    id: n.id, state: n.state, address: n.address, version: n.version, mode: n.mode,
    revision: String(n.revision),
    requests: here ? perSecond(n.requests_per_second) : none,
    inflight: here ? count(n.in_flight) : none,
    cache: here ? size(n.cache.bytes) : none,
    seen: span(n.last_seen_ms) + " ago",
  });
  attr(f.id, "title", n.incarnation);
  attr(f.cache, "title", here ? percent(n.cache.hit_ratio) + " hits, " + entries(n.cache) : "");
  attr(f.state, "data-state", n.state);
  attr(f.revision, "data-level", here && n.revision !== current ? "warn" : "ok");
  attr(f.mode, "data-level", !here ? "ok" : n.mode === "holding" ? "warn" : n.mode === "closed" ? "bad" : "ok");
}

// ---- graphs (history.go) ----
const short = (x) => String(Math.round(x * 10) / 10);
const samplesOf = new WeakMap(); // graph -> [seconds, requests, rejected, how many were averaged]
function remember(f, now, p) {
  const graph = f.spark, at = now / 1000;
  let samples = samplesOf.get(graph);
  if (!samples) {
    samples = [];
    for (const item of (graph.dataset.history || "").split(" ")) {
      const [before, requests, rejected] = item.split(":").map(Number);
      if (rejected >= 0) samples.push([at - before, requests, rejected, 1]);
    }
    samplesOf.set(graph, samples);
  }
  const requests = p.requests_per_second, rejected = p.limit ? p.limit.rejected_per_second : 0;
  const last = samples.at(-1);
  if (last && at >= last[0] && at - last[0] < STEP) {
    const n = last[3]++;
    last[1] = (last[1] * n + requests) / (n + 1);
    last[2] = (last[2] * n + rejected) / (n + 1);
  } else {
    samples.push([at, requests, rejected, 1]);
  }
  while (samples[0][0] < at - SPAN || samples[0][0] > at) samples.shift();
  draw(f, samples, at);
}
function draw(f, samples, now) {
  let peak = 1, line = "", refused = "", area = "";
  for (const s of samples) peak = Math.max(peak, s[1], s[2]);
  const y = (v) => short(HEIGHT - 1 - v / peak * (HEIGHT - 2));
  for (let i = 0; i < samples.length; i++) {
    const [t, requests, rejected] = samples[i], x = short(WIDTH - (now - t));
    const next = i > 0 && t - samples[i - 1][0] <= GAP;
    line += (next ? "L" : "M") + x + " " + y(requests);
    const before = next ? samples[i - 1] : [0, 0, 0];
    if (rejected > 0 || before[2] > 0) {
      if (next && before[2] === 0) refused += "M" + short(WIDTH - (now - before[0])) + " " + y(0);
      refused += (next ? "L" : "M") + x + " " + y(rejected);
    }
    area += (next ? "" : "M" + x + " " + HEIGHT) + "L" + x + " " + y(requests);
    if (i === samples.length - 1 || samples[i + 1][0] - t > GAP) area += "V" + HEIGHT + "Z";
  }
  const [a, l, r] = f.spark.children;
  attr(a, "d", area);
  attr(l, "d", line);
  attr(r, "d", refused);
  text(f.peak, "peak " + perSecond(peak) + ", 4 min");
}

let shown = null; // the document on the page
function show(doc) {
  doc.nodes ||= [];
  const now = millisOf(doc.generated_at);
  const providers = Object.entries(doc.providers || {}).sort(([a], [b]) => a < b ? -1 : 1);
  const notes = notesOf(doc, providers), [level, headline] = headlineOf(notes);
  shown = doc;
  text($("headline"), headline);
  attr($("headline"), "data-level", level);
  document.title = headline + " · API Proxy";
  sync($("notes"), "note", notes, (n) => n.what, (e, n) => {
    attr(e, "data-level", n.level);
    text(e.children[0], n.what);
    text(e.children[1], n.who);
  });
  text($("updated"), clock(now));
  attr($("updated"), "datetime", stamp(now));
  showSummary(doc, now, providers);
  sync($("providers"), "provider", providers, ([name]) => name, (e, [name, p]) => showProvider(e, name, p, now));
  for (const e of $("limits").children) showLimit(e, doc.limits[e.dataset.key]);
  sync($("nodes"), "node", doc.nodes, (n) => n.id, (e, n) => showNode(e, n, doc.config.revision));
  text($("node-count"), plural(doc.nodes.length, "node"));
}

// ---- once a second ----
let newest = 0, changedAt = Date.now(); // generated_at of the newest document, and when it came
let trouble = ""; // why the page is not live
async function load() {
  try {
    const answer = await ask("status?format=json");
    if (answer.ok) return await answer.json();
    trouble = "The controller does not answer as it should (status " + answer.status + ")";
  } catch {
    trouble = "The controller does not answer";
  }
  return null;
}
async function poll() {
  const doc = await load();
  if (doc) {
    const at = millisOf(doc.generated_at);
    if (at !== newest) { newest = at; changedAt = Date.now(); }
    trouble = Date.now() - changedAt > STALE ? "The controller answers with old figures" : "";
    try {
      show(doc);
    } catch (e) { // a controller of another version
      trouble = "This page does not understand the controller any more; reload it";
      console.error(e);
    }
  }
  freshness();
  setTimeout(poll, document.hidden ? 5 * PERIOD : PERIOD);
}
function freshness() {
  document.body.classList.toggle("stale", !!trouble);
  text($("pulse"), trouble ? "not live" : "live");
  attr($("pulse"), "data-state", trouble ? "lost" : "live");
  $("banner").hidden = !trouble;
  if (!trouble) return;
  text($("trouble"), trouble + ".");
  text($("age"), "What you see is from " + $("updated").textContent + " UTC, " + wholeSpan(Date.now() - changedAt) + " old. Trying again.");
  const headline = $("headline"), known = "Last known: ";
  if (!headline.textContent.startsWith(known)) text(headline, known + headline.textContent);
  document.title = "Not live · API Proxy";
}

// ---- events (event.go) ----
function eventValue(v) {
  if (v === null || v === undefined) return "";
  if (typeof v === "boolean") return v ? "yes" : "no";
  if (Array.isArray(v)) return v.map(eventValue).join(" ");
  return typeof v === "object" ? "…" : String(v);
}
function eventText(data) {
  const parts = [], rest = new Map(Object.entries(data));
  const take = (name) => { const t = eventValue(rest.get(name)); rest.delete(name); return t; };
  rest.delete("time");
  for (const name of ["provider", "node", "id", "limit"]) parts.push(take(name));
  const from = words(take("from")), to = words(take("to"));
  parts.push(from && to ? from + " → " + to : to || from && "from " + from);
  parts.push(words(take("state")));
  for (const name of ["revision", ...[...rest.keys()].sort()]) { const t = take(name); parts.push(t && words(name) + " " + t); }
  return parts.filter(Boolean).join(", ");
}
function eventLevel(name, data) {
  const state = typeof data.to === "string" ? data.to : data.state;
  if (name === "breaker" && state === "open") return "bad";
  return name === "breaker" && state === "half_open" || name === "node_left" || name === "limit_exhausted" ? "warn" : "ok";
}
function addEvent(message) {
  const list = $("events"), key = message.lastEventId || message.type + " " + message.data;
  for (const e of list.children) if (e.dataset.key === key) return;
  let data;
  try { data = Object(JSON.parse(message.data)); } catch { data = {}; }
  const e = clone("event"), [time, kind, words_] = e.children, at = millisOf(data.time);
  e.dataset.key = key;
  e.dataset.level = eventLevel(message.type, data);
  time.textContent = clock(at);
  time.dateTime = time.title = stamp(at);
  kind.textContent = words(message.type).replace(/^./, (c) => c.toUpperCase());
  words_.textContent = eventText(data);
  list.prepend(e);
  while (list.children.length > MAX_EVENTS) list.lastElementChild.remove();
  $("no-events").hidden = true;
}
// Behind a balancer a node may answer instead of the API: its health names it.
// That, or a 404, settles it; an outage ends some time.
async function findAPI() {
  const health = await ask("health").then((a) => a.json()).catch(() => null);
  const status = health?.node ? 404 : await ask("api/v1/limits").then((a) => a.status, () => 0);
  if (status === 200) listen();
  else if (status < 400 || status >= 500) setTimeout(findAPI, 5000);
  else {
    document.body.classList.add("elsewhere");
    $("elsewhere").hidden = false;
  }
}
function listen() {
  const stream = new EventSource("api/v1/events"), state = $("stream");
  for (const name of ["breaker", "config_published", "config_applied", "node_joined", "node_left", "limit_exhausted"])
    stream.addEventListener(name, addEvent);
  stream.onopen = () => text(state, "live");
  stream.onerror = () => {
    text(state, "reconnecting");
    // After an answer that is no stream the browser gives up; an outage ends some time.
    if (stream.readyState === EventSource.CLOSED) setTimeout(listen, 5000);
  };
}

// ---- changes ----
let memory = ""; // the token, where the browser has no session storage
const token = {
  get() { try { return sessionStorage.getItem("admin-token") || ""; } catch { return memory; } },
  set(value) { memory = value; try { value ? sessionStorage.setItem("admin-token", value) : sessionStorage.removeItem("admin-token"); } catch { /* memory serves */ } },
};
let author = "";
function say(form, level, ...lines) {
  const box = form.querySelector(".result");
  box.dataset.level = level;
  box.replaceChildren(...lines.filter(Boolean).map((line) => {
    const p = document.createElement("p");
    p.textContent = line;
    return p;
  }));
}
function open(dialog, title, subject) {
  const form = dialog.querySelector("form");
  form.reset();
  for (const e of form.querySelectorAll("label[hidden]")) e.hidden = false;
  form.dataset.subject = subject;
  say(form, "ok");
  dialog.querySelector("h2").textContent = title;
  form.elements.token.value = token.get();
  form.elements.author.value = author;
  dialog.showModal();
  return form;
}
async function openLimit(name, path, shownLimit) {
  const form = open($("limit-dialog"), "Limit of " + name, path), { rate, burst } = form.elements;
  rate.value = shownLimit ? String(shownLimit.rate) : "";
  burst.value = shownLimit ? String(shownLimit.burst) : "";
  rate.select();
  const before = rate.value + " " + burst.value;
  try { // as it was written: "5/m" rather than 0.08333
    const answer = await ask("api/v1/limits");
    const all = await answer.json();
    const l = path.startsWith("per_provider/") ? (all.per_provider || {})[name] : all[name];
    if (answer.ok && l && form.dataset.subject === path && rate.value + " " + burst.value === before) {
      rate.value = String(l.rate);
      burst.value = String(l.burst);
      rate.select();
    }
  } catch { /* the figures above serve */ }
}
// send makes one change and tells how it ended; the answer's body, or null.
async function send(form, method, url, body, headers) {
  const { token: secret, author: who } = form.elements;
  const odd = [["token", secret.value], ["name", who.value], ["reason", headers["X-Change-Reason"] || ""]].find(([, v]) => /[^\x20-\x7e]/.test(v));
  if (odd) {
    say(form, "bad", "Not sent: the " + odd[0] + " may hold plain ASCII only.");
    return null;
  }
  token.set(secret.value.trim());
  author = who.value.trim();
  headers["Content-Type"] = "application/json";
  if (token.get()) headers.Authorization = "Bearer " + token.get();
  if (author) headers["X-Change-Author"] = author;
  const button = form.querySelector("[type=submit]");
  button.disabled = true;
  say(form, "ok", "Sending…");
  try {
    const answer = await fetch(url, { method, headers, body: JSON.stringify(body), signal: AbortSignal.timeout(15000) });
    const got = await answer.json().catch(() => ({})) || {};
    if (answer.ok) return got;
    if (answer.status === 401) { token.set(""); secret.value = ""; secret.focus(); }
    const problems = [].concat(got.problems || got.errors || []).map((p) => typeof p === "string" ? p :
      [p.path || p.location, [p.message, p.remedy && "(" + p.remedy + ")"].filter(Boolean).join(" ")].filter(Boolean).join(": "));
    say(form, "bad", "Refused: " + (answer.status === 401 ? "the admin token is missing or wrong" : got.title || "status " + answer.status), got.detail, ...problems);
  } catch {
    say(form, "bad", "No answer from the controller.", "Whether the change was made is unknown: look at the revision.");
  } finally {
    button.disabled = false;
  }
  return null;
}
async function changeLimit(form) {
  const rate = form.elements.rate.value.trim(), burst = form.elements.burst.value.trim(), reason = form.elements.reason.value.trim();
  if (!rate || burst && !/^\d+$/.test(burst)) return say(form, "bad", rate ? "The burst is a whole number." : "Give a rate.");
  const body = { rate: /^\d+(\.\d+)?$/.test(rate) ? Number(rate) : rate };
  if (burst) body.burst = Number(burst);
  const got = await send(form, "PUT", "api/v1/limits/" + form.dataset.subject + "?wait=2s", body, reason ? { "X-Change-Reason": reason } : {});
  if (!got) return;
  const pending = (got.pending || []).map((p) => p.id + (p.reason ? ": " + p.reason : ""));
  const all = got.applied >= got.nodes;
  say(form, all ? "ok" : "warn", "Applied on " + got.applied + " of " + plural(got.nodes, "node") + ", revision " + got.revision + ".",
    !all && "The others follow when they can:", ...pending);
}
async function changeBreaker(form) {
  const action = new FormData(form).get("action"), reason = form.elements.reason.value.trim(), ttl = form.elements.ttl.value.trim();
  const body = {};
  if (reason) body.reason = reason;
  if (ttl && action === "trip") body.ttl = ttl;
  const got = await send(form, "POST", "api/v1/breakers/" + encodeURIComponent(form.dataset.subject) + "/" + action, body, {});
  if (got) say(form, "ok", { trip: "Tripped: nothing is sent to it.", reset: "Reset: it is closed.", auto: "Automatic again." }[action]);
}
document.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-do]");
  if (!button) return;
  const name = button.closest("[data-key]")?.dataset.key, inCard = button.closest("#providers");
  switch (button.dataset.do) {
  case "limit":
    if (inCard) openLimit(name, "per_provider/" + encodeURIComponent(name), shown?.providers[name]?.limit);
    else openLimit(name, name, shown?.limits[name]);
    break;
  case "breaker": open($("breaker-dialog"), "Breaker of " + name, name); break;
  case "forget": token.set(""); button.form.elements.token.value = ""; break;
  case "close": button.closest("dialog").close();
  }
});
document.addEventListener("submit", (event) => {
  event.preventDefault();
  const form = event.target;
  if (form.elements.rate) changeLimit(form); else changeBreaker(form);
});
$("breaker-dialog").addEventListener("change", (event) => {
  const form = event.target.form;
  form.querySelector(".ttl").hidden = new FormData(form).get("action") !== "trip";
});

document.documentElement.classList.add("scripted");
poll();
setInterval(() => { if (trouble) freshness(); }, PERIOD);
findAPI();
})();
