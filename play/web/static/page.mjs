// The page of served play: shows the newest frame, sends input, and reconnects by itself.
import { listenToDrags, listenToKeys, listenToMouse, listenToPads, showTouchButtons } from "./input.mjs";

const RETRY_MS = 1000;
const LATENCIES = 200; // the newest that the shown percentiles are of
const GOING_AWAY = 1001;
const at = (id) => document.getElementById(id);
const canvas = at("picture"), pen = canvas.getContext("2d");
let socket = null, connected = false, greeted = false;
let number = 0; // of the newest input
let waiting = []; // inputs that no frame has answered: [number, when]
const latencies = [];

function connect() {
  const address = new URL("socket", location.href);
  address.protocol = location.protocol === "https:" ? "wss:" : "ws:";
  socket = new WebSocket(address);
  socket.binaryType = "arraybuffer";
  socket.onopen = () => { connected = true; waiting = []; };
  socket.onmessage = ({ data }) => (typeof data === "string" ? hear(JSON.parse(data)) : show(data));
  socket.onclose = ({ code, reason }) => {
    connected = false;
    const why = code === GOING_AWAY ? "The server has stopped" : reason ? `Sent away: ${reason}` : "The server is gone";
    at("notice").textContent = `${why}; trying again …`;
    setTimeout(connect, RETRY_MS);
  };
}

function send(message) {
  if (!connected || socket.readyState !== WebSocket.OPEN) return;
  number += 1;
  if (waiting.length < LATENCIES) waiting.push([number, performance.now()]);
  socket.send(JSON.stringify({ ...message, n: number }));
}

function hear(message) {
  if ("title" in message) greet(message);
  if ("loading" in message) at("notice").textContent = `${message.loading} …`;
  if ("plays" in message) {
    const watchers = message.watching === 1 ? "1 watches" : `${message.watching} watch`;
    at("role").textContent = `${message.plays ? "you play" : message.free ? "nobody plays" : "you watch"}, ${watchers}`;
    at("play").hidden = message.plays || !message.free;
    at("touch").style.visibility = message.plays ? "" : "hidden";
  }
}

function greet({ title, size, scale, mouse, touch, keys }) {
  document.title = title;
  at("title").textContent = title;
  canvas.style.width = `${size[0] * scale}px`;
  at("hint").textContent = mouse ? "a click gives the mouse to the game, Esc takes it back" : "";
  at("keys").replaceChildren(...keys.map((cells) => {
    const row = document.createElement("tr");
    row.append(...cells.slice(0, 2).map((text) => Object.assign(document.createElement("td"), { textContent: text })));
    return row;
  }));
  if (greeted) return;
  greeted = true;
  showTouchButtons(at("touch"), touch, send);
  if (mouse) {
    listenToMouse(canvas, send);
    listenToDrags(canvas, send);
  }
}

/** A message of a view: the header's length, the header, the picture. */
async function show(data) {
  const from = socket;
  const length = new DataView(data).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(data, 4, length)));
  const picture = new Uint8Array(data, 4 + length);
  if (canvas.width !== header.width || canvas.height !== header.height) {
    Object.assign(canvas, { width: header.width, height: header.height });
  }
  if (header.codec === "raw") pen.putImageData(withAlpha(picture, header), 0, 0);
  else pen.drawImage(await createImageBitmap(new Blob([picture], { type: `image/${header.codec}` })), 0, 0);
  if (from.readyState === WebSocket.OPEN) from.send(JSON.stringify({ shown: header.frame }));
  measure(header.stamp);
  showRows(header);
}

function withAlpha(rgb, { width, height }) {
  const image = new ImageData(width, height);
  for (let from = 0, to = 0; from < rgb.length; from += 3, to += 4) {
    image.data[to] = rgb[from];
    image.data[to + 1] = rgb[from + 1];
    image.data[to + 2] = rgb[from + 2];
    image.data[to + 3] = 255;
  }
  return image;
}

/** The picture that is shown includes all inputs up to `stamp`. */
function measure(stamp) {
  const now = performance.now();
  for (const [, when] of waiting.filter(([n]) => n <= stamp)) latencies.push(now - when);
  waiting = waiting.filter(([n]) => n > stamp);
  latencies.splice(0, latencies.length - LATENCIES);
}

export function latency(share) {
  const sorted = [...latencies].sort((a, b) => a - b);
  return sorted.length ? sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] : null;
}

function showRows({ frame, rows, marks, message }) {
  at("notice").textContent = "";
  const own = latencies.length ? [["input to picture, p50 / p95", `${latency(0.5).toFixed(0)} / ${latency(0.95).toFixed(0)} ms`, null]] : [];
  at("rows").replaceChildren(...[...rows, ...own].flatMap(([label, value, share]) => {
    const name = Object.assign(document.createElement("dt"), { textContent: label });
    const text = Object.assign(document.createElement("dd"), { textContent: value });
    text.dataset.label = label;
    if (share !== null) text.append(Object.assign(document.createElement("meter"), { value: share }));
    return [name, text];
  }));
  at("marks").textContent = marks.join(", ");
  at("message").textContent = message;
  canvas.dataset.frame = frame;
}

at("play").onclick = () => socket.send(JSON.stringify({ play: true }));
listenToKeys(send);
listenToPads(send);
connect();
