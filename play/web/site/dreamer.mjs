// A worker that dreams, so that the page stays quick: loads, keeps the world's rate, plays, sends frames.
import { Dream, actionOf, gaussianNoise, pixelsOf } from "./dream.mjs";
import { Latch } from "./latch.mjs";
import { backendsHere, bytesToLoad, fetched, loadNetworks, threadsHere, unzipped } from "./networks.mjs";

const RECENT = 30; // frames that the shown rate is of
let world, dream, latch, contexts, recordings, backend, player, paused = false, beside = null, episode = 0, note = "";
let over = false; // the next frame starts another dream
let loadedAt = 0;
const ends = [];

onmessage = ({ data }) => {
  if (data.open) open(data.open).catch((error) => postMessage({ failed: String(error?.message ?? error) }));
  else if (latch) hear(data);
};

async function open({ wanted, preset, seed }) {
  const began = performance.now();
  world = await (await fetch("world.json")).json();
  latch = new Latch(world.keymap);
  postMessage({ world });
  const networks = await loadFirst(await backendsHere(world.backends, wanted));
  contexts = await arraysOf(world.contexts);
  recordings = world.recordings && await arraysOf(world.recordings);
  dream = new Dream(world, world.presets[preset] ?? world.presets[world.default_preset], networks, gaussianNoise(seed));
  player = networks.agent ? "agent" : contexts.recorded ? "recorded player" : "you";
  await begin();
  loadedAt = performance.now() - began;
  await play();
}

/** The networks on the first backend that can run them. */
async function loadFirst(backends) {
  for (const name of backends) {
    try {
      const total = bytesToLoad(world, name);
      let loaded = 0;
      backend = name;
      return await loadNetworks(world, name, (bytes) => postMessage({ progress: (loaded += bytes) / total }));
    } catch (error) {
      note = `${name}: ${error?.message ?? error}`;
    }
  }
  throw new Error(note);
}

/** The arrays of a gzipped file by name, each a list of its first axis: `{path, arrays: [{name, shape}]}`. */
async function arraysOf({ path, arrays }) {
  const bytes = await unzipped(await fetched(path, world.version));
  let at = 0;
  const named = {};
  for (const { name, shape } of arrays) {
    const size = shape.reduce((product, side) => product * side, 1);
    named[name] = nested(bytes.subarray(at, at + size), shape);
    at += size;
  }
  return named;
}

/** Bytes as lists of frames or actions: the first axis is that of starts, the second that of time. */
function nested(bytes, [starts, times]) {
  const size = bytes.length / starts / times;
  const one = (i, t) => bytes.subarray((i * times + t) * size, (i * times + t + 1) * size);
  return Array.from({ length: starts }, (_, i) => Array.from({ length: times }, (_, t) => one(i, t)));
}

/** An action as the dream takes it: an index, or a vector. */
const stored = (action) => (world.actions.names ? action[0] : action);

async function begin() {
  over = false;
  const length = world.context;
  if (beside !== null) {
    const chosen = beside % recordings.frames.length;
    const frames = recordings.frames[chosen], actions = recordings.actions[chosen].map(stored);
    await dream.start({ frames: frames.slice(0, length), actions: actions.slice(0, length - 1) });
    dream.real = { frames: frames.slice(length), actions: actions.slice(length - 1) };
  } else {
    const chosen = episode++ % contexts.frames.length;
    const { frames, actions, full_res, recorded } = contexts;
    await dream.start({ frames: frames[chosen], actions: actions[chosen].map(stored), full_res: full_res?.[chosen] });
    dream.recorded = recorded?.[chosen].map(stored);
    dream.real = null;
  }
}

async function play() {
  const period = 1000 / world.frame_rate;
  for (let due = performance.now(); ;) {
    await new Promise((resolve) => setTimeout(resolve, Math.max(0, due - performance.now())));
    due = Math.max(due + period, performance.now()); // what comes too late is not caught up
    if (!paused) await step();
  }
}

/** One frame. A command that comes while it is drawn waits for the next dream. */
async function step() {
  if (over) await begin();
  const real = dream.real?.frames[dream.steps] ?? null;
  const action = await chosen();
  await dream.step(action);
  ends.push(performance.now());
  ends.splice(0, ends.length - RECENT);
  show(action, real);
  if (!dream.real) over ||= dream.ended || dream.steps >= world.horizon;
  else if (dream.steps >= dream.real.frames.length) {
    if (beside !== null) beside += 1;
    over = true;
  }
}

async function chosen() {
  const { pressed, motion } = latch.read();
  if (dream.real) return dream.real.actions[dream.steps];
  if (player === "agent") return dream.agentAction();
  if (player === "recorded player" && dream.steps < (dream.recorded?.length ?? 0)) return dream.recorded[dream.steps];
  return actionOf(world.actions, pressed, motion);
}

function show(action, real) {
  const pixels = pixelsOf(dream.shown);
  const rate = ends.length > 1 ? (1000 * (ends.length - 1)) / (ends.at(-1) - ends[0]) : 0;
  const status = {
    player: dream.real ? "recorded player" : player, step: dream.steps, horizon: world.horizon, rate,
    total: world.judge ? dream.total : null, milliseconds: dream.milliseconds, backend, note,
    threads: backend === "wasm" ? threadsHere() : null, action: world.actions.names?.[action] ?? "", loaded: loadedAt,
  };
  postMessage({ pixels, real: real && Uint8Array.from(real), status }, [pixels.buffer]);
}

/** A message of input, or a command. The first input takes over from the autopilot. */
function hear(message) {
  const command = message.command ?? latch.hear(message);
  if (command) return obey(command);
  if (!latch.idle && (player !== "you" || beside !== null)) {
    player = "you";
    over ||= beside !== null;
    beside = null;
  }
}

function obey(command) {
  if (!dream) return;
  if (command === "RESET") over = true;
  if (command === "PAUSE") paused = !paused;
  if (command === "HAND_OVER") player = player !== "you" ? "you" : dream.networks.agent ? "agent" : "recorded player";
  if (command === "BESIDE" && recordings) {
    beside = beside === null ? 0 : null;
    over = true;
  }
}
