// The studio: a scene is six values; every change asks the server for both pictures, the newest change wins.

const PARTS = ["shape", "texture", "background"];
const NUMBERS = ["azimuth", "elevation", "scale"];
const FORMATS = { azimuth: (v) => `${Math.round(v)}°`, elevation: (v) => `${Math.round(v)}°`, scale: (v) => v.toFixed(2) };

const byId = (id) => document.getElementById(id);
let scene = { shape: "0", texture: "0", background: "0", azimuth: 40, elevation: 0, scale: 1 };
let ranges = { azimuth: [0, 359], elevation: [-10, 45], scale: [0.5, 1.6] };
let usual = {};
let objects = [];
let drawing = false;
let outdated = false;
let token = ""; // what a download has to carry

// ---------------------------------------------------------------- talking to the server

async function ask(path, options) {
  let answer;
  try {
    answer = await fetch(path, options);
  } catch {
    throw new Error("The server does not answer; start ganverse studio again.");
  }
  if (answer.ok) return answer;
  const body = await answer.json().catch(() => ({}));
  throw new Error(body.error ?? `The server failed (status ${answer.status}).`);
}

async function load() {
  const state = await (await ask("/state")).json();
  objects = state.objects;
  ranges = { ...ranges, elevation: state.elevations, scale: state.scales };
  usual = { azimuth: 40, elevation: Math.round(state.elevation), scale: 1 };
  for (const name of ["elevation", "scale"]) [byId(name).min, byId(name).max] = ranges[name];
  explain(state.note ?? "");
  byId("missing").hidden = !state.note;
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
  do {
    outdated = false;
    try {
      const answer = await ask("/draw", { method: "POST", body: JSON.stringify(scene) });
      const { mesh, neural, milliseconds, token: newest } = await answer.json();
      token = newest;
      byId("mesh").querySelector("img").src = mesh;
      if (neural) byId("neural").querySelector("img").src = neural;
      byId("milliseconds").textContent = milliseconds;
      linkDownloads();
      notice("");
    } catch (error) {
      notice(error.message);
    }
  } while (outdated);
  drawing = false;
  document.body.dataset.drawn = new URLSearchParams(scene).toString();
}

async function sample() {
  byId("sample").disabled = true;
  try {
    const { name } = await (await ask("/sample", { method: "POST" })).json();
    addThumbnail(name);
    take(name);
  } catch (error) {
    notice(error.message);
  }
  byId("sample").disabled = false;
}

async function addPhoto(file) {
  if (!file) return;
  try {
    const answer = await ask("/photo", { method: "POST", body: file });
    const { name, azimuth, elevation } = await answer.json();
    addThumbnail(name);
    for (const part of PARTS) scene[part] = name;
    change({ azimuth, elevation, scale: 1 });
  } catch (error) {
    notice(error.message);
  }
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
  linkDownloads();
  for (const button of byId("gallery").children) {
    const used = PARTS.filter((part) => scene[part] === button.dataset.name);
    button.classList.toggle("used", used.length > 0);
    button.querySelector(".dots").replaceChildren(...used.map(dot));
  }
  draw();
}

function linkDownloads() {
  const query = new URLSearchParams({ ...scene, token });
  for (const link of document.querySelectorAll("#downloads a")) link.href = `/download/${link.dataset.file}?${query}`;
}

function dot(part) {
  const mark = document.createElement("i");
  mark.className = `dot ${part}`;
  mark.title = `its ${part} is shown`;
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

function notice(text) {
  byId("notice").hidden = !text;
  byId("notice").className = "bad";
  byId("notice").textContent = text;
}

// ---------------------------------------------------------------- input

// Dragging right turns the front of the object to the right: the camera goes the other way.
function turnable(view) {
  let last = null;
  view.addEventListener("pointerdown", (event) => {
    last = [event.clientX, event.clientY];
    view.setPointerCapture(event.pointerId);
  });
  view.addEventListener("pointermove", (event) => {
    if (!last) return;
    const perPixel = 180 / view.clientWidth;
    const [x, y] = [event.clientX - last[0], event.clientY - last[1]];
    last = [event.clientX, event.clientY];
    change({ azimuth: scene.azimuth - x * perPixel, elevation: scene.elevation + y * perPixel });
  });
  for (const end of ["pointerup", "pointercancel"]) view.addEventListener(end, () => { last = null; });
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
byId("sample").addEventListener("click", sample);
byId("file").addEventListener("change", (event) => addPhoto(event.target.files[0]));
for (const kind of ["dragenter", "dragover"]) {
  document.addEventListener(kind, (event) => { event.preventDefault(); document.body.classList.add("dropping"); });
}
document.addEventListener("dragleave", (event) => { if (!event.relatedTarget) document.body.classList.remove("dropping"); });
document.addEventListener("drop", (event) => {
  event.preventDefault();
  document.body.classList.remove("dropping");
  addPhoto(event.dataTransfer.files[0]);
});
load().catch((error) => notice(error.message));
