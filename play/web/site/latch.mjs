// Input since the last frame: buttons down or tapped, and motion; from the messages of input.mjs.

const AXIS_THRESHOLD = 0.5;
const LOOK_DEAD_ZONE = 0.15;
const LOOK = { 3: [60, 0], 4: [0, 50] }; // mouse counts a frame of a look stick held all the way

export class Latch {
  /** `keymap` is that of world.json: what keys, stick, cross, pad, triggers and clicks stand for. */
  constructor(keymap) {
    this.keymap = keymap;
    this.held = new Map(); // switch → button
    this.heard = []; // [switch, button], in the order pressed
    this.motion = [0, 0];
    this.tilts = new Map();
  }

  /** Takes a message; returns the command it stands for, if any. */
  hear(message) {
    const { keymap } = this;
    if ("key" in message) {
      if (message.down && keymap.commands[message.key]) return keymap.commands[message.key];
      this.hold(message.key, message.down ? keymap.keys[message.key] : "");
    } else if ("hold" in message) this.hold(`touch ${message.hold}`, message.down ? message.hold : "");
    else if ("click" in message) this.hold(`mouse ${message.click}`, message.down ? keymap.clicks[message.click] : "");
    else if ("move" in message) this.motion = this.motion.map((sum, i) => sum + message.move[i]);
    else if ("pad" in message) this.hold(`pad ${message.pad}`, message.down ? keymap.pad[message.pad] : "");
    else if ("hat" in message) {
      this.push("hat x", message.hat[0], keymap.cross.left, keymap.cross.right);
      this.push("hat y", -message.hat[1], keymap.cross.up, keymap.cross.down);
    } else if ("axis" in message) this.tilt(message.axis, message.value);
    else if (message.blur) this.releaseAll();
    return undefined;
  }

  /** All input since the last read; clears taps and motion. */
  read() {
    const pressed = [...new Set(this.heard.map(([, button]) => button))];
    const motion = [...this.tilts.values()].reduce(([x, y], [right, down]) => [x + right, y + down], this.motion);
    this.heard = this.heard.filter(([name, button]) => this.held.get(name) === button);
    this.motion = [0, 0];
    return { pressed, motion };
  }

  get idle() {
    return this.heard.length === 0 && this.motion.every((counts) => counts === 0) && this.tilts.size === 0;
  }

  hold(name, button) {
    if (!button) this.held.delete(name);
    else if (this.held.get(name) !== button) {
      this.held.set(name, button);
      this.heard.push([name, button]);
    }
  }

  push(name, value, negative, positive) {
    this.hold(name, Math.abs(value) < AXIS_THRESHOLD ? "" : value > 0 ? positive : negative);
  }

  tilt(axis, value) {
    const { keymap } = this, name = `axis ${axis}`;
    if (axis === 0) this.push(name, value, keymap.stick.left, keymap.stick.right);
    else if (axis === 1) this.push(name, value, keymap.stick.up, keymap.stick.down);
    else if (axis in keymap.triggers) this.hold(name, value > 0 ? keymap.triggers[axis] : "");
    else if (keymap.mouse && Math.abs(value) > LOOK_DEAD_ZONE) this.tilts.set(axis, LOOK[axis].map((counts) => counts * value));
    else this.tilts.delete(axis);
  }

  releaseAll() {
    this.held.clear();
    this.tilts.clear();
  }
}
