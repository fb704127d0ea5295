// The studio: a scene is six values; every change asks the server for both pictures, the newest change wins.

const PARTS = ["shape", "texture", "background"];
const NUMBERS = ["azimuth", "elevation", "scale"];
const RETRY = 1000;
const FORMATS = { azimuth: (v) => `${Math.round(v)}°`, elevation: (v) => `${Math.round(v)}°`, scale: (v) => v.toFixed(2) };

const byId = (id) => document.getElementById(id);
let scene = { shape: "0", texture: "0", background: "0", azimuth: 40, elevation: 0, scale: 1 };
let ranges = { azimuth: [0, 359], elevation: [-10, 45], scale: [0.5, 1.6] };
let usual = {};
let objects = [];
let drawing = false;
let outdated = false;
let working = false; // a sample, a photo or a download is in progress
let retry = null;

// ---------------------------------------------------------------- talking to the server

async function ask(path, options) {
  let answer;
  try {
    answer = await fetch(path, options);
  } catch {
    throw new Error("The server does not answer. Start ganverse studio again; this page then continues.", { cause: "gone" });
  }
  if (answer.ok) return answer;
  const body = await answer.json().catch(() => ({}));
  throw new Error(body.error ?? `The server failed (status ${answer.status}).`);
}

async function load() {
  let state;
  try {
    state = await (await ask("/state")).json();
  } catch (error) {
    notice(error.message);
    setTimeout(load, RETRY);
    return;
  }
  objects = state.objects;
  ranges = { ...ranges, elevation: state.elevations, scale: state.scales };
  usual = { azimuth: 40, elevation: Math.round(state.elevation), scale: 1 };
  for (const name of ["elevation", "scale"]) [byId(name).min, byId(name).max] = ranges[name];
  if (state.note) explain(state.note);
  scene = { ...scene, ...usual, ...remembered() };
  for (const name of objects) addThumbnail(name);
  changed();
}

// What stands between backquotes is a command.
function explain(note) {
  const parts = note.split("`").map((text, place) => {
    const part = document.createElement(place % 2 ? "code" : "span");
    part.textContent = text;
    return part;
  });
  byId("missing").replaceChildren(...parts);
}

// The scene is kept in the address, so that a reload shows it again.
function remembered() {
  const kept = {};
  for (const [name, value] of new URLSearchParams(location.hash.slice(1))) {
    if (PARTS.includes(name) && objects.includes(value)) kept[name] = value;
    else if (NUMBERS.includes(name) && Number.isFinite(Number(value))) kept[name] = within(name, Number(value));
  }
  return kept;
}

async function draw() {
  if (drawing) {
    outdated = true;
    return;
  }
  drawing = true;
  clearTimeout(retry);
  byId("time").textContent = "rendering …";
  do {
    outdated = false;
    try {
      const answer = await ask("/draw", { method: "POST", body: JSON.stringify(scene) });
      const { mesh, neural, milliseconds } = await answer.json();
      byId("mesh").querySelector("img").src = mesh;
      if (neural) byId("neural").querySelector("img").src = neural;
      byId("time").textContent = `rendered in ${milliseconds} ms`;
      if (!working) notice("");
    } catch (error) {
      byId("time").textContent = "";
      notice(error.message);
      if (error.cause === "gone") retry = setTimeout(draw, RETRY);
    }
  } while (outdated);
  drawing = false;
  document.body.dataset.drawn = new URLSearchParams(scene).toString();
}

// Runs a slow action: disables its button, and shows the progress or the error.
async function work(button, sentence, action) {
  button.disabled = working = true;
  notice(sentence, "");
  try {
    await action();
    notice("");
  } catch (error) {
    notice(error.message);
  }
  button.disabled = working = false;
}

async function sample() {
  const { name } = await (await ask("/sample", { method: "POST" })).json();
  addThumbnail(name);
  take(name);
}

function addPhoto(file) {
  if (file) work(byId("file"), "Looking for the object in the photo …", async () => {
    const answer = await ask("/photo", { method: "POST", body: file });
    const { name, azimuth, elevation } = await answer.json();
    addThumbnail(name);
    for (const part of PARTS) scene[part] = name;
    change({ azimuth, elevation, scale: 1 });
  });
}

// By POST, because pages of other sites cannot send it.
async function download(name) {
  const answer = await ask(`/download/${name}`, { method: "POST", body: JSON.stringify(scene) });
  const link = document.createElement("a");
  link.href = URL.createObjectURL(await answer.blob());
  link.download = name;
  link.click();
}

// ---------------------------------------------------------------- the scene

function within(name, value) {
  if (name === "azimuth") return ((value % 360) + 360) % 360;
  const [low, high] = ranges[name];
  return Math.min(high, Math.max(low, value));
}

function change(values) {
  for (const [name, value] of Object.entries(values)) scene[name] = within(name, value);
  changed();
}

function take(name) {
  const part = document.querySelector("#parts input:checked").value;
  for (const one of part === "all" ? PARTS : [part]) scene[one] = name;
  changed();
}

function changed() {
  const query = new URLSearchParams(scene).toString();
  history.replaceState(null, "", `#${query}`);
  for (const name of NUMBERS) {
    byId(name).value = scene[name];
    document.querySelector(`output[for="${name}"]`).textContent = FORMATS[name](scene[name]);
  }
  for (const button of byId("gallery").children) {
    const used = PARTS.filter((part) => scene[part] === button.dataset.name);
    button.classList.toggle("used", used.length > 0);
    button.querySelector(".dots").replaceChildren(...used.map(dot));
  }
  draw();
}

function dot(part) {
  const mark = document.createElement("i");
  mark.className = `dot ${part}`;
  mark.role = "img";
  mark.ariaLabel = mark.title = `its ${part} is shown`;
  return mark;
}

function addThumbnail(name) {
  if (!objects.includes(name)) objects.push(name);
  if (byId("gallery").querySelector(`[data-name="${name}"]`)) return;
  const button = document.createElement("button");
  button.type = "button";
  button.dataset.name = name;
  const picture = new Image();
  picture.src = `/thumbnail/${name}.png`;
  picture.alt = name.startsWith("photo") ? "a photo" : `object ${name}`;
  const dots = document.createElement("span");
  dots.className = "dots";
  button.append(picture, dots);
  button.addEventListener("click", () => take(name));
  byId("gallery").append(button);
  if (drawing || document.body.dataset.drawn) button.scrollIntoView({ block: "nearest" });
}

function notice(text, kind = "bad") {
  byId("notice").hidden = !text;
  byId("notice").className = kind;
  byId("notice").textContent = text;
}

// ---------------------------------------------------------------- input

// One pointer rotates, two scale. Dragging right turns the front of the object to the right: the camera goes the other way.
function turnable(view) {
  const pointers = new Map(); // id -> last position
  const spread = () => {
    const [[x, y], [u, v]] = pointers.values();
    return Math.hypot(x - u, y - v);
  };
  const place = (event) => pointers.set(event.pointerId, [event.clientX, event.clientY]);
  view.addEventListener("pointerdown", (event) => {
    place(event);
    view.setPointerCapture(event.pointerId);
  });
  view.addEventListener("pointermove", (event) => {
    if (!pointers.has(event.pointerId)) return;
    const [x, y] = pointers.get(event.pointerId);
    const before = pointers.size > 1 && spread();
    place(event);
    const degrees = 180 / view.clientWidth;
    if (before) change({ scale: (scene.scale * spread()) / before });
    else change({ azimuth: scene.azimuth - (event.clientX - x) * degrees, elevation: scene.elevation + (event.clientY - y) * degrees });
  });
  for (const end of ["pointerup", "pointercancel"]) view.addEventListener(end, (event) => pointers.delete(event.pointerId));
  view.addEventListener("wheel", (event) => {
    event.preventDefault();
    change({ scale: scene.scale * Math.exp(-event.deltaY / 1000) });
  }, { passive: false });
  view.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: { azimuth: 10 }, ArrowRight: { azimuth: -10 }, ArrowUp: { elevation: -5 }, ArrowDown: { elevation: 5 },
      "+": { scale: 0.05 }, "-": { scale: -0.05 } }[event.key];
    if (!step) return;
    event.preventDefault();
    const [[name, by]] = Object.entries(step);
    change({ [name]: scene[name] + by });
  });
}

turnable(byId("mesh"));
turnable(byId("neural"));
for (const name of NUMBERS) byId(name).addEventListener("input", () => change({ [name]: Number(byId(name).value) }));
byId("reset").addEventListener("click", () => change(usual));
byId("sample").addEventListener("click", (event) => work(event.target, "Sampling another object …", sample));
byId("file").addEventListener("change", (event) => {
  addPhoto(event.target.files[0]);
  event.target.value = ""; // allows choosing the same file again
});
for (const button of document.querySelectorAll("#downloads [data-file]")) {
  button.addEventListener("click", () => work(button, `Rendering ${button.dataset.file} …`, () => download(button.dataset.file)));
}
for (const kind of ["dragenter", "dragover"]) {
  document.addEventListener(kind, (event) => { event.preventDefault(); document.body.classList.add("dropping"); });
}
document.addEventListener("dragleave", (event) => { if (!event.relatedTarget) document.body.classList.remove("dropping"); });
document.addEventListener("drop", (event) => {
  event.preventDefault();
  document.body.classList.remove("dropping");
  addPhoto(event.dataTransfer.files[0]);
});
load();
