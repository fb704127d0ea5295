// The annotation page: one key per view code. The file on disk is the truth; a key is shown at once and saved behind.

// Keys by their place on the keyboard (KeyboardEvent.code), so every keyboard layout has the same ring of keys.
// Azimuth 0 lies at the bottom (the front faces the viewer) and grows clockwise: 90 is a front that points to the left.
const RING = "CXZAQWERTGBV";
const RADIUS = { outer: 146, inner: 62, key: 116, degrees: 94, tally: 74 };
const RETRY = 1000;

const byId = (id) => document.getElementById(id);
const strip = byId("strip");

let goal = 39;
let revision = "";
let order = []; // seeds, as the columns stand
let azimuths = new Map(); // seed -> degrees
let dropped = new Set();
let uncertain = new Set(); // azimuths that a program has guessed
let current = null;
let pending = []; // decisions that are not saved yet, oldest first
let sending = false;
let history = []; // what undo goes back to
let columns = new Map(); // seed -> element
let celebrated = false;
let record = { keys: 0, started: null, ended: null };
let recordName = "";

// ---------------------------------------------------------------- talking to the server

async function load() {
  try {
    const answer = await fetch("/state");
    const state = await answer.json();
    if (!answer.ok) return notice(state.error, "bad");
    goal = state.goal;
    byId("goal").textContent = goal;
    byId("file").textContent = state.file;
    byId("file").title = state.path;
    recordName = `ganverse-annotate ${state.path} ${state.generator}`;
    record = JSON.parse(localStorage.getItem(recordName)) ?? record;
    adopt(state);
    current = nextUndecided(null) ?? order[0];
    if (uncertain.size) guesses();
    celebrated = azimuths.size >= goal;
    show();
  } catch {
    offline();
    setTimeout(load, RETRY);
  }
}

function adopt(state) {
  revision = state.revision;
  azimuths = new Map(Object.entries(state.azimuths).map(([seed, degrees]) => [Number(seed), degrees]));
  dropped = new Set(state.dropped);
  uncertain = new Set(state.uncertain.filter((seed) => azimuths.has(seed)));
  addColumns(state.candidates);
}

async function save() {
  if (sending) return;
  sending = true;
  while (pending.length) {
    status("saving");
    const decisions = [...pending];
    let answer, body;
    try {
      answer = await fetch("/decisions", { method: "POST", body: JSON.stringify({ revision, decisions }) });
      body = await answer.json();
    } catch {
      offline();
      await new Promise((done) => setTimeout(done, RETRY));
      continue;
    }
    if (answer.ok) {
      if (byId("notice").dataset.offline) notice("");
      revision = body.revision;
      pending.splice(0, decisions.length);
    } else if (answer.status === 409) {
      const lost = pending.length === 1 ? "your last key was" : `your last ${pending.length} keys were`;
      pending = [];
      history = [];
      adopt(body);
      notice(`Another tab or an editor has changed the file. Its state is shown now; ${lost} not saved.`, "bad");
    } else {
      status("unsaved");
      notice(`Not saved: ${body.error}`, "bad");
      break;
    }
  }
  sending = false;
  if (!pending.length) status("saved");
  show();
}

function offline() {
  status("unsaved");
  const keys = pending.length === 1 ? "1 unsaved key is" : `${pending.length} unsaved keys are`;
  const then = pending.length ? `${keys} then saved` : "this page then continues";
  notice(`The server does not answer. Start ganverse annotate again; ${then}.`, "bad");
  byId("notice").dataset.offline = "yes";
}

async function more() {
  byId("more").disabled = true;
  notice("Looking for more candidates …", "good");
  try {
    const answer = await fetch("/more", { method: "POST" });
    const body = await answer.json();
    if (!answer.ok) throw new Error(body.error);
    addColumns(body.candidates);
    notice("");
    if (decided(current)) current = nextUndecided(current) ?? current;
  } catch (error) {
    notice(`No more candidates: ${error.message}`, "bad");
  }
  byId("more").disabled = false;
  show();
}

// ---------------------------------------------------------------- decisions

const decided = (seed) => (azimuths.has(seed) && !uncertain.has(seed)) || dropped.has(seed);

function decide(degrees, drop) {
  if (current === null) return;
  history.push({ seed: current, azimuth: azimuths.get(current) ?? null, drop: dropped.has(current) });
  apply(current, degrees, drop);
  current = nextUndecided(current) ?? current;
  show();
}

function apply(seed, degrees, drop) {
  azimuths.delete(seed);
  dropped.delete(seed);
  if (uncertain.delete(seed) && !byId("notice").dataset.offline) guesses();
  if (drop) dropped.add(seed);
  else if (degrees !== null) azimuths.set(seed, degrees);
  pending.push({ seed, azimuth: degrees, drop });
  if (byId("notice").dataset.offline) offline();
  save();
  if (!celebrated && azimuths.size >= goal) finish();
}

function guesses() {
  const left = `${uncertain.size} of these azimuths ${uncertain.size === 1 ? "is a guess" : "are guesses"}, perhaps half a turn off. They come first; Enter keeps one.`;
  notice(uncertain.size ? left : "All guesses are checked and saved. You can stop here; more keys add more codes.", "good");
}

function undo() {
  const before = history.pop();
  if (!before) return;
  current = before.seed;
  apply(before.seed, before.azimuth, before.drop);
  show();
}

function finish() {
  celebrated = true;
  record.ended = Date.now();
  const bins = covered().size;
  const all = bins === RING.length ? "all round" : `at ${bins} of ${RING.length} azimuths; the dark fields are missing`;
  notice(`${azimuths.size} codes ${all}. The file is complete and saved; more keys add more codes.`, "good");
}

function nextUndecided(seed) {
  const start = seed === null ? 0 : order.indexOf(seed) + 1;
  const rest = [...order.slice(start), ...order.slice(0, start)];
  return rest.find((other) => uncertain.has(other)) ?? rest.find((other) => !decided(other)) ?? null;
}

function move(steps) {
  const place = order.indexOf(current) + steps;
  current = order[Math.max(0, Math.min(order.length - 1, place))];
  show();
}

// ---------------------------------------------------------------- what is seen

const binOf = (degrees) => Math.round((degrees * RING.length) / 360) % RING.length;

function covered() {
  const tally = new Map();
  for (const degrees of azimuths.values()) tally.set(binOf(degrees), (tally.get(binOf(degrees)) ?? 0) + 1);
  return tally;
}

function show() {
  for (const [seed, column] of columns) showColumn(seed, column);
  const tally = covered();
  for (let bin = 0; bin < RING.length; bin++) {
    const field = byId(`bin-${bin}`);
    field.classList.toggle("covered", tally.has(bin));
    field.classList.toggle("chosen", azimuths.has(current) && binOf(azimuths.get(current)) === bin);
    field.querySelector(".tally").textContent = tally.get(bin) ?? "";
  }
  byId("kept").textContent = azimuths.size;
  byId("dropped").textContent = dropped.size;
  byId("bins").textContent = tally.size;
  byId("undo").disabled = history.length === 0;
  byId("keep").disabled = !azimuths.has(current);
  byId("rate").textContent = azimuths.size && record.keys ? (record.keys / azimuths.size).toFixed(1) : "–";
  center(columns.get(current));
}

function showColumn(seed, column) {
  column.classList.toggle("current", seed === current);
  column.classList.toggle("kept", azimuths.has(seed));
  column.classList.toggle("dropped", dropped.has(seed));
  column.classList.toggle("uncertain", uncertain.has(seed));
  const line = column.querySelector("p");
  const text = dropped.has(seed) ? "dropped" : azimuths.has(seed) ? `${Math.round(azimuths.get(seed))}°${uncertain.has(seed) ? "?" : ""}` : "";
  if (line.dataset.text === text) return;
  line.dataset.text = text;
  line.textContent = text;
  if (azimuths.has(seed)) line.prepend(arrow(azimuths.get(seed)));
}

function arrow(degrees) {
  const picture = svg("svg", { class: "arrow", viewBox: "-8 -8 16 16" });
  picture.append(svg("path", { d: "M0 7L5 -5L0 -2L-5 -5Z", fill: "currentColor", transform: `rotate(${degrees})` }));
  return picture;
}

function center(column) {
  if (!column) return;
  strip.scrollLeft = column.offsetLeft + column.offsetWidth / 2 - strip.clientWidth / 2;
}

function addColumns(candidates) {
  for (const { seed } of candidates) {
    if (columns.has(seed)) continue;
    const column = document.createElement("div");
    column.className = "column";
    column.dataset.seed = seed;
    column.title = `code ${seed}`;
    const picture = new Image();
    picture.src = `/column/${seed}.png`;
    picture.alt = `three objects under code ${seed}`;
    picture.addEventListener("load", () => center(columns.get(current)), { once: true });
    column.append(picture, document.createElement("p"));
    column.addEventListener("click", () => { current = seed; show(); });
    columns.set(seed, column);
    order.push(seed);
    strip.append(column);
  }
}

function status(state) {
  byId("status").dataset.state = state;
  byId("status").textContent = { saved: "saved", saving: "saving …", unsaved: "not saved" }[state];
}

function notice(text, kind = "") {
  const box = byId("notice");
  delete box.dataset.offline;
  box.hidden = !text;
  box.className = kind;
  box.textContent = text;
}

function tick() {
  const end = record.ended ?? Date.now();
  const seconds = record.started ? Math.floor((end - record.started) / 1000) : 0;
  byId("clock").textContent = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
}

// ---------------------------------------------------------------- the compass

function svg(name, attributes, text = "") {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.textContent = text;
  return element;
}

// Where an azimuth lies in the ring: down for 0, clockwise.
function point(degrees, radius) {
  const turn = (degrees * Math.PI) / 180;
  return [-Math.sin(turn) * radius, Math.cos(turn) * radius];
}

function sector(degrees) {
  const half = 180 / RING.length;
  const [a, b] = [point(degrees - half, RADIUS.outer), point(degrees + half, RADIUS.outer)];
  const [c, d] = [point(degrees + half, RADIUS.inner), point(degrees - half, RADIUS.inner)];
  return `M${a}A${RADIUS.outer} ${RADIUS.outer} 0 0 1 ${b}L${c}A${RADIUS.inner} ${RADIUS.inner} 0 0 0 ${d}Z`;
}

function drawCompass() {
  const compass = byId("compass");
  const label = (kind, radius, degrees, text) => {
    const [x, y] = point(degrees, radius);
    return svg("text", { class: kind, x, y }, text);
  };
  [...RING].forEach((key, bin) => {
    const degrees = (bin * 360) / RING.length;
    const field = svg("g", { class: "bin", id: `bin-${bin}`, role: "button" });
    field.append(
      svg("path", { d: sector(degrees) }),
      label("key", RADIUS.key + 10, degrees, key),
      label("degrees", RADIUS.degrees + 4, degrees, `${degrees}°`),
      label("tally", RADIUS.tally, degrees, ""),
    );
    field.addEventListener("click", () => press(() => decide(degrees, false)));
    compass.append(field);
  });
  const drop = svg("g", { class: "drop", role: "button" });
  drop.append(
    svg("circle", { r: RADIUS.inner - 4 }),
    svg("text", { class: "side", y: -38 }, "away"),
    svg("text", { class: "key", y: -6 }, "D"),
    svg("text", { class: "side", y: 14 }, "drop"),
    svg("text", { class: "side", y: 42 }, "to you"),
  );
  drop.addEventListener("click", () => press(() => decide(null, true)));
  compass.append(drop);
}

// ---------------------------------------------------------------- keys and buttons

function press(action) {
  record.started ??= Date.now();
  record.keys += 1;
  action();
  localStorage.setItem(recordName, JSON.stringify(record));
  tick();
}

const KEYS = {
  KeyD: () => press(() => decide(null, true)),
  KeyU: () => press(undo),
  Backspace: () => press(undo),
  KeyM: more,
  Enter: () => { if (azimuths.has(current)) press(() => decide(azimuths.get(current), false)); },
  ArrowLeft: () => press(() => move(-1)),
  ArrowRight: () => press(() => move(1)),
};
[...RING].forEach((key, bin) => { KEYS[`Key${key}`] = () => press(() => decide((bin * 360) / RING.length, false)); });

document.addEventListener("keydown", (event) => {
  const undoing = event.code === "KeyZ" && (event.ctrlKey || event.metaKey);
  const action = undoing ? KEYS.KeyU : event.ctrlKey || event.metaKey || event.altKey ? null : KEYS[event.code];
  const pressed = event.code === "Enter" && event.target.closest("button"); // let the button handle it
  if (!action || event.repeat || pressed) return;
  event.preventDefault();
  action();
});
const BUTTONS = { drop: "KeyD", undo: "KeyU", keep: "Enter", back: "ArrowLeft", next: "ArrowRight", more: "KeyM" };
for (const [id, key] of Object.entries(BUTTONS)) byId(id).addEventListener("click", KEYS[key]);
window.addEventListener("resize", () => center(columns.get(current)));
window.addEventListener("beforeunload", (event) => { if (pending.length) event.preventDefault(); });
setInterval(tick, 500);
drawCompass();
load();
