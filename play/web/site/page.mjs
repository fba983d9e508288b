// The page of an exported world: shows the worker's frames and passes input on.
import { listenToDrags, listenToKeys, listenToMouse, listenToPads, showTouchButtons } from "./input.mjs";

const at = (id) => document.getElementById(id);
const asked = new URLSearchParams(location.search);
const dreamer = new Worker("dreamer.mjs", { type: "module" });
const send = (message) => dreamer.postMessage(message);
let world, status = null;

dreamer.onmessage = ({ data }) => {
  if (data.world) greet(data.world);
  else if (data.failed) at("notice").textContent = `This browser cannot dream here: ${data.failed}`;
  else if ("progress" in data) at("progress").value = data.progress;
  else show(data);
};
dreamer.onerror = (event) => { at("notice").textContent = `This browser cannot dream here: ${event.message ?? event.type}`; };

function greet(found) {
  world = found;
  document.title = at("title").textContent = world.title;
  const [height, width] = world.size;
  for (const canvas of [at("picture"), at("real")]) {
    Object.assign(canvas, { width, height });
    canvas.style.width = `${width * world.scale}px`;
  }
  at("hint").textContent = world.keymap.mouse ? "a click gives the mouse to the game, Esc takes it back" : "press a key to play";
  at("keys").replaceChildren(...world.keymap.help.map((cells) => {
    const row = document.createElement("tr");
    row.append(...cells.map((text) => Object.assign(document.createElement("td"), { textContent: text })));
    return row;
  }));
  at("presets").replaceChildren(...Object.keys(world.presets).map((name) => new Option(name)));
  at("presets").value = asked.get("preset") ?? world.default_preset;
  at("besideButton").hidden = !world.recordings;
  showTouchButtons(at("touch"), world.touch, send);
  listenToKeys(send);
  listenToPads(send);
  if (world.keymap.mouse) {
    listenToMouse(at("picture"), send);
    listenToDrags(at("picture"), send);
  }
  keepForOffline(world);
}

function show({ pixels, real, status: told }) {
  const canvas = at("picture");
  at("notice").textContent = "";
  at("progress").hidden = true;
  draw(canvas, pixels);
  at("beside").hidden = real === null;
  if (real !== null) draw(at("real"), withAlpha(real));
  status = { ...told, frames: (status?.frames ?? 0) + 1, first: status?.first ?? performance.now() };
  canvas.dataset.frame = status.frames;
  const rows = {
    "who plays": status.player,
    action: status.action,
    return: status.total,
    step: `${status.step} of ${status.horizon}`,
    "frames/s": `${status.rate.toFixed(1)} of ${world.frame_rate}`,
    model: `${status.milliseconds.toFixed(0)} ms`,
  };
  at("rows").replaceChildren(...Object.entries(rows).filter(([, value]) => value !== null && value !== "").flatMap(([label, value]) => {
    const text = Object.assign(document.createElement("dd"), { textContent: value });
    text.dataset.label = label;
    return [Object.assign(document.createElement("dt"), { textContent: label }), text];
  }));
  if (!at("reportText").hidden) at("reportText").textContent = report();
}

function draw(canvas, pixels) {
  canvas.getContext("2d").putImageData(new ImageData(pixels, canvas.width), 0, 0);
}

function withAlpha(rgb) {
  const pixels = new Uint8ClampedArray((rgb.length / 3) * 4).fill(255);
  for (let i = 0; i < rgb.length / 3; i++) pixels.set(rgb.subarray(3 * i, 3 * i + 3), 4 * i);
  return pixels;
}

/** The report that a user can copy: backend, threads and speed. */
function report() {
  if (!status) return "nothing was dreamed yet";
  return JSON.stringify({
    world: world.name,
    preset: at("presets").value,
    backend: status.backend,
    threads: status.threads,
    isolated: globalThis.crossOriginIsolated,
    fps: Number(status.rate.toFixed(2)),
    model_ms: Number(status.milliseconds.toFixed(1)),
    loaded_s: Number((status.loaded / 1000).toFixed(2)),
    first_frame_s: Number((status.first / 1000).toFixed(2)),
    frames: status.frames,
    note: status.note,
    browser: navigator.userAgent,
  }, null, 1);
}

/** Registers offline.mjs, which answers from the next visit on if there is no network. */
function keepForOffline({ version }) {
  navigator.serviceWorker?.register(`offline.mjs?version=${version}`).catch(() => {});
}

at("report").onclick = (event) => {
  event.preventDefault();
  at("reportText").hidden = !at("reportText").hidden;
  at("reportText").textContent = report();
};
at("besideButton").onclick = () => { at("besideButton").blur(); send({ command: "BESIDE" }); };
at("presets").onchange = () => {
  asked.set("preset", at("presets").value);
  location.search = asked;
};
send({ open: { wanted: asked.get("backend"), preset: asked.get("preset"), seed: Number(asked.get("seed") ?? Date.now()) } });
