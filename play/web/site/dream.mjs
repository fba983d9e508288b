// The dream itself, in plain JavaScript: noise, sampler, action encoding, state. It knows neither page nor runtime.
//
// Frames are Float32Array in planes (3, H, W), values in [-1, 1]; L is the number of frames that the next one depends
// on. `networks` runs the exported networks: an object of async functions by name, from arrays to arrays. The sampler
// rounds to 32 bits after every operation, as torch does.

const round = Math.fround;
const MAX_CHURN = Math.SQRT2 - 1;

// ---------------------------------------------------------------- noise

/** A source of unit normal noise: (length) => Float32Array. Same seed, same noise. `uniform` is what it is made of. */
export function gaussianNoise(seed) {
  const uniform = uniformNoise(seed);
  const noise = (length) => {
    const values = new Float32Array(length);
    for (let i = 0; i < length; i += 2) {
      const radius = Math.sqrt(-2 * Math.log(1 - uniform())), angle = 2 * Math.PI * uniform();
      values[i] = radius * Math.cos(angle);
      if (i + 1 < length) values[i + 1] = radius * Math.sin(angle);
    }
    return values;
  };
  noise.uniform = uniform;
  return noise;
}

/** Numbers in [0, 1): sfc32 (C. Doty-Humphrey's PractRand), seeded by a 32-bit integer. */
function uniformNoise(seed) {
  let a = 0x9e3779b9, b = 0x243f6a88, c = 0xb7e15162, d = seed | 0;
  const next = () => {
    const t = (((a + b) | 0) + d) | 0;
    d = (d + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = (c << 21) | (c >>> 11);
    c = (c + t) | 0;
    return (t >>> 0) / 2 ** 32;
  };
  for (let i = 0; i < 16; i++) next();
  return next;
}

/** A class by softmax of its logits; `uniform` gives a number in [0, 1). */
export function drawClass(logits, uniform) {
  const highest = Math.max(...logits);
  const chances = Array.from(logits, (logit) => Math.exp(logit - highest));
  let left = uniform() * chances.reduce((sum, chance) => sum + chance, 0);
  return Math.max(0, chances.findIndex((chance) => (left -= chance) < 0));
}

// ---------------------------------------------------------------- sampler

/** Noise levels from sigma_max down to sigma_min, then 0: Equation 5 of Karras et al. (2022). */
export function karrasSchedule({ num_steps_denoising: steps, sigma_min, sigma_max, rho }) {
  const low = sigma_min ** (1 / rho), high = sigma_max ** (1 / rho);
  const levels = Array.from({ length: steps }, (_, i) => (high + (i / Math.max(1, steps - 1)) * (low - high)) ** rho);
  return [...levels, 0];
}

/**
 * Draws a frame of `length` values given its context: Algorithm 2 of Karras et al. (2022).
 *
 * `denoise(x, level, context)` is D at the schedule's level of that index; `noise(length)` draws unit normal noise;
 * `sampler` is a SamplerConfig of the world. The start is not scaled by sigma_max: it drifts less.
 */
export async function sample(denoise, noise, length, context, sampler, onStep = () => {}) {
  const schedule = karrasSchedule(sampler);
  let x = noise(length);
  onStep(x);
  for (let level = 0; level + 1 < schedule.length; level++) {
    const sigma = schedule[level], following = schedule[level + 1];
    if (sampler.s_cond > 0) context = noisedContext(context, noise, sampler.s_cond);
    const gamma = churn(sigma, sampler), raised = sigma * (1 + gamma), step = following - raised;
    if (gamma > 0) x = addScaled(x, noise(length), sampler.s_noise * Math.sqrt(raised ** 2 - sigma ** 2));
    let slope = slopeOf(x, await denoise(x, level, context), raised);
    if (sampler.order === 2 && following > 0) {
      const ahead = addScaled(x, slope, step);
      const other = slopeOf(ahead, await denoise(ahead, level + 1, context), following);
      slope = slope.map((value, i) => round(value + other[i]) / 2);
    }
    x = addScaled(x, slope, step);
    onStep(x);
  }
  return x;
}

function churn(sigma, { s_churn, num_steps_denoising, s_tmin, s_tmax }) {
  return s_tmin <= sigma && sigma <= s_tmax ? Math.min(s_churn / num_steps_denoising, MAX_CHURN) : 0;
}

function slopeOf(x, clean, sigma) {
  const divisor = round(sigma);
  return x.map((value, i) => round(value - clean[i]) / divisor);
}

function addScaled(x, direction, scale) {
  const factor = round(scale);
  return x.map((value, i) => value + round(direction[i] * factor));
}

function noisedContext(context, noise, scale) {
  noise(context.channels); // the published sampler draws an offset here and multiplies it by 0: keep the draw order
  return Object.assign(addScaled(context, noise(context.length), scale), { channels: context.channels });
}

// ---------------------------------------------------------------- actions

const OPPOSITES = [["UP", "DOWN"], ["LEFT", "RIGHT"]];

const RANKS = ["LEFT", "RIGHT", "UP", "DOWN"];

/**
 * The index of the action closest to a set of pressed buttons. Opposite directions cancel. Where the game lacks the
 * exact combination as many buttons as possible are kept, directions before others, horizontal before vertical.
 * `space` tells what is held for each action, and which is the idle one.
 */
export function buttonAction(space, pressed) {
  const down = new Set(pressed);
  for (const pair of OPPOSITES) if (pair.every((button) => down.has(button))) pair.forEach((button) => down.delete(button));
  const rank = (held) => [held.length, ...RANKS.map((button) => Number(held.includes(button)))];
  let best = space.idle, highest = [0];
  space.held.forEach((held, i) => {
    const ranks = rank(held), differs = ranks.findIndex((value, j) => value !== (highest[j] ?? 0));
    if (held.every((button) => down.has(button)) && differs >= 0 && ranks[differs] > (highest[differs] ?? 0)) {
      [best, highest] = [i, ranks];
    }
  });
  return best;
}

/**
 * The vector of zeros and ones of keys (in the order pressed), clicks and motion in mouse counts. `space` is the
 * action space of the world: its keys, the motions of the arrow keys, the pairs that are never down together, its bins.
 */
export function firstPersonAction(space, pressed, [right, down]) {
  const vector = new Uint8Array(space.size), motion = { x: right, y: down };
  const allowed = [];
  for (const key of pressed) {
    const index = space.buttons.indexOf(key);
    if (index < 0 && !(key in space.arrows)) continue;
    if (space.forbidden.some((pair) => pair.includes(key) && allowed.some((other) => other !== key && pair.includes(other)))) continue;
    allowed.push(key);
    if (index >= 0) vector[index] = 1;
    else motion[space.arrows[key][0]] = space.arrows[key][1];
  }
  let first = space.buttons.length;
  for (const [bins, turned] of [[space.mouse_x, motion.x], [space.mouse_y, motion.y]]) {
    if (bins.length) vector[first + nearest(bins, turned)] = 1;
    first += bins.length;
  }
  return vector;
}

function nearest(bins, motion) {
  let best = 0;
  bins.forEach((bin, i) => { if (Math.abs(bin - motion) < Math.abs(bins[best] - motion)) best = i; });
  return best;
}

/** The action for buttons and motion: an index, or a vector. */
export function actionOf(space, pressed, motion) {
  return space.names ? buttonAction(space, pressed) : firstPersonAction(space, pressed, motion);
}

/** An action as zeros and ones, which the networks take. */
function asVector(space, action) {
  if (typeof action !== "number") return Float32Array.from(action);
  const vector = new Float32Array(space.size);
  vector[action] = 1;
  return vector;
}

// ---------------------------------------------------------------- frames

const FROM_BYTE = Float32Array.from({ length: 256 }, (_, value) => round(round(value) / round(127.5)) - 1);

/** Pixels (H, W, 3) of bytes → planes. */
export function planesOf(bytes) {
  const pixels = bytes.length / 3, planes = new Float32Array(bytes.length);
  for (let i = 0; i < pixels; i++) for (let c = 0; c < 3; c++) planes[c * pixels + i] = FROM_BYTE[bytes[3 * i + c]];
  return planes;
}

/** Planes → pixels (H, W, 4) of bytes, opaque. */
export function pixelsOf(planes) {
  const pixels = planes.length / 3, bytes = new Uint8ClampedArray(4 * pixels).fill(255);
  for (let i = 0; i < pixels; i++) for (let c = 0; c < 3; c++) bytes[4 * i + c] = Math.round((planes[c * pixels + i] + 1) * 127.5);
  return bytes;
}

// ---------------------------------------------------------------- state

/** A queue of fixed length: what is pushed goes to its end, and as much is dropped from its start. */
class Row {
  constructor(parts) {
    this.size = parts[0].length;
    this.values = new Float32Array(parts.length * this.size);
    parts.forEach((part, i) => this.values.set(part, i * this.size));
  }

  push(part) {
    this.values.copyWithin(0, this.size);
    this.newest.set(part);
  }

  get newest() {
    return this.values.subarray(this.values.length - this.size);
  }
}

/**
 * One dream. `world` is world.json, `preset` one of its presets, `networks` has `dynamics` and, where the world does,
 * `upsampler`, `judge` and `agent`; `noise` is a source of noise with its `uniform`.
 */
export class Dream {
  constructor(world, preset, networks, noise) {
    this.world = world;
    this.preset = preset;
    this.networks = networks;
    this.noise = noise;
    this.milliseconds = 0;
  }

  /** Starts from real frames: `{frames: [bytes], actions: [action], full_res?: [bytes]}`, oldest first. */
  async start({ frames, actions, full_res }) {
    const space = this.world.actions;
    this.frames = new Row(frames.map(planesOf));
    this.actions = new Row([...actions.map((action) => asVector(space, action)), new Float32Array(space.size)]);
    this.fullRes = full_res && new Row(full_res.map(planesOf));
    this.steps = this.total = 0;
    this.ended = false;
    this.judgement = memoryOf(this.world.judge);
    this.memory = memoryOf(this.world.agent);
    const planes = frames.map(planesOf);
    for (let i = 0; i < actions.length; i++) await this.judge(planes[i], asVector(space, actions[i]), planes[i + 1]);
    this.ended = false;
    this.total = 0;
  }

  /** The frame that is shown, in planes. */
  get shown() {
    return (this.fullRes ?? this.frames).newest;
  }

  /** Takes an action, an index or a vector; the dream goes on by a frame. */
  async step(action) {
    const began = performance.now(), vector = asVector(this.world.actions, action);
    this.actions.newest.set(vector);
    const frame = await this.draw("dynamics", this.frames, this.actions.values);
    await this.judge(this.frames.newest, vector, frame);
    this.frames.push(frame);
    if (this.fullRes) this.fullRes.push(await this.draw("upsampler", this.fullRes, frame));
    this.actions.push(new Float32Array(this.world.actions.size));
    this.steps += 1;
    this.milliseconds = performance.now() - began;
  }

  /** The agent's action, as an index. */
  async agentAction() {
    const { logits, hidden, cell } = await this.networks.agent({ frame: this.shown, ...this.memory });
    this.memory = { hidden, cell };
    return drawClass(logits, this.noise.uniform);
  }

  async draw(stage, past, given) {
    const sampler = this.preset[stage], call = this.networks[stage];
    const denoise = async (noisy, level, context) => {
      const { embedding, coefficients } = sampler.levels[level];
      return (await call({ noisy, context, embedding, coefficients, given })).frame;
    };
    const context = Object.assign(past.values.slice(), { channels: 3 * (past.values.length / past.size) });
    return sample(denoise, this.noise, past.size, context, sampler);
  }

  async judge(frame, action, following) {
    if (!this.judgement) return;
    const { rewards, ends, hidden, cell } = await this.networks.judge({ frame, following, action, ...this.judgement });
    this.judgement = { hidden, cell };
    this.total += drawClass(rewards, this.noise.uniform) - 1;
    this.ended = drawClass(ends, this.noise.uniform) === 1;
  }
}

function memoryOf(network) {
  return network && { hidden: new Float32Array(network.hidden), cell: new Float32Array(network.hidden) };
}
